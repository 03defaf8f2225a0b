"""The order in which open alerts are looked at: by what the version that serves says of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, func, select

from unseen.service.store.tables import alerts, models, rescored


def open_alerts(
    connection: Connection, model: str, *, limit: int = 50, skip: int = 0
) -> Sequence[Row[Any]]:
    """The open alerts of a model, those to look at first in front.

    An alert counts with its p-value under the version that serves, where it was scored again after
    a retraining, else with the one it was raised with; ties go by score, then by age.

    Parameters
    ----------
    connection : Connection
        Of the database.
    model : str
        Its name.
    limit, skip : int
        How many to give, and how many before them to leave out.

    Returns
    -------
    sequence of Row
        The columns of `alerts`, and `now_score` and `now_pvalue`, None where the version that
        serves has not scored it again.
    """
    again = and_(rescored.c.alert == alerts.c.id, rescored.c.version == models.c.current)
    order = (
        func.coalesce(rescored.c.pvalue, alerts.c.pvalue),
        func.coalesce(rescored.c.score, alerts.c.score).desc(),
        alerts.c.id,
    )
    joined = alerts.join(models, models.c.name == alerts.c.model).outerjoin(rescored, again)
    first = (  # numbers alone are sorted: rows are long
        select(alerts.c.id)
        .select_from(joined)
        .where(alerts.c.model == model, alerts.c.answer.is_(None))
        .order_by(*order)
        .limit(limit)
        .offset(skip)
    )
    now = rescored.c.score.label("now_score"), rescored.c.pvalue.label("now_pvalue")
    found = select(alerts, *now).select_from(joined).where(alerts.c.id.in_(first))
    return connection.execute(found.order_by(*order)).all()
