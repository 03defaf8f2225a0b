"""Alerts and labels: what waits for an answer, answers, their undoing, and labels as files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from unseen.service.access import allowed
from unseen.service.answers import KEY, LARGEST, LONGEST, Answer, Stale
from unseen.service.bodies import body_of
from unseen.service.exchange import as_tasks, exported, import_labels
from unseen.service.labelfiles import as_csv, of_csv, of_tasks
from unseen.service.labelling import (
    alert_of,
    answer_alert,
    check_kind,
    classes_of,
    label_rows,
    undo,
)
from unseen.service.lessons import check_rows
from unseen.service.state import Number, Service, TheService
from unseen.service.store.tables import alerts, labels
from unseen.service.tokens import Who

router = APIRouter(prefix="/v1/models/{name}", tags=["alerts and labels"])
Reader = Annotated[Who, Depends(allowed("read"))]
Labeller = Annotated[Who, Depends(allowed("label"))]
After = Annotated[int, Query(ge=0, le=LARGEST, description="The last number of the page before.")]
Most = Annotated[int, Query(ge=1, le=1000, description="How many, at most.")]
Format = Literal["csv", "label-studio"]
ROWS = 1000  # labels of rows in one request


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class GivenAnswer(_Strict):
    """An answer to an alert, as it was seen."""

    answer: Literal["normal", "known", "new", "unsure"]
    kind: Annotated[str | None, Field(max_length=LONGEST, examples=["slow leak"])] = None
    revision: Annotated[int, Field(ge=0, le=LARGEST, description="Of the alert, as it was seen.")]
    duplicates: Annotated[bool, Field(description="Answer open near duplicates alike.")] = False


class GivenRow(_Strict):
    """A label of a row that is no alert."""

    answer: Literal["normal", "known", "new", "unsure"]
    kind: Annotated[str | None, Field(max_length=LONGEST)] = None
    key: Annotated[str | None, Field(max_length=KEY)] = None
    values: Annotated[dict[str, Any], Field(examples=[{"bytes_out": 340000, "service": "ftp"}])]


class GivenRows(_Strict):
    """Labels of rows that are no alerts."""

    labels: Annotated[list[GivenRow], Field(min_length=1, max_length=ROWS)]


class GivenAct(_Strict):
    """What is to be undone."""

    act: Annotated[str, Field(max_length=64, description="As the answer to a label told it.")]


@router.get("/alerts")
def list_alerts(
    name: str,
    service: TheService,
    who: Reader,
    state: Literal["open", "answered", "all"] = "open",
    after: After = 0,
    limit: Most = 100,
) -> dict[str, Any]:
    """Alerts in the order in which they came, a page at a time."""
    which = {"open": [alerts.c.answer.is_(None)], "answered": [alerts.c.answer.is_not(None)]}
    wanted = select(alerts).where(
        alerts.c.model == name, alerts.c.id > after, *which.get(state, [])
    )
    service.registry.serving(name)
    with service.store.reading() as connection:
        found = connection.execute(wanted.order_by(alerts.c.id).limit(limit)).all()
    return {"alerts": [dict(each._mapping) for each in found], **_next(found, limit)}


@router.get("/alerts/{number}")
def one_alert(name: str, number: Number, service: TheService, who: Reader) -> dict[str, Any]:
    """An alert, with the revision that an answer names."""
    with service.store.reading() as connection:
        return dict(alert_of(connection, name, number)._mapping)


@router.patch("/alerts/{number}", responses={409: {"description": "Answered meanwhile."}})
def answer_one(
    name: str, number: Number, given: GivenAnswer, service: TheService, who: Labeller
) -> dict[str, Any]:
    """Answer an alert. Where somebody answered since it was seen, 409 tells what; nothing is
    overwritten.
    """
    answer, classes = Answer(given.answer, given.kind), classes_of(service.registry, name)
    most = LARGEST if given.duplicates else 0
    with service.store.writing() as connection:
        check_kind(connection, name, answer, classes)
        act = answer_alert(
            connection,
            name,
            number,
            answer,
            revision=given.revision,
            who=who.name,
            origin="api",
            duplicates_to=most,
        )
        newest = alert_of(connection, name, number)
    return {"act": act.id, "labels": act.labels, "revision": newest.revision}


@router.get("/labels")
def list_labels(
    name: str, service: TheService, who: Reader, after: After = 0, limit: Most = 100
) -> dict[str, Any]:
    """All labels, those that were undone too, in the order in which they came."""
    service.registry.serving(name)
    wanted = select(labels).where(labels.c.model == name, labels.c.id > after)
    with service.store.reading() as connection:
        found = connection.execute(wanted.order_by(labels.c.id).limit(limit)).all()
    return {"labels": [dict(each._mapping) for each in found], **_next(found, limit)}


@router.post("/labels", status_code=201)
def add_row_labels(
    name: str, given: GivenRows, service: TheService, who: Labeller
) -> dict[str, Any]:
    """Labels of rows that are no alerts."""
    classes = classes_of(service.registry, name)
    detector = service.registry.serving(name).bundle.detector
    rows = [(Answer(each.answer, each.kind), each.key, each.values) for each in given.labels]
    check_rows([each.values for each in given.labels if each.values], detector)
    with service.store.writing() as connection:
        for answer, _, _ in rows:
            check_kind(connection, name, answer, classes)
        act = label_rows(connection, name, rows, who=who.name, origin="api")
    return {"act": act.id, "labels": act.labels}


@router.post("/labels/undo", responses={409: {"description": "Undone before."}})
def undo_act(name: str, given: GivenAct, service: TheService, who: Labeller) -> dict[str, Any]:
    """Take back what one call labelled: one's own labels; administrators, anybody's."""
    with service.store.writing() as connection:
        return {"labels": undo(connection, name, given.act, who)}


@router.get("/labels/export", response_class=StreamingResponse)
def export_labels(
    name: str, service: TheService, who: Labeller, format: Format = "csv"
) -> StreamingResponse:
    """The labels that count, as CSV or as Label Studio's JSON with open alerts as tasks."""
    return labels_file(service, name, format)


@router.post("/labels/import")
async def import_file(
    name: str, request: Request, service: TheService, who: Labeller, format: Format = "csv"
) -> dict[str, int]:
    """Add the labels of such a file: all of them, or none where an alert has another answer."""
    body = await body_of(request, service.limits.body)
    return await run_in_threadpool(labels_from, service, name, format, body, who)


def labels_file(service: Service, name: str, format: Format) -> StreamingResponse:
    """The labels of a model as a file."""
    service.registry.serving(name)

    def pieces() -> Iterator[str]:
        with service.store.reading() as connection:
            if format == "csv":
                yield from as_csv(exported(connection, name))
            else:
                yield from as_tasks(connection, name)

    media, ending = ("text/csv", "csv") if format == "csv" else ("application/json", "json")
    shown = {"Content-Disposition": f'attachment; filename="{name}-labels.{ending}"'}
    return StreamingResponse(pieces(), media_type=f"{media}; charset=utf-8", headers=shown)


def labels_from(
    service: Service, name: str, format: Format, body: bytes, who: Who
) -> dict[str, int]:
    """Import a file of labels, and say what became of it."""
    detector = service.registry.serving(name).bundle.detector
    lines = of_csv(body) if format == "csv" else of_tasks(body)
    with service.store.writing() as connection:
        return asdict(import_labels(connection, name, lines, who.name, detector))


def tell_stale(request: Request, error: Exception) -> JSONResponse:
    """409, with the newest state of the alert."""
    assert isinstance(error, Stale)
    return JSONResponse({"detail": str(error), "alert": error.alert}, 409)


def _next(found: Any, limit: int) -> dict[str, int | None]:
    """The number after which the next page begins; None at the end."""
    return {"next": found[-1].id if len(found) == limit else None}
