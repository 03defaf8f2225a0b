"""Rows of a request, judged; what alarms is in the database before the client hears of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from unseen.detector.detector import Detector
from unseen.scoring.stream import Scored, score
from unseen.scoring.tables import ROW
from unseen.service.registry import Serving
from unseen.service.store.store import Store
from unseen.service.store.tables import alerts, now
from unseen.types import Source

NAMED = 3  # columns, or places of an image, that are named as reasons
_TOLD = ("reasons", "change", "most_alike")  # as text, for people


@dataclass(frozen=True)
class Request:
    """What a client asked for.

    Parameters
    ----------
    id : str
        The client's own, or a random one: rows of a request that comes again are no new alerts.
    reasons : int
        How many columns or places to name; 0 tells none.
    kinds : bool
        Whether to tell of which kind alarms are.
    """

    id: str
    reasons: int = NAMED
    kinds: bool = True


def judged(
    serving: Serving, source: Source, request: Request, store: Store
) -> Iterator[tuple[Scored, list[dict[str, Any]]]]:
    """Blocks of judged rows, and what the client is told of each row; alerts of a block are on the
    disk when it is yielded.
    """
    how: dict[str, Any] = {"kinds": request.kinds, "reasons": request.reasons, "alarms": True}
    done = 0
    with closing(score(source, serving.bundle.detector, serving.policy, **how)) as blocks:
        for scored in blocks:
            answers = [
                {ROW: done + k} | _plain(row) for k, row in enumerate(_rows_of(scored), start=1)
            ]
            raised = [answer for answer in answers if answer["verdict"] == "anomaly"]
            if raised:
                values = rows_as_given(scored.alarms, raised)
                _keep(store, serving, request, raised, values)
            yield scored, answers
            done += len(scored)


def _rows_of(scored: Scored) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = scored.table().to_pylist()
    return found


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A judged row as JSON has it: keys as one text, what is told of reasons in one place."""
    told = {name: row.pop(name) for name in _TOLD if name in row}
    whole = row.pop("reasons_json", None)
    if whole is not None:
        row["reasons"] = {"text": told} | json.loads(whole)
    elif told:
        row["reasons"] = None
    return row


def rows_as_given(rows: Any, raised: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The values of alarms (k) as they came; of images nothing but what the answer says."""
    if not hasattr(rows, "to_pylist"):
        return [{} for _ in raised]
    found: list[dict[str, Any]] = json.loads(json.dumps(rows.to_pylist(), default=str))
    return found


def _keep(
    store: Store,
    serving: Serving,
    request: Request,
    raised: list[dict[str, Any]],
    values: list[dict[str, Any]],
) -> None:
    """Write alarms as alerts, and tell each its number; those of a request that came before have
    theirs.
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
            "reasons": answer.get("reasons"),
            "similar": similar_to(answer, given),
        }
        for answer, given in zip(raised, values, strict=True)
    ]
    insert = (sqlite if store.is_sqlite else postgresql).insert(alerts)
    places = (alerts.c.model == serving.model) & (alerts.c.request == request.id)
    among = alerts.c.row.between(rows[0]["row"], rows[-1]["row"])
    with store.writing() as connection:
        connection.execute(insert.on_conflict_do_nothing(), rows)
        found = connection.execute(select(alerts.c.row, alerts.c.id).where(places, among))
        numbers: dict[int, int] = dict(found.tuples().all())
    for answer in raised:
        answer["alert"] = numbers[answer[ROW]]


def similar_to(answer: dict[str, Any], values: dict[str, Any]) -> str:
    """Equal for alerts that are near duplicates: of one kind, for the same columns, with values of
    the same magnitude there.
    """
    reasons = answer.get("reasons") or {}
    columns = sorted(str(each["column"]) for each in reasons.get("columns", ()))
    about = [[name, _magnitude(values.get(name))] for name in columns]
    return sha256(json.dumps([answer.get("kind"), about]).encode()).hexdigest()


def _magnitude(value: Any) -> Any:
    """A number to two digits; other values as they are."""
    try:
        return float(f"{float(value):.1e}")
    except (TypeError, ValueError, OverflowError):
        return value


def nearest_rows(detector: Detector, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Training rows that stay with a detector, as values by column, by their numbers from 0."""
    kept = getattr(detector, "references_", None)
    if kept is None or detector.schema_.noun != "rows":
        return {}
    places = {int(number): place for place, number in enumerate(np.asarray(kept.numbers))}
    wanted = [number for number in numbers if number in places]
    rows = kept.rows.take([places[number] for number in wanted]).to_pylist()
    return dict(zip(wanted, rows, strict=True))
