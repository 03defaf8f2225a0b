"""Who may ask for what: a token in the header of a request, never in its address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool

from unseen.service.state import TheService
from unseen.service.tokens import Who

_bearer = HTTPBearer(auto_error=False, description="A token made by `unseen token add`.")
_NEEDED = "expected a token: send the header 'Authorization: Bearer TOKEN'"
_UNKNOWN = "this token is not valid: it was mistyped, revoked, has expired, or is another service's"


async def caller(
    service: TheService,
    request: Request,
    sent: HTTPAuthorizationCredentials | None = Depends(_bearer),  # noqa: B008
) -> Who:
    """Whose token a request brings; 401 without a valid one, 429 for too many requests."""
    if sent is None:
        raise HTTPException(401, _NEEDED, {"WWW-Authenticate": "Bearer"})
    door = service.door
    who = door.remembered(sent.credentials) or await run_in_threadpool(door.who, sent.credentials)
    if who is None:
        door.check_guess(request.client.host if request.client else "")
        raise HTTPException(401, _UNKNOWN, {"WWW-Authenticate": "Bearer"})
    request.state.who = who
    door.check_rate(who)
    return who


def allowed(what: str) -> Callable[[Who], Awaitable[Who]]:
    """A dependency: whose token it is; 403 unless its role includes this."""

    async def check(who: Who = Depends(caller)) -> Who:  # noqa: B008
        if not who.may(what):
            raise HTTPException(403, f"the role {who.role!r} of this token may not {what}")
        return who

    return check
