"""POST /v1/purge: rows and labels deleted by age or by key. A key is in the body, as addresses end
up in logs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from unseen.service.access import allowed
from unseen.service.answers import KEY
from unseen.service.retention import CENTURY, purge, time_of
from unseen.service.state import TheService
from unseen.service.tokens import Who

router = APIRouter(prefix="/v1", tags=["operations"])


class WhatToPurge(BaseModel):
    """An age or a key."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"older_than_days": 90}]}
    )
    older_than_days: Annotated[
        float | None, Field(ge=0, le=CENTURY.days, description="Days since rows came.")
    ] = None
    key: Annotated[
        str | None, Field(max_length=KEY, description="Of alerts, and of rows with labels.")
    ] = None
    labelled: Annotated[
        bool, Field(description="By age: labels, and alerts that were answered, as well.")
    ] = False


@router.post("/purge")
def purge_rows(
    wanted: WhatToPurge, service: TheService, who: Annotated[Who, Depends(allowed("manage"))]
) -> dict[str, Any]:
    """Delete rows and labels, and tell how many of each. `gone` is false while SQLite's log still
    holds some of it: ask again.
    """
    days = wanted.older_than_days
    before = None if days is None else time_of(timedelta(days=days))
    found = purge(service.store, who.name, before=before, key=wanted.key, labelled=wanted.labelled)
    return {"deleted": found.counts, "gone": found.gone}
