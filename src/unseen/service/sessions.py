"""Sessions: a browser trades a token for a cookie, and every change needs a secret of the page."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from hmac import compare_digest

from sqlalchemy import Connection, delete, insert, select

from unseen.service.store.tables import now, sessions, tokens
from unseen.service.tokens import Who, digest_of

LASTS = timedelta(hours=12)


@dataclass(frozen=True)
class Session:
    """A browser that is signed in.

    Parameters
    ----------
    who : Who
        Whose token it traded.
    csrf : str
        The secret that its pages send with every change; other sites do not know it.
    """

    who: Who
    csrf: str

    def sent(self, secret: str) -> bool:
        """Whether a change comes from a page of this session."""
        return compare_digest(secret.encode(), self.csrf.encode())


def open_session(connection: Connection, who: Who) -> str:
    """A new session, always with a secret of its own, which is what its cookie holds. Those that
    have expired are forgotten.
    """
    connection.execute(delete(sessions).where(sessions.c.expires <= now()))
    secret, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    row = {"digest": digest_of(secret), "token": who.id, "csrf": csrf, "created": now()}
    connection.execute(insert(sessions), row | {"expires": now() + LASTS})
    return secret


def session_of(connection: Connection, secret: str) -> Session | None:
    """The session of a cookie; None once it, or its token, has expired or was ended."""
    until = sessions.c.expires.label("until")
    wanted = select(sessions.c.csrf, until, tokens).join(tokens)
    row = connection.execute(wanted.where(sessions.c.digest == digest_of(secret))).first()
    if row is None or row.revoked is not None or row.until <= now():
        return None
    if row.expires is not None and row.expires <= now():
        return None
    return Session(Who(row.id, row.name, row.role), row.csrf)


def close_session(connection: Connection, secret: str) -> None:
    """The cookie opens nothing any more."""
    connection.execute(delete(sessions).where(sessions.c.digest == digest_of(secret)))
