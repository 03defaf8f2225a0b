"""Rows of a request, judged; what alarms is in the database before the client hears of it."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import to_json
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from unseen.data.frames import python_rows
from unseen.data.split import take
from unseen.detector.detector import Detector
from unseen.errors import DataError
from unseen.scoring.scored import Scored
from unseen.scoring.stream import score
from unseen.scoring.tables import ROW
from unseen.service.answers import KEY
from unseen.service.pictures import drawn_pictures
from unseen.service.registry import Serving
from unseen.service.similar import similar_of
from unseen.service.state import Service
from unseen.service.store.store import Store
from unseen.service.store.tables import alerts, now, pictures
from unseen.service.warming import explains, tells
from unseen.types import Source

ALARM = "anomaly"  # the verdict
NAMED = 3  # columns, or places of an image, that are named as reasons
_TOLD = ("reasons", "change", "most_alike")  # as text, for people


@dataclass(frozen=True)
class Request:
    """What a client asked for.

    Parameters
    ----------
    id : str
        Rows of a request that comes again are no new alerts.
    reasons : int
        How many columns or places to name; 0 tells none.
    key : str, optional
        The column that tells rows apart; of images their names do.
    names : tuple of str
        Names of images, as the client gave them.
    """

    id: str
    reasons: int = NAMED
    key: str | None = None
    names: tuple[str, ...] = ()


def judged(
    service: Service, serving: Serving, source: Source, request: Request
) -> Generator[tuple[Scored, list[dict[str, Any]]], None, None]:
    """Blocks of judged rows, and what the client is told of each row; alerts of a block are on the
    disk when it is yielded.
    """
    detector = serving.bundle.detector
    reasons = request.reasons if explains(detector) else 0
    how: dict[str, Any] = {"kinds": tells(detector), "reasons": reasons, "alarms": True}
    done = 0
    with closing(score(source, detector, serving.policy, **how)) as blocks:
        for scored in blocks:
            answers = [
                {ROW: k} | _answer_of(row, request)
                for k, row in enumerate(python_rows(scored.table()), start=done + 1)
            ]
            raised = [answer for answer in answers if answer["verdict"] == ALARM]
            if raised:
                drawn = _pictures(source, serving, scored.threshold, raised)
                values = rows_as_given(scored.alarms, raised)
                similar = similar_of(detector, scored.alarms, len(raised))
                why = beside_nearest(detector, raised)
                told = list(zip(raised, values, why, similar, strict=True))
                _keep(service.store, serving, request, told, drawn)
            yield scored, answers
            done += len(scored)


def _answer_of(row: dict[str, Any], request: Request) -> dict[str, Any]:
    """A judged row as JSON has it: keys as one text, what is told of reasons in one place."""
    told = {name: row.pop(name) for name in _TOLD if name in row}
    whole = row.pop("reasons_json", None)
    if whole is not None:
        row["reasons"] = {"text": told} | json.loads(whole)
    elif told:
        row["reasons"] = None
    if request.names:
        row = {"key": as_key(request.names[int(Path(row.pop("file")).stem)])} | row
    elif request.key is not None:
        row = {"key": as_key(row.pop(request.key))} | row
    else:
        del row[ROW]
    return row


def as_key(value: Any) -> str | None:
    """What the client calls a row, as a text that every database keeps; DataError for a longer one
    than labels may have, as those could not come back.
    """
    text = None if value is None else str(value).replace("\0", "")
    if text is not None and len(text) > KEY:
        raise DataError(
            f"expected keys of up to {KEY:,} characters, found one of {len(text):,}; "
            "name a column of shorter ones"
        )
    return text


def rows_as_given(rows: Any, raised: Sequence[Any]) -> list[dict[str, Any]]:
    """The values of alarms (k) as they came, in JSON's types; of images nothing but what the answer
    says.
    """
    if not hasattr(rows, "to_pylist"):
        return [{} for _ in raised]
    plain = to_json(
        python_rows(rows), inf_nan_mode="null", bytes_mode="base64", fallback=str
    ).replace(b"\\u0000", b"")
    found: list[dict[str, Any]] = json.loads(plain)
    return found


def _pictures(
    source: Any, serving: Serving, level: float, raised: Sequence[dict[str, Any]]
) -> dict[int, list[dict[str, Any]]]:
    """Pictures of images that alarm, by row."""
    if source.noun != "images":
        return {}
    detector = serving.bundle.detector
    return {each[ROW]: drawn_pictures(source, detector, each[ROW] - 1, level) for each in raised}


def _keep(
    store: Store,
    serving: Serving,
    request: Request,
    told: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None, str]],
    drawn: dict[int, list[dict[str, Any]]],
) -> None:
    """Write alarms as alerts: answers, values as they came, reasons, and what near duplicates
    share. Each is told its number; those of a request that came before have theirs.
    """
    at = now()
    rows = [
        {
            "model": serving.model,
            "version": serving.version,
            "request": request.id,
            "row": answer[ROW],
            "at": at,
            "key": answer.get("key"),
            "score": answer["score"],
            "pvalue": answer["pvalue"],
            "kind": answer.get("kind"),
            "kind_pvalue": answer.get("kind_pvalue"),
            "novelty": answer.get("novelty"),
            "values": given,
            "reasons": why,
            "similar": alike,
        }
        for answer, given, why, alike in told
    ]
    dialect = sqlite if store.is_sqlite else postgresql
    places = (alerts.c.model == serving.model) & (alerts.c.request == request.id)
    among = alerts.c.row.between(rows[0]["row"], rows[-1]["row"])
    with store.writing() as connection:
        connection.execute(dialect.insert(alerts).on_conflict_do_nothing(), rows)
        found = connection.execute(select(alerts.c.row, alerts.c.id).where(places, among))
        numbers = {int(row): int(number) for row, number in found}
        shown = [{"alert": numbers[row]} | each for row in drawn for each in drawn[row]]
        if shown:
            connection.execute(dialect.insert(pictures).on_conflict_do_nothing(), shown)
    for answer, *_ in told:
        answer["alert"] = numbers[answer[ROW]]


def beside_nearest(
    detector: Detector, raised: Sequence[dict[str, Any]]
) -> list[dict[str, Any] | None]:
    """Reasons of alarms (k), and beside them, as `nearest`, the normal row that each is compared
    with: another version of the detector may not know it.
    """
    told = [answer.get("reasons") for answer in raised]
    kept = getattr(detector, "references_", None)
    if kept is None or detector.schema_.noun != "rows":
        return told
    places = {int(number): place for place, number in enumerate(kept.numbers)}
    found = [places.get(each["nearest_normal"]["row"]) if each else None for each in told]
    known = [place for place in found if place is not None]
    rows = iter(rows_as_given(take(kept.rows, np.array(known, dtype=np.int64)), known))
    return [
        why if why is None or place is None else why | {"nearest": next(rows)}
        for why, place in zip(told, found, strict=True)
    ]
