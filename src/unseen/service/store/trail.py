"""The audit trail: who did what, in the transaction in which it was done."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert

from unseen.service.store.tables import audit, now


def tell(
    connection: Connection, who: str, what: str, model: str | None, subject: Any, detail: Any
) -> None:
    """A line of the audit trail, in the transaction of what it tells of."""
    row = {"at": now(), "who": who, "what": what, "model": model}
    connection.execute(insert(audit), row | {"subject": str(subject), "detail": detail})
