"""The door of the review page: who is signed in, which changes are theirs, and what every answer
tells a browser to refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit

from fastapi import Depends, HTTPException, Request, Response
from fastapi.routing import APIRoute

from unseen.errors import UnseenError
from unseen.service.answers import LARGEST
from unseen.service.guard import admit_body
from unseen.service.review.pages import rendered
from unseen.service.sessions import Session, session_of
from unseen.service.state import TheService
from unseen.service.statuses import refused

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with none, browsers would not say where a form comes from
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
FORM, FIELDS = 64 << 10, 20  # bytes and fields of a form without a file
PREFIX = "/review"


class PageRoute(APIRoute):
    """A route of the page: refusals are pages, too, and every answer has the same headers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                response = await answer(request)
            except UnseenError as error:
                response = refusal(request, *refused(error))
            except HTTPException as error:
                response = refusal(request, error.status_code, error.detail)
                response.headers.update(error.headers or {})
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return guarded


def refusal(request: Request, status: int, text: str) -> Response:
    """What was not done and why, as a page or as the part of one that shows messages."""
    if status in (204, 303):
        return Response(status_code=status)
    part = is_part(request)
    page = "told.html" if part else "refused.html"
    response = rendered(page, {"told": text, "base": base_of(request)}, status)
    if part:
        response.headers.update({"HX-Retarget": "#told", "HX-Reswap": "innerHTML"})
    return response


def is_part(request: Request) -> bool:
    """Whether the script of the page asks, which wants a part of it."""
    return request.headers.get("hx-request") == "true"


def base_of(request: Request) -> str:
    """Where the page begins, below what a proxy puts before it."""
    return f"{request.scope.get('root_path', '')}{PREFIX}"


def page_frame(request: Request, session: Session, name: str, here: str) -> dict[str, Any]:
    """What pages of a model have in common."""
    return {"base": base_of(request), "session": session, "name": name, "here": here}


def cookie_of(request: Request) -> str:
    """The name of the cookie; over TLS one that no other host can set."""
    return "__Host-unseen" if request.url.scheme == "https" else "unseen"


def visitor(request: Request, service: TheService) -> Session:
    """Who is signed in; others are sent to the form where tokens are traded for a session."""
    secret = request.cookies.get(cookie_of(request))
    found = None
    if secret:
        with service.store.reading() as connection:
            found = session_of(connection, secret)
    if found is None or not found.who.may("label"):
        place = f"{base_of(request)}/sign-in"
        if is_part(request):
            raise HTTPException(204, headers={"HX-Redirect": place})
        raise HTTPException(303, headers={"Location": place})
    return found


Visitor = Annotated[Session, Depends(visitor)]


def own_origin(request: Request) -> None:
    """403 for a change that another site asks for: browsers say where a form comes from."""
    origin = urlsplit(request.headers.get("origin", ""))
    if origin.scheme not in ("http", "https") or origin.netloc != request.headers.get("host"):
        raise HTTPException(403, "this change does not come from a page of this service")


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form without a file."""
    admit_body(request.scope, FORM)
    body = await request.body()
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS))
    except ValueError as error:
        raise HTTPException(400, "expected the fields of a form") from error


def check_csrf(session: Session, secret: str) -> None:
    """403 for a change that comes from no page of this session."""
    if not session.sent(secret):
        raise HTTPException(403, "this page is out of date: load it again, then repeat the change")


@dataclass(frozen=True)
class Change:
    """A change that somebody asks for.

    Parameters
    ----------
    session : Session
        Whose page it comes from.
    fields : dict
        The form.
    """

    session: Session
    fields: dict[str, str]

    def number(self, name: str) -> int:
        """A field that is a number from 0; 400 for another."""
        found = number_of(self.fields.get(name, ""))
        if found is None:
            raise HTTPException(400, f"expected a number as {name}")
        return found


def number_of(text: str) -> int | None:
    """A number from 0 of an address or a form; None where there is none."""
    digits = text.isascii() and text.isdigit() and len(text) < 17
    return int(text) if digits and int(text) <= LARGEST else None


def changing(
    session: Visitor,
    _: Annotated[None, Depends(own_origin)],
    fields: Annotated[dict[str, str], Depends(form_of)],
) -> Change:
    """A change by somebody signed in, from a page of their session; 403 for others."""
    check_csrf(session, fields.get("csrf", ""))
    return Change(session, fields)


TheChange = Annotated[Change, Depends(changing)]


def admitted(session: Session, what: str) -> None:
    """403 unless the role of who is signed in includes this."""
    if not session.who.may(what):
        raise HTTPException(403, f"the role {session.who.role!r} of this token may not {what}")
