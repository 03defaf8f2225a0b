"""The application: routes, and what every answer has in common."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from unseen._version import __version__
from unseen.errors import UnseenError
from unseen.service.answers import Stale
from unseen.service.guard import Guard
from unseen.service.problems import PROBLEMS
from unseen.service.review import changing, showing, telling, working
from unseen.service.routes import (
    health,
    jobs,
    labels,
    metrics,
    models,
    retention,
    scoring,
    trail,
    versions,
)
from unseen.service.state import Service
from unseen.service.statuses import refused

ABOUT = """Score rows and images, review what alarms, retrain.

Every request but those about health brings a token: `Authorization: Bearer TOKEN`. An error is
`{"detail": "a sentence that says what to do"}`.
"""


def create_app(service: Service) -> FastAPI:
    """The application of a service."""
    app = FastAPI(
        title="unseen",
        version=__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # they would go where the Host header says
        responses=PROBLEMS,
    )
    app.state.service = service
    api = (scoring, models, labels, jobs, versions, retention, trail, metrics, health)
    for each in (*api, showing, changing, telling, working):
        app.include_router(each.router)
    app.add_exception_handler(Stale, labels.tell_stale)
    app.add_exception_handler(UnseenError, _answer_error)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_middleware(Guard, service=service)
    return app


def _answer_error(request: Request, error: Exception) -> JSONResponse:
    """An error of ours, as its sentence."""
    status, text = refused(error)
    headers = {"Retry-After": "1"} if status == 503 else None
    return JSONResponse({"detail": text}, status, headers)


def _malformed(request: Request, error: Exception) -> JSONResponse:
    """What a request lacks, without what it had instead."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["loc"] == ("body",) and not _says_json(request):
        detail = "expected a body of JSON, with the header 'Content-Type: application/json'"
        return JSONResponse({"detail": detail}, 422)
    where = " ".join(str(part)[:64] for part in first["loc"])
    return JSONResponse({"detail": f"{where}: {first['msg']}"[:300]}, 422)


def _says_json(request: Request) -> bool:
    """Whether a request says that its body is JSON."""
    media = request.headers.get("content-type", "").split(";")[0].strip().lower()
    return media == "application/json"
