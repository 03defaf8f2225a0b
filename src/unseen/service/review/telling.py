"""GET pages of the review: what labels changed, the trend, and labels as files."""

from __future__ import annotations

from codecs import BOM_UTF8
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from unseen.service.guard import admit_body
from unseen.service.review.door import (
    PREFIX,
    PageRoute,
    Visitor,
    check_csrf,
    own_origin,
    page_frame,
)
from unseen.service.review.history import alarms_by_day, changes_of, drift_of, labels_by_answer
from unseen.service.review.pages import rendered
from unseen.service.review.waiting import undo_of
from unseen.service.routes.labels import Format, labels_file, labels_from
from unseen.service.sessions import Session
from unseen.service.state import Service, TheService

router = APIRouter(
    prefix=f"{PREFIX}/models/{{name}}", route_class=PageRoute, include_in_schema=False
)


@router.get("/changes")
def show_changes(name: str, request: Request, service: TheService, session: Visitor) -> Response:
    """What labels changed in the version that serves."""
    service.registry.serving(name)
    with service.store.reading() as connection:
        changes = changes_of(connection, name)
    return rendered(
        "changes.html", page_frame(request, session, name, "/changes") | {"changes": changes}
    )


@router.get("/trend")
def show_trend(name: str, request: Request, service: TheService, session: Visitor) -> Response:
    """Alarms a day, drift, and labels."""
    service.registry.serving(name)
    with service.store.reading() as connection:
        found = {
            "chart": alarms_by_day(connection, name),
            "drift": drift_of(connection, name),
            "labels": labels_by_answer(connection, name),
        }
    return rendered("trend.html", page_frame(request, session, name, "/trend") | found)


@router.get("/labels")
def show_labels(name: str, request: Request, service: TheService, session: Visitor) -> Response:
    """Labels as files, to take and to bring."""
    return _labels_page(request, service, session, name)


@router.get("/labels/export", response_class=StreamingResponse)
def export_from_page(
    name: str, service: TheService, session: Visitor, format: Format = "csv"
) -> Response:
    """The labels that count, as a file."""
    return labels_file(service, name, format)


@router.post("/labels/import")
async def import_on_page(
    name: str,
    request: Request,
    service: TheService,
    session: Visitor,
    _: Annotated[None, Depends(own_origin)],
) -> Response:
    """Add the labels of a file, all of them or none."""
    admit_body(request.scope, service.limits.body)
    async with request.form(max_files=1, max_fields=2, max_part_size=4096) as form:
        check_csrf(session, str(form.get("csrf", "")))
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise HTTPException(400, "expected a file of labels")
        body = await file.read()
    tasks = body.removeprefix(BOM_UTF8).lstrip()[:1] == b"["
    made = await run_in_threadpool(
        labels_from, service, name, "label-studio" if tasks else "csv", body, session.who
    )
    told = (
        f"Added: {made['alerts']:,} labels of alerts and {made['rows']:,} of other rows. "
        f"{made['same']:,} were known already."
    )
    return await run_in_threadpool(_labels_page, request, service, session, name, told)


def _labels_page(
    request: Request, service: Service, session: Session, name: str, told: str = ""
) -> Response:
    service.registry.serving(name)
    with service.store.reading() as connection:
        undo = undo_of(connection, name, session.who.name)
    what = page_frame(request, session, name, "/labels") | {"told": told, "undo": undo}
    return rendered("labels.html", what)
