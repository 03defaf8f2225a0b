"""POST /v1/models/{name}/retrain and /recalibrate, GET /v1/jobs, POST /v1/jobs/{number}/cancel."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row, select

from unseen.detector.recalibrate import MOST
from unseen.errors import DataError
from unseen.service.access import allowed
from unseen.service.jobs import ask, cancel, job_of
from unseen.service.lessons import lessons_of
from unseen.service.making import check_lessons
from unseen.service.registry import of_model
from unseen.service.state import Number, Service, TheService
from unseen.service.store.tables import jobs
from unseen.service.tokens import Who

router = APIRouter(prefix="/v1", tags=["jobs"])
Reader = Annotated[Who, Depends(allowed("read"))]
Manager = Annotated[Who, Depends(allowed("manage"))]


class Retrain(BaseModel):
    """How to retrain."""

    model_config = ConfigDict(extra="forbid")

    promote: bool = Field(
        default=False, description="whether the new version serves as soon as it is made"
    )


class Recalibrate(Retrain):
    """How to recalibrate."""

    anomalies: float = Field(
        default=0.01,
        ge=0,
        le=MOST,
        description="share of anomalies that may be among the recent rows",
    )


class Job(BaseModel):
    """A job, and how far it is."""

    job: int
    model: str
    what: str = Field(examples=["retrain"])
    state: str = Field(description="waiting, running, done, failed, cancelled or lost")
    progress: float = Field(description="the share that is thought to be done, 0 to 1")
    message: str
    settings: dict[str, Any]
    by: str
    created: datetime
    started: datetime | None
    ended: datetime | None
    version: int | None = Field(description="the version that it made")


@router.post("/models/{name}/retrain", status_code=202)
def retrain_model(
    name: str, service: TheService, who: Manager, response: Response, how: Retrain | None = None
) -> Job:
    """Learn what people said of rows: a job that makes a version."""
    with service.store.reading() as connection:
        of_model(connection, name)
        check_lessons(name, lessons_of(connection, name))
    train, serving = service.train.get(name), service.registry.serving(name)
    if train is None and serving.bundle.detector.schema_.noun != "rows":
        raise DataError(
            f"model {name!r}: images do not stay with a detector, and it learns from all of them "
            f"again: serve it with --train {name}=FOLDER"
        )
    settings = (how or Retrain()).model_dump()
    return _asked(
        service, name, "retrain", settings | {"train": train and str(train)}, who, response
    )


@router.post("/models/{name}/recalibrate", status_code=202)
def recalibrate_model(
    name: str, service: TheService, who: Manager, response: Response, how: Recalibrate | None = None
) -> Job:
    """Take p-values from rows as they came of late: a job that makes a version."""
    settings = (how or Recalibrate()).model_dump()
    return _asked(service, name, "recalibrate", settings, who, response)


@router.get("/jobs")
def list_jobs(
    service: TheService,
    who: Reader,
    model: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[Job]:
    """Jobs, the newest first."""
    found = select(jobs).order_by(jobs.c.id.desc()).limit(limit)
    with service.store.reading() as connection:
        rows = connection.execute(found if model is None else found.where(jobs.c.model == model))
        return [_shown_job(row) for row in rows]


@router.get("/jobs/{number}")
def get_job(number: Number, service: TheService, who: Reader) -> Job:
    """A job, and how far it is."""
    with service.store.reading() as connection:
        return _shown_job(job_of(connection, number))


@router.post("/jobs/{number}/cancel")
def cancel_job(number: Number, service: TheService, who: Manager) -> Job:
    """End a job without a result."""
    cancel(service.store, number, who.name)
    return get_job(number, service, who)


def _asked(
    service: Service, name: str, what: str, settings: dict[str, Any], who: Who, response: Response
) -> Job:
    number = ask(service.store, name, what, settings, who.name)
    service.runner.wake()
    response.headers["Location"] = f"/v1/jobs/{number}"
    return get_job(number, service, who)


def _shown_job(row: Row[Any]) -> Job:
    settings = {key: value for key, value in row.settings.items() if key != "train"}  # a path
    return Job(
        job=row.id,
        model=row.model,
        what=row.what,
        state=row.state,
        progress=row.progress,
        message=row.message,
        settings=settings,
        by=row.by,
        created=row.created,
        started=row.started,
        ended=row.ended,
        version=row.version,
    )
