"""POST /v1/models/{name}/score."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Depends, Query, Request
from starlette.concurrency import run_in_threadpool

from unseen.scoring.tables import TableSource
from unseen.service.access import allowed
from unseen.service.bodies import body_of, rows_of, scratch
from unseen.service.judging import NAMED, judged
from unseen.service.judging import Request as Asked
from unseen.service.state import Service, TheService
from unseen.service.tokens import Who

router = APIRouter(prefix="/v1/models", tags=["scoring"])


@router.post("/{name}/score")
async def score_rows(
    name: str,
    request: Request,
    service: TheService,
    who: Annotated[Who, Depends(allowed("score"))],
    reasons: Annotated[int, Query(ge=0, le=20)] = NAMED,
) -> dict[str, Any]:
    """Score, p-value and verdict of each row; of alarms kind and reasons."""
    body = await body_of(request, service.limits.body)
    media = request.headers.get("content-type", "").split(";")[0].strip().lower()
    asked = Asked(request.headers.get("idempotency-key") or uuid4().hex, reasons)
    return await run_in_threadpool(_scored, service, name, media, body, asked)


def _scored(service: Service, name: str, media: str, body: bytes, asked: Asked) -> dict[str, Any]:
    serving = service.registry.serving(name)
    with scratch() as folder:
        source = service.watch.tapped(serving, TableSource(rows_of(media, body, folder)))
        rows = [row for _, rows in judged(serving, source, asked, service.store) for row in rows]
    return {"model": name, "version": serving.version, "request": asked.id, "rows": rows}
