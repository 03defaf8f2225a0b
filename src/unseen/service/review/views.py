"""What the page shows of an alert: its values beside the nearest normal, its reasons, its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, select

from unseen.detector.verdicts import CODES
from unseen.explain.reasons import Reason
from unseen.service.labelling import alert_of
from unseen.service.store.tables import alerts, labels, models, pictures, rescored

FEW = 12  # columns that are shown without being asked for


def alert_view(connection: Connection, model: str, number: int) -> dict[str, Any]:
    """An alert as the page shows it; NoAlert."""
    row = alert_of(connection, model, number)
    same = alerts.c.model == model, alerts.c.similar == row.similar, alerts.c.answer.is_(None)
    wanted = select(alerts.c.id).where(*same, alerts.c.id != number)
    alike = connection.execute(wanted.order_by(alerts.c.id)).scalars().all()
    what = select(pictures.c.what, pictures.c.media).where(pictures.c.alert == number)
    reasons = row.reasons or {}
    columns = columns_compared(row.values or {}, reasons)
    return {
        "row": row,
        "title": row.key or f"row {row.row:,} of a request",
        "later": _later(connection, row),
        "said": _label_of(connection, number) if row.answer else None,
        "evidence": kind_in_words(row),
        "reasons": [str(_reason_again(each)) for each in reasons.get("columns", ())]
        or [text for text in [(reasons.get("text") or {}).get("reasons")] if text],
        "change": (reasons.get("text") or {}).get("change"),
        "alike": (reasons.get("text") or {}).get("most_alike"),
        "first": columns if len(columns) <= FEW else [each for each in columns if each["share"]],
        "rest": [] if len(columns) <= FEW else [each for each in columns if not each["share"]],
        "nearest": reasons.get("nearest") is not None,
        "duplicates": len(alike),
        "upto": max(alike, default=0),
        "pictures": [each.what for each in connection.execute(what) if each.what != "given"],
    }


def columns_compared(values: Mapping[str, Any], reasons: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Columns of a row beside the nearest normal: those that raise the score first, with their
    shares, then the others as they came.
    """
    shares = {each["column"]: each for each in reasons.get("columns", ())}
    nearest = reasons.get("nearest") or {}
    found = []
    for name in [*shares, *(name for name in values if name not in shares)]:
        told = shares.get(name)
        normal = told["normal"] if told else nearest.get(name)
        known = told is not None or name in nearest
        found.append(
            {
                "name": name,
                "value": told["value"] if told else values[name],
                "normal": normal,
                "known": known,
                "same": known and values.get(name) == normal,
                "share": "" if told is None else _share_cell(told["share"]),
            }
        )
    return found


def kind_in_words(row: Row[Any]) -> str:
    """Of which kind an alert is, and how sure that is."""
    if row.kind is None:
        return "Kinds were not told."
    if row.kind not in CODES:
        chance = ""
        if row.kind_pvalue is not None:
            share = f"{100 * row.kind_pvalue:.0f} in 100"
            chance = f": {share} of its labelled rows lie as far from the others"
        return f"Like the known kind {row.kind!r}{chance}."
    sure = "" if row.novelty is None else f"; chance that it is new {100 * row.novelty:.0f}%"
    words = {"new kind": "Like no kind that is known", "unsure": "Of a known kind or of a new one"}
    return f"{words.get(row.kind, row.kind)}{sure}."


def _reason_again(told: Mapping[str, Any]) -> Reason:
    share = float("nan") if told["share"] is None else told["share"]
    return Reason(told["column"], told["value"], told["normal"], told["added"], share)


def _share_cell(share: float | None) -> str:
    return "raises" if share is None else f"{100 * share:.0f}%"


def _later(connection: Connection, row: Row[Any]) -> float | None:
    """The p-value under the version that serves, where that has scored the alert again."""
    current = select(models.c.current).where(models.c.name == row.model).scalar_subquery()
    found: float | None = connection.execute(
        select(rescored.c.pvalue).where(rescored.c.alert == row.id, rescored.c.version == current)
    ).scalar()
    return found


def _label_of(connection: Connection, number: int) -> dict[str, Any] | None:
    """Who gave the label that counts, and when."""
    mine = labels.c.alert == number, labels.c.undone.is_(None)
    wanted = select(labels.c.by, labels.c.at).where(*mine).order_by(labels.c.id.desc()).limit(1)
    row = connection.execute(wanted).first()
    return None if row is None else dict(row._mapping)
