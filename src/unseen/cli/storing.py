"""Commands for the database of the service: store upgrade, downgrade, status, copy, purge; token
add, list, revoke.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter, validators

from unseen._version import __version__
from unseen.cli import flags
from unseen.cli.terminal import say
from unseen.errors import DataError

if TYPE_CHECKING:
    from unseen.service.store.store import Store

commands = App(version=__version__)
stores = App(name="store", sort_key=31, help="Look after the database of the service.")
badges = App(name="token", sort_key=32, help="Make, list and revoke tokens of the service.")
commands.command(stores)
commands.command(badges)

Revision = Annotated[str, Parameter(help="revision, such as 0001")]
Name = Annotated[str, Parameter(help="who or what will use it; labels and the audit trail name it")]


@stores.command(name="upgrade", help_epilogue="Example:\n  unseen store upgrade")
def upgrade_store(*, store: flags.StoreUrl = None, home: flags.Home = flags.HOME) -> None:
    """Bring the tables to what this release needs; a new database gets its first ones."""
    with closing(_open_store(store, home, new=True)) as opened:
        from unseen.service.store import schema

        before, after = schema.state(opened), schema.upgrade(opened)
    say(f"{opened.name}: {before.found or 'no tables'} before, {after.found} now")


@stores.command(name="downgrade", help_epilogue="Example:\n  unseen store downgrade 0001")
def downgrade_store(
    revision: Revision, /, *, store: flags.StoreUrl = None, home: flags.Home = flags.HOME
) -> None:
    """Take the tables back to an earlier revision, before an earlier release is installed; what
    only later ones keep is deleted.
    """
    with closing(_open_store(store, home)) as opened:
        from unseen.service.store import schema

        before, after = schema.state(opened), schema.downgrade(opened, revision)
    say(f"{opened.name}: {before.found} before, {after.found or 'no tables'} now")


@stores.command(name="status", help_epilogue="Example:\n  unseen store status")
def store_status(*, store: flags.StoreUrl = None, home: flags.Home = flags.HOME) -> None:
    """Say which revision the tables have, which this release needs, and how many rows there are."""
    with closing(_open_store(store, home)) as opened:
        from unseen.service.store import copying, schema

        found = schema.state(opened)
        say(f"{opened.name}: revision {found.found or 'none, as there are no tables'}")
        say(f"this release needs {found.head}" + (": upgrade" if not found.is_current else ""))
        if found.is_current:
            say(_counts(copying.counted(opened)))


@stores.command(
    name="copy",
    help_epilogue="Example:\n"
    "  unseen store copy sqlite:///unseen-service/unseen.db postgresql://unseen@db/unseen",
)
def copy_rows(
    source: Annotated[str, Parameter(name="FROM", help="URL of the database to copy")],
    target: Annotated[str, Parameter(name="TO", help="URL of an empty one, which gets tables")],
    /,
) -> None:
    """Copy a database into another, all of it or nothing, counted on both sides."""
    with closing(_open_store(source)) as there, closing(_open_store(target, new=True)) as here:
        from unseen.service.store.copying import copy_store

        counts = copy_store(there, here)
    say(f"{_counts(counts)}\ncopied to {here.name}, equal on both sides")


@stores.command(
    name="purge",
    help_epilogue="Example:\n"
    "  unseen store purge --older-than 90d\n"
    "  unseen store purge --key customer-17",
)
def purge_store(
    *,
    age: Annotated[
        timedelta | None,
        Parameter(
            name="--older-than",
            metavar="AGE",
            help="alerts without an answer, and rows that passed, of that age: 90d, 12h",
        ),
    ] = None,
    key: Annotated[
        str | None,
        Parameter(help="alerts and labels of this key, answered or not"),
    ] = None,
    labelled: Annotated[
        bool,
        Parameter(help="with --older-than: labels, and alerts that were answered, as well"),
    ] = False,
    store: flags.StoreUrl = None,
    home: flags.Home = flags.HOME,
) -> None:
    """Delete rows and labels, by age or by key, and say how many."""
    with closing(_ready(store, home)) as opened:
        from unseen.service.retention import in_words, purge, time_of
        from unseen.service.tokens import OPERATOR

        before = None if age is None else time_of(age)
        say(in_words(purge(opened, OPERATOR, before=before, key=key, labelled=labelled)))


@badges.command(
    name="add",
    help_epilogue="Example:\n  unseen token add ann --role review --days 90",
)
def make_token(
    name: Name,
    /,
    *,
    role: Annotated[
        Literal["score", "review", "admin"],
        Parameter(help="score: judge rows; review: label alerts; admin: both, models and tokens"),
    ],
    days: Annotated[
        float | None,
        Parameter(help="ends after so many days", validator=validators.Number(gt=0, lte=36_500)),
    ] = None,
    store: flags.StoreUrl = None,
    home: flags.Home = flags.HOME,
) -> None:
    """Make a token, and show it once: the database keeps a digest of it alone."""
    with closing(_ready(store, home, new=True)) as opened, opened.writing() as connection:
        from unseen.service.store.tables import now
        from unseen.service.tokens import add_token

        ends = None if days is None else now() + timedelta(days=days)
        secret = add_token(connection, name, role, ends)
    say(secret)


@badges.command(name="list", help_epilogue="Example:\n  unseen token list")
def list_tokens(*, store: flags.StoreUrl = None, home: flags.Home = flags.HOME) -> None:
    """List tokens by name and role, those that open nothing any more as well."""
    with closing(_ready(store, home)) as opened, opened.reading() as connection:
        from unseen.service.tokens import all_tokens

        for each in all_tokens(connection):
            say(f"{each['name']:24} {each['role']:8} made {each['made']}  {each['state']}")


@badges.command(name="revoke", help_epilogue="Example:\n  unseen token revoke ann")
def end_token(
    name: Name, /, *, store: flags.StoreUrl = None, home: flags.Home = flags.HOME
) -> None:
    """Revoke a token: no request with it is answered any more."""
    with closing(_ready(store, home)) as opened, opened.writing() as connection:
        from unseen.service.tokens import revoke_token

        revoke_token(connection, name)
    say(f"token {name!r} opens nothing any more")


def _open_store(store: str | None, home: Path = flags.HOME, *, new: bool = False) -> Store:
    """The database; DataError where there is none yet, and none is to be made."""
    from unseen.service import serving_extra

    with serving_extra():
        from unseen.service.store import schema  # noqa: F401
        from unseen.service.store.store import Store, database_of

    found = Store(database_of(store, home))
    if found.file is not None and not found.file.exists():
        if not new:
            raise DataError(f"{found.file}: there is no database; check --home and --store")
        found.file.parent.mkdir(parents=True, exist_ok=True)
    return found


def _ready(store: str | None, home: Path, *, new: bool = False) -> Store:
    """The database with the tables of this release; a new one gets them."""
    found = _open_store(store, home, new=new)
    from unseen.service.store.schema import check_current

    check_current(found)
    return found


def _counts(counts: Mapping[str, int]) -> str:
    return "\n".join(f"  {name:10} {count:>14,}" for name, count in sorted(counts.items()))
