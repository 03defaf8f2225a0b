"""The application: routes, and what every answer has in common."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from unseen._version import __version__
from unseen.errors import UnseenError
from unseen.service.jobs import NoJob
from unseen.service.registry import Conflict, NoModel
from unseen.service.routes import jobs, metrics, scoring, trail, versions
from unseen.service.state import Service
from unseen.service.store.store import StoreError

STATUS: dict[type[Exception], int] = {
    NoModel: 404,
    NoJob: 404,
    Conflict: 409,
    StoreError: 503,
}  # of others 400


def create_app(service: Service) -> FastAPI:
    """The application of a service."""
    app = FastAPI(title="unseen", version=__version__, docs_url=None, redoc_url=None)
    app.state.service = service
    for each in (scoring, jobs, versions, metrics, trail):
        app.include_router(each.router)
    app.add_exception_handler(UnseenError, _told)
    return app


def _told(request: Request, error: Exception) -> JSONResponse:
    """An error of ours, as its sentence."""
    status = STATUS.get(type(error), 400)
    headers = {"Retry-After": "1"} if status == 503 else None
    return JSONResponse({"detail": str(error)}, status, headers)
