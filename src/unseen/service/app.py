"""The application: routes, and what every answer has in common."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from unseen._version import __version__
from unseen.errors import BundleError, UnseenError
from unseen.service.answers import NoAlert, NotYours, Stale, Undone
from unseen.service.bodies import TooMuch
from unseen.service.guard import Guard
from unseen.service.logs import log
from unseen.service.problems import PROBLEMS
from unseen.service.registry import NoModel
from unseen.service.routes import health, labels, models, scoring
from unseen.service.state import Service
from unseen.service.store.store import StoreError

STATUS: list[tuple[type[Exception], int]] = [  # the first that fits
    (NoModel, 404),
    (NoAlert, 404),
    (NotYours, 403),
    (Undone, 409),
    (TooMuch, 413),
    (StoreError, 503),
    (BundleError, 500),
    (UnseenError, 400),
]
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
    for each in (scoring, models, labels, health):
        app.include_router(each.router)
    app.add_exception_handler(Stale, labels.tell_stale)
    app.add_exception_handler(UnseenError, _told)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_middleware(Guard, limits=service.limits)
    return app


def _told(request: Request, error: Exception) -> JSONResponse:
    """An error of ours, as its sentence."""
    status = next(status for kind, status in STATUS if isinstance(error, kind))
    headers = {"Retry-After": "1"} if status == 503 else None
    text = str(error)
    if isinstance(error, BundleError):  # names folders of this machine
        log.error("damaged", extra={"facts": {"detail": text}})
        text = "the saved detector of this model is damaged; the log of the service says how"
    return JSONResponse({"detail": text}, status, headers)


def _malformed(request: Request, error: Exception) -> JSONResponse:
    """What a request lacks, without what it had instead."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = " ".join(str(part)[:64] for part in first["loc"])
    return JSONResponse({"detail": f"{where}: {first['msg']}"[:300]}, 422)
