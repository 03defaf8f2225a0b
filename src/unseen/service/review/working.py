"""Jobs and versions on the page: what learns, what serves, and how administrators change that."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import select

from unseen.service.jobs import cancel
from unseen.service.registry import of_model
from unseen.service.review.door import (
    PREFIX,
    PageRoute,
    TheChange,
    Visitor,
    admitted,
    base_of,
    page_frame,
)
from unseen.service.review.pages import rendered
from unseen.service.review.showing import EVERY
from unseen.service.routes.jobs import Recalibrate, Retrain, recalibrate_model, retrain_model
from unseen.service.sessions import Session
from unseen.service.state import Number, Service, TheService
from unseen.service.store.tables import ACTIVE, jobs, versions
from unseen.service.tokens import digest_of

router = APIRouter(
    prefix=f"{PREFIX}/models/{{name}}", route_class=PageRoute, include_in_schema=False
)
SHOWN = 20  # jobs, and versions, on the page


@router.get("/jobs")
def show_jobs(name: str, request: Request, service: TheService, session: Visitor) -> Response:
    """Jobs and versions of a model."""
    return rendered("jobs.html", _jobs_view(request, service, session, name))


@router.get("/jobs/part")
def show_jobs_part(
    name: str,
    request: Request,
    service: TheService,
    session: Visitor,
    mark: Annotated[str, Query(max_length=32)] = "",
) -> Response:
    """What of it changes; nothing where it would be what is shown already."""
    view = _jobs_view(request, service, session, name)
    return Response(status_code=204) if view["mark"] == mark else rendered("jobs_part.html", view)


def _jobs_view(request: Request, service: Service, session: Session, name: str) -> dict[str, Any]:
    """Model, jobs and versions; `mark` is equal as long as nothing of them changed."""
    with service.store.reading() as connection:
        model = of_model(connection, name)
        asked = select(jobs).where(jobs.c.model == name).order_by(jobs.c.id.desc())
        found = connection.execute(asked.limit(SHOWN)).all()
        mine = select(versions).where(versions.c.model == name)
        made = connection.execute(mine.order_by(versions.c.number.desc()).limit(SHOWN)).all()
    far = [(job.id, job.state, round(job.progress, 3), job.message) for job in found]
    state = repr((far, [each.number for each in made], model.revision))
    return page_frame(request, session, name, "/jobs") | {
        "model": model,
        "jobs": found,
        "versions": made,
        "active": any(job.state in ACTIVE for job in found),
        "manages": session.who.may("manage"),
        "mark": digest_of(state)[:16],
        "every": EVERY,
    }


@router.post("/retrain")
def retrain_on_page(
    name: str, request: Request, service: TheService, change: TheChange
) -> Response:
    """Learn what people said, and perhaps serve what was learned."""
    admitted(change.session, "manage")
    how = Retrain(promote=change.fields.get("promote") == "yes")
    retrain_model(name, service, change.session.who, Response(), how)
    return _to_jobs(request, name)


@router.post("/recalibrate")
def recalibrate_on_page(
    name: str, request: Request, service: TheService, change: TheChange
) -> Response:
    """Take p-values from recent rows."""
    admitted(change.session, "manage")
    recalibrate_model(name, service, change.session.who, Response(), Recalibrate())
    return _to_jobs(request, name)


@router.post("/jobs/{number}/cancel")
def cancel_on_page(
    name: str, number: Number, request: Request, service: TheService, change: TheChange
) -> Response:
    """End a job without a result."""
    admitted(change.session, "manage")
    cancel(service.store, number, change.session.who.name)
    return _to_jobs(request, name)


@router.post("/promote")
def promote_on_page(
    name: str, request: Request, service: TheService, change: TheChange
) -> Response:
    """Let a version serve, as the page showed the model."""
    admitted(change.session, "manage")
    who, revision = change.session.who.name, change.number("revision")
    service.registry.promote(name, change.number("number"), who, revision)
    return _to_jobs(request, name)


@router.post("/rollback")
def roll_back_on_page(
    name: str, request: Request, service: TheService, change: TheChange
) -> Response:
    """Go back to the version that served before."""
    admitted(change.session, "manage")
    service.registry.rollback(name, change.session.who.name, change.number("revision"))
    return _to_jobs(request, name)


def _to_jobs(request: Request, name: str) -> Response:
    return RedirectResponse(f"{base_of(request)}/models/{quote(name)}/jobs", 303)
