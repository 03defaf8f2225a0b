"""GET pages of the review: models, and the queue of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response
from sqlalchemy import func, select

from unseen.service.answers import LONGEST, NoAlert
from unseen.service.labelling import classes_of, kinds_named
from unseen.service.review.door import PREFIX, PageRoute, Visitor, base_of, number_of, page_frame
from unseen.service.review.pages import rendered, static_files
from unseen.service.review.views import alert_view
from unseen.service.review.waiting import mark_of, queue_of, undo_of
from unseen.service.sessions import Session
from unseen.service.state import Number, Service, TheService
from unseen.service.store.tables import alerts, models, pictures

router = APIRouter(prefix=PREFIX, route_class=PageRoute, include_in_schema=False)
EVERY = 3  # seconds, after which a page asks for what is new
MEDIA = ("image/webp", "image/png", "image/jpeg")  # that a browser shows and does not run
Day = Annotated[str, Query(max_length=12, alias="day")]
Asked = Annotated[str, Query(max_length=20)]


@router.get("")
def show_models(request: Request, service: TheService, session: Visitor) -> Response:
    """The models, and how many alerts of each wait."""
    count = func.count(alerts.c.id).label("open")
    waiting = alerts.c.model == models.c.name, alerts.c.answer.is_(None)
    joined = models.outerjoin(alerts, waiting[0] & waiting[1])
    wanted = select(models.c.name, models.c.current, count).select_from(joined)
    with service.store.reading() as connection:
        found = connection.execute(wanted.group_by(models.c.name).order_by(models.c.name)).all()
    return rendered("models.html", {"base": base_of(request), "session": session, "models": found})


@router.get("/models/{name}")
def show_queue(
    name: str,
    request: Request,
    service: TheService,
    session: Visitor,
    day: Day = "",
    alert: Asked = "",
) -> Response:
    """The queue of a model, and the alert that is looked at."""
    return queue_page(request, service, session, name, number_of(day) or None, number_of(alert))


@router.get("/models/{name}/work")
def show_work(
    name: str,
    request: Request,
    service: TheService,
    session: Visitor,
    day: Day = "",
    alert: Asked = "",
    seen: Asked = "",
    mark: Annotated[str, Query(max_length=32)] = "",
) -> Response:
    """The same without its frame; nothing where it would be what is shown already."""
    if mark:
        with service.store.reading() as connection:
            if mark_of(connection, name) == mark:
                return Response(status_code=204)
    return queue_page(
        request, service, session, name, number_of(day) or None, number_of(alert or seen), part=True
    )


def queue_page(
    request: Request,
    service: Service,
    session: Session,
    name: str,
    day: int | None,
    alert: int | None,
    *,
    told: str = "",
    status: int = 200,
    part: bool = False,
) -> Response:
    """The queue of a model as a page, or the part of it that changes."""
    classes = classes_of(service.registry, name)
    with service.store.reading() as connection:
        queue = queue_of(connection, name, day)
        numbers = [row.id for row in queue.rows]
        view = _view(connection, name, alert, numbers)
        what: dict[str, Any] = {
            "queue": queue,
            "view": view,
            "kinds": kinds_named(connection, name, classes),
            "undo": undo_of(connection, name, session.who.name),
        }
    what |= _neighbours(queue.rows, view)
    what |= page_frame(request, session, name, "") | {"day": day, "part": part, "told": told}
    what |= {"longest": LONGEST, "every": EVERY}
    return rendered("work.html" if part else "queue.html", what, status)


def _view(
    connection: Any, name: str, alert: int | None, numbers: list[int]
) -> dict[str, Any] | None:
    """The alert that is asked for, else the first that waits; None where none does."""
    if alert:
        try:
            return alert_view(connection, name, alert)
        except NoAlert:  # deleted meanwhile
            pass
    return alert_view(connection, name, numbers[0]) if numbers else None


def _neighbours(rows: Sequence[Any], view: dict[str, Any] | None) -> dict[str, int | None]:
    """The alerts before and after the one that is looked at; after one that left the queue the
    first. `other` is the one to go on with where near duplicates are answered, too.
    """
    numbers = [row.id for row in rows]
    if view is None or view["row"].id not in numbers:
        first = numbers[0] if view is not None and numbers else None
        return {"before": None, "after": first, "other": first}
    place = numbers.index(view["row"].id)
    others = [
        row.id
        for row in (*rows[place + 1 :], *reversed(rows[:place]))
        if row.similar != view["row"].similar
    ]
    return {
        "before": numbers[place - 1] if place else None,
        "after": numbers[place + 1] if place + 1 < len(numbers) else None,
        "other": others[0] if others else None,
    }


@router.get("/models/{name}/alerts/{number}/pictures/{what}")
def show_picture(
    name: str, number: Number, what: str, service: TheService, session: Visitor
) -> Response:
    """A picture of an alert, of a type that a browser shows and does not run."""
    mine = alerts.c.model == name, alerts.c.id == number, pictures.c.what == what
    wanted = select(pictures.c.media, pictures.c.bytes).select_from(pictures.join(alerts))
    with service.store.reading() as connection:
        row = connection.execute(wanted.where(*mine)).first()
    if row is None or row.media not in MEDIA:
        raise HTTPException(404, "there is no such picture")
    return Response(row.bytes, media_type=row.media)


@router.get("/static/{name}")
def show_static(name: str) -> Response:
    """Scripts and style sheets."""
    if name not in static_files():
        raise HTTPException(404, "there is no such file")
    body, media = static_files()[name]
    return Response(body, media_type=media, headers={"Cache-Control": "max-age=3600"})
