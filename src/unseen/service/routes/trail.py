"""GET /v1/audit: who did what, the newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from sqlalchemy import select

from unseen.service.access import allowed
from unseen.service.answers import LARGEST
from unseen.service.state import TheService
from unseen.service.store.tables import audit
from unseen.service.tokens import Who

router = APIRouter(prefix="/v1", tags=["audit"])


class Entry(BaseModel):
    """Something that somebody did."""

    id: int
    at: datetime
    who: str
    what: str = Field(examples=["promote"])
    model: str | None
    subject: str | None = Field(description="the number of an alert, a version or a job")
    detail: dict[str, Any]


class Trail(BaseModel):
    """A page of the audit trail."""

    entries: list[Entry]
    before: int | None = Field(description="ask with this for the next page; none after the last")


@router.get("/audit")
def read_trail(
    service: TheService,
    by: Annotated[Who, Depends(allowed("manage"))],
    model: str | None = None,
    who: str | None = None,
    what: str | None = None,
    before: Annotated[
        int | None, Query(ge=0, le=LARGEST, description="only entries with a smaller id")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Trail:
    """The audit trail, the newest entry first."""
    found = select(audit).order_by(audit.c.id.desc()).limit(limit + 1)
    for column, value in ((audit.c.model, model), (audit.c.who, who), (audit.c.what, what)):
        found = found if value is None else found.where(column == value)
    with service.store.reading() as connection:
        rows = connection.execute(
            found if before is None else found.where(audit.c.id < before)
        ).all()
    entries = [
        Entry(
            id=row.id,
            at=row.at,
            who=row.who,
            what=row.what,
            model=row.model,
            subject=row.subject,
            detail=row.detail or {},
        )
        for row in rows[:limit]
    ]
    return Trail(entries=entries, before=entries[-1].id if len(rows) > limit else None)
