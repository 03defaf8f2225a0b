"""What came of labels, and how traffic goes: what a retrained version says, alarms, drift."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from unseen.detector.drift import Drift
from unseen.detector.shift import Shift
from unseen.report.charts import Chart, daily
from unseen.service.review.waiting import WINDOW
from unseen.service.store.tables import alerts, drifts, labels, models, now, rescored, traffic

SHOWN = 50  # alerts of each table


@dataclass(frozen=True)
class Moved:
    """An alert, before and after a retraining.

    Parameters
    ----------
    alert : Row
        Number, key, row, answer, kind of the answer, p-value and score.
    rank, rank_now : int
        Its place among the alerts that were scored again, from 1.
    pvalue_now : float
        Its p-value under the version that serves.
    """

    alert: Any
    rank: int
    rank_now: int
    pvalue_now: float

    @property
    def places(self) -> int:
        """By how many places it fell; below 0 where it rose."""
        return self.rank_now - self.rank


def moved_alerts(connection: Connection, model: str) -> list[Moved]:
    """Alerts that the version that serves has scored again, by their places now."""
    again = rescored.c.pvalue.label("pvalue_now"), rescored.c.score.label("score_now")
    told = [alerts.c[name] for name in ("id", "key", "row", "answer", "answer_kind", "pvalue")]
    joined = rescored.join(alerts).join(models, models.c.name == alerts.c.model)
    serves = rescored.c.version == models.c.current
    wanted = select(*told, alerts.c.score, *again).select_from(joined)
    rows = connection.execute(wanted.where(alerts.c.model == model, serves)).all()
    before = sorted(rows, key=lambda row: (row.pvalue, -row.score, row.id))
    after = sorted(rows, key=lambda row: (row.pvalue_now, -row.score_now, row.id))
    ranks = {row.id: rank for rank, row in enumerate(before, start=1)}
    return [Moved(row, ranks[row.id], k, row.pvalue_now) for k, row in enumerate(after, start=1)]


def changes_of(connection: Connection, model: str) -> dict[str, Any]:
    """What labels changed: of each alert that was answered its p-value before and after, and the
    open ones that moved most.
    """
    moved = moved_alerts(connection, model)
    answered = [each for each in moved if each.alert.answer is not None]
    waiting = [each for each in moved if each.alert.answer is None]
    row = connection.execute(select(models).where(models.c.name == model)).one()
    normal = [each for each in answered if each.alert.answer == "normal"]
    kinds = [each for each in answered if each.alert.answer in ("known", "new")]
    raises = [each for each in waiting if each.pvalue_now > row.level]
    return {
        "model": row,
        "scored": len(moved),
        "normal": len(normal),
        "calmed": sum(each.pvalue_now > each.alert.pvalue for each in normal),
        "kinds": len(kinds),
        "kept": sum(each.pvalue_now <= max(each.alert.pvalue, row.level) for each in kinds),
        "waiting": len(waiting),
        "quiet": len(raises),
        "answered": answered[:SHOWN],
        "moved": sorted(waiting, key=lambda each: -abs(each.places))[:SHOWN],
    }


def alarms_by_day(connection: Connection, model: str) -> Chart:
    """Alarms on each day of the window, as counted while rows passed, else as alerts that stay."""
    since = now() - WINDOW
    counted = select(traffic.c.hour, traffic.c.alarms)
    rows = connection.execute(counted.where(traffic.c.model == model, traffic.c.hour > since))
    found: Counter[str] = Counter()
    for hour, count in rows:
        found[f"{hour:%Y-%m-%d}"] += count
    if not found:
        at = select(alerts.c.at).where(alerts.c.model == model, alerts.c.at > since)
        found.update(f"{each:%Y-%m-%d}" for each in connection.execute(at).scalars())
    days = [f"{since + timedelta(days=k):%Y-%m-%d}" for k in range(1, WINDOW.days + 1)]
    words = f"Alarms on each of the last {WINDOW.days} days, in UTC."
    return daily({day: found[day] for day in days}, title="Trend", words=words, what="alarms")


def labels_by_answer(connection: Connection, model: str) -> list[list[str]]:
    """How many labels there are of each answer and kind; of those that were not undone."""
    mine = labels.c.model == model, labels.c.undone.is_(None)
    count = func.count(labels.c.id).label("count")
    wanted = select(labels.c.answer, labels.c.kind, count).where(*mine)
    grouped = wanted.group_by(labels.c.answer, labels.c.kind).order_by(count.desc())
    return [
        [row.kind or row.answer, "anomaly" if row.kind else "", f"{row.count:,}"]
        for row in connection.execute(grouped).all()
    ]


def drift_of(connection: Connection, model: str) -> dict[str, Any] | None:
    """The last word on drift: when it was told, of which version, and its sentences."""
    wanted = select(drifts).where(drifts.c.model == model).order_by(drifts.c.id.desc()).limit(1)
    row = connection.execute(wanted).first()
    if row is None:
        return None
    told = {name: value for name, value in row.report.items() if name != "drifted"}
    try:
        columns = tuple(Shift(**each) for each in told.pop("columns"))
        lines = Drift(**told, columns=columns).in_words()
    except (KeyError, TypeError):  # told by another release
        lines = ["Drift" if row.drifted else "No drift"]
    return {"at": row.at, "version": row.version, "drifted": row.drifted, "lines": lines}
