"""POST /v1/models/{name}/score."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from unseen.service.access import allowed
from unseen.service.answering import Answering
from unseen.service.bodies import ENDINGS, FORM, JSON, media_of, received
from unseen.service.door import SMALL
from unseen.service.judging import NAMED
from unseen.service.judging import Request as Asked
from unseen.service.routes.examples import SCORED, SCORING
from unseen.service.state import TheService
from unseen.service.steps import Held, Lines
from unseen.service.tokens import Who

router = APIRouter(prefix="/v1/models", tags=["scoring"])
LINES = "application/jsonl"
_KEY = 200  # characters of an Idempotency-Key


@router.post("/{name}/score", responses=SCORED, openapi_extra=SCORING)
async def score_rows(
    name: str,
    request: Request,
    service: TheService,
    who: Annotated[Who, Depends(allowed("score"))],
    reasons: Annotated[int, Query(ge=0, le=20, description="columns to name, of alarms")] = NAMED,
    key: Annotated[
        str | None, Query(max_length=200, description="column that tells rows apart")
    ] = None,
    by_group: Annotated[bool, Query(description="judge rows by domain")] = False,
    idempotency_key: Annotated[
        str | None,
        Header(
            max_length=_KEY,
            pattern=r"^[!-~]+$",
            description="of your own; the same with the same body raises no alert twice",
        ),
    ] = None,
) -> Response:
    """Score, p-value and verdict of each row or image; of alarms kind, reasons, and the number of
    the alert, which is kept. With `Accept: application/jsonl` one row a line, as they are judged.
    """
    media = media_of(request)
    if media not in (JSON, FORM, *ENDINGS):
        expected = ", ".join([JSON, FORM, *ENDINGS])
        raise HTTPException(415, f"expected a Content-Type of {expected}")
    serving = await run_in_threadpool(service.registry.serving, name)
    service.door.check_room()
    held = Held(service.door)
    try:
        given = await received(request, media, held.stack, service.limits)
        held.small = given.json is not None and len(given.json) <= SMALL
        held.stack.enter_context(service.door.room())
        named = uuid4().hex
        if idempotency_key is not None:
            named = _request_id(who, idempotency_key, await held.work(given.digest))
        asked = Asked(named, reasons, key, given.names)
        work = Answering(service, serving, given, asked, by_group)
        if LINES in request.headers.get("accept", ""):
            more = work.lines()
            held.stack.callback(more.close)
            first = await held.work(next, more, None)
            return Lines(first, more, held, work.headers())
        body = await held.work(work.whole)
        held.close()
        return Response(body, media_type=JSON)
    except BaseException:
        held.close()
        raise


def _request_id(who: Who, key: str, digest: str) -> str:
    """What alerts remember of a request. A key counts for one client and one body: two clients that
    number alike, or one that uses a key for other rows, lose no alert.
    """
    return sha256(f"{who.id} {key} {digest}".encode()).hexdigest()
