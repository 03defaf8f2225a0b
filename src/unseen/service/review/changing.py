"""POST of the review: signing in and out, answers, undo."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from unseen.service.answers import Answer, Stale
from unseen.service.labelling import answer_alert, check_kind, classes_of, first_of, undo
from unseen.service.review.door import (
    PREFIX,
    PageRoute,
    TheChange,
    base_of,
    cookie_of,
    form_of,
    is_part,
    number_of,
    own_origin,
)
from unseen.service.review.pages import rendered
from unseen.service.review.showing import queue_page
from unseen.service.sessions import LASTS, close_session, open_session
from unseen.service.state import TheService

router = APIRouter(prefix=PREFIX, route_class=PageRoute, include_in_schema=False)


@router.get("/sign-in")
def show_sign_in(request: Request) -> Response:
    """The form where a token is traded for a session."""
    return rendered("sign_in.html", {"base": base_of(request)})


@router.post("/sign-in")
def sign_in(
    request: Request,
    service: TheService,
    _: Annotated[None, Depends(own_origin)],
    fields: Annotated[dict[str, str], Depends(form_of)],
) -> Response:
    """A new session for whoever has a token that may label; one that the browser had ends."""
    secret = fields.get("token", "").strip()
    who = service.door.who(secret)
    if who is None:
        service.door.check_guess(request.client.host if request.client else "")
    if who is None or not who.may("label"):
        why = "This token is not valid." if who is None else "This token is not for review."
        told = f"{why} Make one with `unseen token add NAME --role review`."
        return rendered("sign_in.html", {"base": base_of(request), "told": told}, 403)
    with service.store.writing() as connection:
        close_session(connection, request.cookies.get(cookie_of(request), ""))
        cookie = open_session(connection, who)
    response = RedirectResponse(base_of(request), 303)
    response.set_cookie(cookie_of(request), cookie, int(LASTS.total_seconds()), **_flags(request))
    return response


@router.post("/sign-out")
def sign_out(request: Request, service: TheService, change: TheChange) -> Response:
    """The session ends, here and in the database."""
    with service.store.writing() as connection:
        close_session(connection, request.cookies.get(cookie_of(request), ""))
    response = RedirectResponse(f"{base_of(request)}/sign-in", 303)
    response.delete_cookie(cookie_of(request), **_flags(request))
    return response


@router.post("/models/{name}/answer")
def answer(name: str, request: Request, service: TheService, change: TheChange) -> Response:
    """Answer an alert as it was seen; where somebody was faster, their answer is shown instead."""
    fields, number = change.fields, change.number("alert")
    day = number_of(fields.get("day", "")) or None
    following = number_of(fields.get("other" if fields.get("duplicates") else "next", ""))
    try:
        told = _answered(service, name, number, change)
    except Stale as error:
        told, part = _sentence(str(error)), is_part(request)
        return queue_page(
            request, service, change.session, name, day, number, told=told, status=409, part=part
        )
    return _back(request, service, change, name, day, following, told)


def _answered(service: TheService, name: str, number: int, change: TheChange) -> str:
    """Write the answer of a form, and say what was written."""
    fields = change.fields
    if "known" in fields:
        given = Answer("known", fields["known"])
    else:
        kind = fields.get("kind") if fields.get("answer") == "new" else None
        given = Answer(fields.get("answer", ""), kind)
    classes = classes_of(service.registry, name)
    most = change.number("upto") if fields.get("duplicates") else 0
    with service.store.writing() as connection:
        check_kind(connection, name, given, classes)
        act = answer_alert(
            connection,
            name,
            number,
            given,
            revision=change.number("revision"),
            who=change.session.who.name,
            origin="page",
            duplicates_to=most,
        )
    more = f" and {act.labels - 1:,} near duplicates" if act.labels > 1 else ""
    return f"Alert {number}{more}: {given}."


@router.post("/models/{name}/undo")
def undo_answer(name: str, request: Request, service: TheService, change: TheChange) -> Response:
    """Take back one's last answer, which the page names: said twice, the second is refused."""
    day = number_of(change.fields.get("day", "")) or None
    act = change.fields.get("act", "")
    with service.store.writing() as connection:
        count = undo(connection, name, act, change.session.who)
        first = first_of(connection, name, act)
    told = "Undone." if count == 1 else f"Undone: {count:,} labels."
    return _back(request, service, change, name, day, first, told)


def _back(
    request: Request,
    service: TheService,
    change: TheChange,
    name: str,
    day: int | None,
    alert: int | None,
    told: str,
) -> Response:
    """The page after a change: its changed part, or, without the script, all of it anew."""
    if is_part(request):
        return queue_page(request, service, change.session, name, day, alert, told=told, part=True)
    asked = urlencode({"alert": alert or "", "day": day or ""})
    return RedirectResponse(f"{base_of(request)}/models/{quote(name)}?{asked}", 303)


def _flags(request: Request) -> dict[str, Any]:
    """What a browser is told about the cookie: no script reads it, no other site sends it."""
    return {
        "path": "/",
        "httponly": True,
        "samesite": "strict",
        "secure": request.url.scheme == "https",
    }


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
