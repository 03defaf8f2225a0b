"""Who may ask for what: a token in the header of a request, never in its address."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from unseen.service.state import TheService
from unseen.service.tokens import Who, who_has

_bearer = HTTPBearer(auto_error=False, description="A token made by `unseen token add`.")
_NEEDED = "expected a token: send the header 'Authorization: Bearer TOKEN'"


def caller(
    service: TheService,
    sent: HTTPAuthorizationCredentials | None = Depends(_bearer),  # noqa: B008
) -> Who:
    """Whose token a request brings; 401 without a valid one."""
    who = None
    if sent is not None:
        with service.store.reading() as connection:
            who = who_has(connection, sent.credentials)
    if who is None:
        raise HTTPException(401, _NEEDED, {"WWW-Authenticate": "Bearer"})
    return who


def allowed(what: str) -> Callable[[Who], Who]:
    """A dependency: whose token it is; 403 unless its role includes this."""

    def check(who: Who = Depends(caller)) -> Who:  # noqa: B008
        if not who.may(what):
            raise HTTPException(403, f"the role {who.role!r} of this token may not {what}")
        return who

    return check
