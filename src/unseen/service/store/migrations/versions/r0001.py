"""Revision 0001: the first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)
_ACTIVE = sa.text("state IN ('waiting', 'running')")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("who", sa.String(64), nullable=False),
        sa.Column("what", sa.String(32), nullable=False),
        sa.Column("model", sa.String(64), nullable=True),
        sa.Column("subject", sa.String, nullable=True),
        sa.Column("detail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_time", "audit", ["at"], unique=False)
    op.create_table(
        "models",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.Column("current", sa.Integer, nullable=False),
        sa.Column("previous", sa.Integer, nullable=True),
        sa.Column("policy", sa.String(8), nullable=False),
        sa.Column("level", sa.Float, nullable=False),
        sa.Column("traffic", sa.Float, nullable=True),
        sa.Column("revision", sa.Integer, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_models")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.Column("expires", _MOMENT, nullable=True),
        sa.Column("revoked", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_tokens_digest")),
        sa.UniqueConstraint("name", name=op.f("uq_tokens_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "drifts",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("drifted", sa.Boolean, nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name=op.f("fk_drifts_model_models")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drifts")),
    )
    op.create_index("ix_drifts_time", "drifts", ["model", "at"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("what", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("progress", sa.Float, server_default=sa.text("0"), nullable=False),
        sa.Column("message", sa.String, server_default=sa.text("''"), nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("by", sa.String(64), nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.Column("started", _MOMENT, nullable=True),
        sa.Column("beat", _MOMENT, nullable=True),
        sa.Column("ended", _MOMENT, nullable=True),
        sa.Column("version", sa.Integer, nullable=True),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name=op.f("fk_jobs_model_models")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_jobs_active",
        "jobs",
        ["model"],
        unique=True,
        sqlite_where=_ACTIVE,
        postgresql_where=_ACTIVE,
    )
    op.create_table(
        "recent",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("block", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name=op.f("fk_recent_model_models")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recent")),
    )
    op.create_index("ix_recent_time", "recent", ["model", "at"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("token", _NUMBER, nullable=False),
        sa.Column("csrf", sa.String(64), nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.Column("expires", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["token"], ["tokens.id"], name=op.f("fk_sessions_token_tokens"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sessions")),
    )
    op.create_table(
        "traffic",
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("hour", _MOMENT, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("alarms", sa.BigInteger, nullable=False),
        sa.Column("failed", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name=op.f("fk_traffic_model_models")),
        sa.PrimaryKeyConstraint("model", "version", "hour", name=op.f("pk_traffic")),
    )
    op.create_table(
        "versions",
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.Column("by", sa.String(64), nullable=True),
        sa.Column("facts", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name=op.f("fk_versions_model_models")),
        sa.PrimaryKeyConstraint("model", "number", name=op.f("pk_versions")),
    )
    op.create_table(
        "alerts",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("row", sa.BigInteger, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("key", sa.String, nullable=True),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("pvalue", sa.Float, nullable=False),
        sa.Column("kind", sa.String, nullable=True),
        sa.Column("kind_pvalue", sa.Float, nullable=True),
        sa.Column("novelty", sa.Float, nullable=True),
        sa.Column("values", sa.Text, nullable=False),
        sa.Column("reasons", sa.Text, nullable=True),
        sa.Column("similar", sa.String(64), nullable=False),
        sa.Column("answer", sa.String(8), nullable=True),
        sa.Column("answer_kind", sa.String, nullable=True),
        sa.Column("revision", sa.Integer, server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(
            ["model", "version"],
            ["versions.model", "versions.number"],
            name=op.f("fk_alerts_model_versions"),
        ),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name=op.f("fk_alerts_model_models")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
        sa.UniqueConstraint("model", "request", "row", name=op.f("uq_alerts_model")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_alerts_queue", "alerts", ["model", "answer", "pvalue"], unique=False)
    op.create_index("ix_alerts_similar", "alerts", ["model", "similar"], unique=False)
    op.create_index("ix_alerts_time", "alerts", ["model", "at"], unique=False)
    op.create_table(
        "labels",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("alert", _NUMBER, nullable=True),
        sa.Column("act", sa.String(32), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("by", sa.String(64), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("answer", sa.String(8), nullable=False),
        sa.Column("kind", sa.String, nullable=True),
        sa.Column("key", sa.String, nullable=True),
        sa.Column("values", sa.Text, nullable=True),
        sa.Column("undone", _MOMENT, nullable=True),
        sa.Column("undone_by", sa.String(64), nullable=True),
        sa.ForeignKeyConstraint(
            ["alert"], ["alerts.id"], name=op.f("fk_labels_alert_alerts"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name=op.f("fk_labels_model_models")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_labels")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_labels_act", "labels", ["act"], unique=False)
    op.create_index("ix_labels_alert", "labels", ["alert"], unique=False)
    op.create_index("ix_labels_time", "labels", ["model", "at"], unique=False)
    op.create_table(
        "pictures",
        sa.Column("alert", _NUMBER, nullable=False),
        sa.Column("what", sa.String(16), nullable=False),
        sa.Column("media", sa.String(32), nullable=False),
        sa.Column("bytes", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(
            ["alert"], ["alerts.id"], name=op.f("fk_pictures_alert_alerts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("alert", "what", name=op.f("pk_pictures")),
    )
    op.create_table(
        "rescored",
        sa.Column("alert", _NUMBER, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("pvalue", sa.Float, nullable=False),
        sa.ForeignKeyConstraint(
            ["alert"], ["alerts.id"], name=op.f("fk_rescored_alert_alerts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("alert", "version", name=op.f("pk_rescored")),
    )


def downgrade() -> None:
    for table in (
        "rescored",
        "pictures",
        "labels",
        "alerts",
        "versions",
        "traffic",
        "sessions",
        "recent",
        "jobs",
        "drifts",
        "tokens",
        "models",
        "audit",
    ):
        op.drop_table(table)
