"""A service with HTML and script in every field that the review page shows."""

import pandas as pd
from desk import Desk, rows, table
from sqlalchemy import insert, update

from unseen import Bundle, Detector
from unseen.service.store.tables import (
    alerts,
    drifts,
    jobs,
    labels,
    now,
    pictures,
    rescored,
    tokens,
    versions,
)

EVIL = (
    '"><img src=x onerror="window.pwned=1"><script>window.pwned=1</script>',
    "'--></title></script><svg/onload=window.pwned=1>{{7*7}}",
    "javascript:window.pwned=1",
)


def poisoned(home):
    """A desk with HTML in every field that the page shows."""
    evil = EVIL[0]
    frame = pd.DataFrame(table())
    frame["class"] = frame["class"].replace("leak", evil)
    frame = frame.rename(columns={"service": evil, "share": EVIL[1]})
    kept = [name for name in frame if name != "class"]
    detector = Detector("mahalanobis", random_state=0).fit(frame[kept], frame["class"])
    home.mkdir()
    Bundle(detector, {"source": evil, "label": evil}).save(home / "m")
    desk = Desk(home / "home", home / "m")
    given = pd.DataFrame(rows(4, 5, {"seconds": 40.0})).rename(
        columns={"service": evil, "share": EVIL[1]}
    )
    given[evil] = [EVIL[1], EVIL[0], EVIL[2], "http"]
    desk.alerts(given.to_dict("records"))
    fill(desk, evil)
    return desk


def fill(desk, evil):
    """And in the rows of the database."""
    at = now()
    with desk.store.writing() as connection:
        connection.execute(update(alerts).values(key=evil, kind=evil))
        connection.execute(
            update(alerts).where(alerts.c.id == 2).values(key=None, request=evil[:64])
        )
        connection.execute(update(tokens).where(tokens.c.name == "bob").values(name=evil[:64]))
        label = {"model": "traffic", "at": at, "by": evil[:64], "origin": evil[:16]}
        label |= {"answer": "new", "kind": EVIL[1]}
        connection.execute(insert(labels), label | {"act": "1", "alert": 3})
        connection.execute(
            update(alerts)
            .where(alerts.c.id == 3)
            .values(answer="new", answer_kind=EVIL[1], revision=1)
        )
        job = {"model": "traffic", "what": evil[:16], "state": "failed", "message": EVIL[1]}
        connection.execute(insert(jobs), job | {"settings": {}, "by": evil[:64], "created": at})
        connection.execute(update(versions).values(by=evil[:64], origin=evil[:16]))
        for number in (1, 2, 3):
            again = {"alert": number, "version": 1, "score": 1.0, "pvalue": 0.1 * number}
            connection.execute(insert(rescored), again)
        shift = {
            "column": evil,
            "effect": 1.0,
            "what": "category",
            "where": evil,
            "before": 0.1,
            "after": 0.9,
        }
        detector = desk.registry.serving("traffic").bundle.detector
        kept = detector.references_.normals
        told = detector.drift(kept).to_json() | {"columns": [shift], "noun": evil}
        drift = {"model": "traffic", "version": 1, "at": at, "rows": 9, "drifted": True}
        connection.execute(insert(drifts), drift | {"report": told})
        picture = {"alert": 1, "what": EVIL[1][:16], "media": "image/webp", "bytes": b""}
        connection.execute(insert(pictures), picture)
