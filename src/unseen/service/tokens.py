"""Tokens: who asks, and what each role may do. Of a token the database holds a digest alone."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from sqlalchemy import Connection, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from unseen.errors import DataError
from unseen.service.store.tables import NAME, now, tokens
from unseen.service.store.trail import tell

ROLES = {
    "score": frozenset({"read", "score"}),
    "review": frozenset({"read", "label"}),
    "admin": frozenset({"read", "score", "label", "manage"}),
}
OPERATOR = "operator"  # who works at the command line, in the audit trail; the first token's name
PREFIX = "unseen_"  # so that people, and scanners of secrets, know one when they see it
NAMED = re.compile(rf"[a-z0-9][a-z0-9._-]{{0,{NAME - 1}}}")


@dataclass(frozen=True)
class Who:
    """Who asks.

    Parameters
    ----------
    id : int
        The token's number.
    name : str
        The token's name, under which labels and the audit trail show what was done with it.
    role : str
        One of `ROLES`.
    """

    id: int
    name: str
    role: str

    def may(self, what: str) -> bool:
        """Whether the role includes this: "read", "score", "label" or "manage"."""
        return what in ROLES[self.role]


def digest_of(secret: str) -> str:
    """What the database keeps of a secret: it is random and long, so one SHA-256 is enough."""
    return sha256(secret.encode()).hexdigest()


def check_name(name: str, what: str) -> str:
    """The name; DataError unless it may stand in URLs, folders and logs."""
    if not NAMED.fullmatch(name):
        raise DataError(
            f"{what} {name[:NAME]!r}: expected up to {NAME} of the characters a-z, 0-9, '.', '_' "
            "and '-', a letter or digit first; choose another name"
        )
    return name


def add_token(connection: Connection, name: str, role: str, expires: datetime | None = None) -> str:
    """A new token, which is shown once and kept nowhere; DataError for a name that is taken, or a
    role that is none.
    """
    check_name(name, "token")
    if role not in ROLES:
        raise DataError(f"token {name!r}: expected a role of {', '.join(ROLES)}, found {role!r}")
    secret = PREFIX + secrets.token_urlsafe(32)
    row = {"name": name, "role": role, "digest": digest_of(secret), "created": now()}
    try:
        connection.execute(insert(tokens), row | {"expires": expires})
    except IntegrityError as error:
        raise DataError(
            f"token {name!r}: there is, or was, one of that name; choose another, so that the "
            "audit trail stays clear"
        ) from error
    tell(connection, OPERATOR, "token.add", None, name, {"role": role})
    return secret


def revoke_token(connection: Connection, name: str) -> None:
    """No request with this token is answered any more; DataError where there is none."""
    found = connection.execute(
        update(tokens)
        .where(tokens.c.name == name, tokens.c.revoked.is_(None))
        .values(revoked=now())
    )
    if not found.rowcount:
        raise DataError(f"token {name!r}: there is none that is valid; see `unseen token list`")
    tell(connection, OPERATOR, "token.revoke", None, name, {})


def who_has(connection: Connection, secret: str) -> Who | None:
    """Whose token it is; None for one that is unknown, revoked, or has expired."""
    row = connection.execute(select(tokens).where(tokens.c.digest == digest_of(secret))).first()
    if row is None or row.revoked is not None or (row.expires and row.expires <= now()):
        return None
    return Who(row.id, row.name, row.role)


def any_valid_token(connection: Connection) -> bool:
    """Whether there is a token, of whatever role, that opens something."""
    lasting = or_(tokens.c.expires.is_(None), tokens.c.expires > now())
    found = select(tokens.c.id).where(tokens.c.revoked.is_(None), lasting).limit(1)
    return connection.execute(found).first() is not None


def all_tokens(connection: Connection) -> list[dict[str, str]]:
    """Every token there is or was, in words and without its digest, in the order of making."""
    found = connection.execute(select(tokens).order_by(tokens.c.id)).all()
    return [
        {
            "name": each.name,
            "role": each.role,
            "made": f"{each.created:%Y-%m-%d}",
            "state": _validity(each.revoked, each.expires),
        }
        for each in found
    ]


def _validity(revoked: datetime | None, expires: datetime | None) -> str:
    """Whether a token opens anything, in words."""
    if revoked is not None:
        return f"revoked on {revoked:%Y-%m-%d}"
    if expires is None:
        return "valid"
    return f"{'valid until' if expires > now() else 'expired on'} {expires:%Y-%m-%d %H:%M} UTC"
