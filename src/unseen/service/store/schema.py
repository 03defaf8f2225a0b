"""The schema of the database over the releases: which it has, which this release needs, and the
steps between them, by Alembic.

Each step is a file of `migrations/versions`. All that are asked for are one transaction, on SQLite
too; a step that fails leaves the schema, and every row, as they were.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from unseen.errors import DataError
from unseen.service.store.store import Store
from unseen.service.store.tables import metadata

STEPS = Path(__file__).with_name("migrations")
NONE = "base"  # what Alembic calls a database without tables
_ONE = Lock()  # a step finds its database by a name that Alembic keeps once a process


@dataclass(frozen=True)
class State:
    """The schema of a database.

    Parameters
    ----------
    found : str or None
        Its revision; None where it has no tables.
    head : str
        The revision that this release needs.
    known : tuple of str
        All revisions that this release knows, the first one first.
    """

    found: str | None
    head: str
    known: tuple[str, ...]

    @property
    def is_current(self) -> bool:
        """Whether this release can work with it as it is."""
        return self.found == self.head


def state(store: Store) -> State:
    """Which schema a database has; DataError for one that holds tables of something else."""
    with store.reading() as connection:
        return _state(connection)


def upgrade(store: Store, to: str = "head") -> State:
    """Bring the schema to a later revision, and a new database to its first tables.

    Raises
    ------
    DataError
        For a revision that is not later, or that this release does not know.
    """
    with store.migrating() as connection:
        before = _state(connection)
        to = before.head if to == "head" else to
        _check_released(before, before.found, to)
        if _place(before, to) < _place(before, before.found):
            raise DataError(f"the schema is at {before.found}, later than {to}: see `downgrade`")
        _walk(connection, to, down=False)
    return State(to, before.head, before.known)


def downgrade(store: Store, to: str) -> State:
    """Take the schema back to an earlier revision, for an earlier release; what only later ones
    keep is deleted.

    Raises
    ------
    DataError
        For a revision that is not earlier, or that this release does not know.
    """
    with store.migrating() as connection:
        before = _state(connection)
        _check_released(before, before.found, to)
        if _place(before, to) > _place(before, before.found):
            raise DataError(
                f"the schema is at {before.found or 'no tables'}, earlier than {to}: see `upgrade`"
            )
        _walk(connection, to, down=True)
    return State(None if to == NONE else to, before.head, before.known)


def check_current(store: Store) -> None:
    """Make the tables of a new database; DataError unless an older one has been upgraded."""
    with store.writing() as connection:  # a service that may only read finds out at its start
        found = _state(connection)
    if found.found is None:
        upgrade(store)
        return
    _check_released(found, found.found)
    if not found.is_current:
        raise DataError(
            f"{store.name}: the schema is at {found.found}, and this release needs {found.head}; "
            f"back it up, then run: unseen store upgrade --store {store.name}"
        )


def _state(connection: Connection) -> State:
    script = ScriptDirectory(STEPS)
    known = tuple(step.revision for step in reversed(list(script.walk_revisions())))
    found = MigrationContext.configure(connection).get_current_revision()
    others = set(inspect(connection).get_table_names()) - {"alembic_version"}
    if found is None and others:
        raise DataError(
            f"the database holds tables of something else, such as {min(others)[:64]!r}; name an "
            "empty one with --store"
        )
    return State(found, known[-1], known)


def _check_released(state: State, *revisions: str | None) -> None:
    for revision in revisions:
        if revision not in (None, NONE, *state.known):
            raise DataError(
                f"revision {str(revision)[:32]!r} of the schema is not known to this release, "
                f"whose last is {state.head}; use the release that made it, or a newer one"
            )


def _place(state: State, revision: str | None) -> int:
    return -1 if revision in (None, NONE) else state.known.index(str(revision))


def _walk(connection: Connection, to: str, *, down: bool) -> None:
    """Take the steps from the schema as it is."""
    context = MigrationContext.configure(connection, opts={"target_metadata": metadata})
    script, found = ScriptDirectory(STEPS), context.get_current_revision() or NONE
    with _ONE, Operations.context(context):
        if down:
            for step in script.iterate_revisions(found, to):
                step.module.downgrade()
        else:
            for step in reversed(list(script.iterate_revisions(to, found))):
                step.module.upgrade()
        context.stamp(script, to)
