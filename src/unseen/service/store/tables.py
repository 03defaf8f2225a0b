"""The tables of the database, one schema for SQLite and PostgreSQL.

`migrations` makes them; a test compares what they make with what stands here.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

NAME = 64  # characters of a name
ACTIVE = ("waiting", "running")  # states of a job that has not ended
UNKEPT = re.compile("[\x00\ud800-\udfff]")  # what PostgreSQL keeps in no text


class Moment(TypeDecorator[datetime]):
    """A time with its zone; SQLite, which knows none, keeps it in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"expected a time with its zone, got {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Text; what one of the two databases would not keep is refused by both."""

    impl = String
    cache_ok = True

    def __init__(self, most: int | None = None) -> None:
        super().__init__(most)
        self.most = most

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        if self.most is not None and len(value) > self.most:
            raise ValueError(f"expected at most {self.most} characters, found {len(value):,}")
        if UNKEPT.search(value):
            raise ValueError("text with a zero byte or half a character cannot be kept")
        return value


class Json(TypeDecorator[Any]):
    """JSON as text: both databases give back what they were given, also numbers without an end,
    which PostgreSQL's own type refuses.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


# Numbers that people and other tables speak of: SQLite, as PostgreSQL, gives none a second time.
_LASTING: dict[str, Any] = {"sqlite_autoincrement": True}


def _counted() -> Column[int]:
    """A key that the database counts; SQLite counts none but its own integers."""
    return Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True)


def _model(**how: Any) -> Column[str]:
    return Column("model", Words(NAME), ForeignKey("models.name"), nullable=False, **how)


tokens = Table(
    "tokens",
    metadata,
    _counted(),
    Column("name", Words(NAME), nullable=False, unique=True),  # who is who in labels and audit
    Column("role", Words(16), nullable=False),  # "score", "review" or "admin"
    Column("digest", Words(64), nullable=False, unique=True),  # SHA-256 of the secret
    Column("created", Moment, nullable=False),
    Column("expires", Moment),
    Column("revoked", Moment),
    **_LASTING,
)

sessions = Table(  # of browsers, which trade a token for a cookie
    "sessions",
    metadata,
    Column("digest", Words(64), primary_key=True),  # SHA-256 of the cookie
    Column("token", ForeignKey("tokens.id", ondelete="CASCADE"), nullable=False),
    Column("csrf", Words(64), nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("name", Words(NAME), primary_key=True),
    Column("created", Moment, nullable=False),
    Column("current", Integer, nullable=False),  # the number of the version that serves
    Column("previous", Integer),  # the one that rollback goes back to
    Column("policy", Words(8), nullable=False),  # "alpha", "fdr" or "cost"
    Column("level", Float, nullable=False),
    Column("traffic", Float),  # rows a day, where the level is of alarms a day
    Column("revision", Integer, nullable=False, server_default=text("0")),
)

versions = Table(  # saved detectors, in folders of the service's own
    "versions",
    metadata,
    Column("model", Words(NAME), ForeignKey("models.name"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("digest", Words(64), nullable=False),  # SHA-256 of its bundle.json
    Column("origin", Words(16), nullable=False),  # "given", "retrain" or "recalibrate"
    Column("created", Moment, nullable=False),
    Column("by", Words(NAME)),
    Column("facts", Json, nullable=False),
)

alerts = Table(
    "alerts",
    metadata,
    _counted(),
    _model(),
    Column("version", Integer, nullable=False),
    Column("request", Words(NAME), nullable=False),  # of the client: said again, it is not doubled
    Column("row", BigInteger, nullable=False),  # in the request, from 1
    Column("at", Moment, nullable=False),
    Column("key", Words()),  # what the client calls the row
    Column("score", Float, nullable=False),
    Column("pvalue", Float, nullable=False),
    Column("kind", Words()),
    Column("kind_pvalue", Float),
    Column("novelty", Float),
    Column("values", Json, nullable=False),  # the row as it came
    Column("reasons", Json),  # Reasons.to_json and the row that it is compared with
    Column("similar", Words(64), nullable=False),  # equal of near duplicates
    Column("answer", Words(8)),  # of the label that counts; null while the alert is open
    Column("answer_kind", Words()),
    Column("revision", Integer, nullable=False, server_default=text("0")),
    UniqueConstraint("model", "request", "row"),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.number"]),
    Index("ix_alerts_queue", "model", "answer", "pvalue"),
    Index("ix_alerts_time", "model", "at"),
    Index("ix_alerts_similar", "model", "similar"),
    **_LASTING,
)

pictures = Table(
    "pictures",
    metadata,
    Column("alert", ForeignKey("alerts.id", ondelete="CASCADE"), primary_key=True),
    Column("what", Words(16), primary_key=True),  # "image" or "heat", as shown; "given" as it came
    Column("media", Words(32), nullable=False),
    Column("bytes", LargeBinary, nullable=False),
)

labels = Table(
    "labels",
    metadata,
    _counted(),
    _model(),
    Column("alert", ForeignKey("alerts.id", ondelete="CASCADE")),  # null: of a row of its own
    Column("act", Words(32), nullable=False),  # labels of one act are undone together
    Column("at", Moment, nullable=False),
    Column("by", Words(NAME), nullable=False),
    Column("origin", Words(16), nullable=False),  # "page", "api" or "import"
    Column("answer", Words(8), nullable=False),  # "normal", "known", "new" or "unsure"
    Column("kind", Words()),  # of "known" and "new"
    Column("key", Words()),
    Column("values", Json),  # of a row that is no alert
    Column("undone", Moment),
    Column("undone_by", Words(NAME)),
    Index("ix_labels_time", "model", "at"),
    Index("ix_labels_alert", "alert"),
    Index("ix_labels_act", "act"),
    **_LASTING,
)

jobs = Table(
    "jobs",
    metadata,
    _counted(),
    _model(),
    Column("what", Words(16), nullable=False),  # "retrain" or "recalibrate"
    Column("state", Words(16), nullable=False),  # ACTIVE, "done", "failed", "cancelled" or "lost"
    Column("progress", Float, nullable=False, server_default=text("0")),  # 0 to 1
    Column("message", Words(), nullable=False, server_default=text("''")),
    Column("settings", Json, nullable=False),
    Column("by", Words(NAME), nullable=False),
    Column("created", Moment, nullable=False),
    Column("started", Moment),
    Column("beat", Moment),  # when the process was last heard of
    Column("ended", Moment),
    Column("version", Integer),  # that it made
    **_LASTING,
)
Index(
    "uq_jobs_active",
    jobs.c.model,
    unique=True,  # one at a time
    sqlite_where=jobs.c.state.in_(ACTIVE),
    postgresql_where=jobs.c.state.in_(ACTIVE),
)

rescored = Table(  # alerts as a later version judges them
    "rescored",
    metadata,
    Column("alert", ForeignKey("alerts.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("score", Float, nullable=False),
    Column("pvalue", Float, nullable=False),
)

traffic = Table(
    "traffic",
    metadata,
    Column("model", Words(NAME), ForeignKey("models.name"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("hour", Moment, primary_key=True),
    Column("rows", BigInteger, nullable=False),
    Column("alarms", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
)

drifts = Table(
    "drifts",
    metadata,
    _counted(),
    _model(),
    Column("version", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("drifted", Boolean, nullable=False),
    Column("report", Json, nullable=False),  # Drift.to_json
    Index("ix_drifts_time", "model", "at"),
)

recent = Table(  # rows that passed, to recalibrate on
    "recent",
    metadata,
    _counted(),
    _model(),
    Column("at", Moment, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("block", LargeBinary, nullable=False),  # an Arrow stream
    Index("ix_recent_time", "model", "at"),
)

audit = Table(
    "audit",
    metadata,
    _counted(),
    Column("at", Moment, nullable=False),
    Column("who", Words(NAME), nullable=False),
    Column("what", Words(32), nullable=False),  # such as "label", "promote", "token.revoke"
    Column("model", Words(NAME)),
    Column("subject", Words()),  # the number of an alert, a label, a version, a job
    Column("detail", Json, nullable=False),
    Index("ix_audit_time", "at"),
    **_LASTING,
)


def now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)
