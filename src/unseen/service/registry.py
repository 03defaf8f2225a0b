"""Registry: the models that are served, their versions, and the detector of each that answers."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from unseen.detector.policy import Policy
from unseen.errors import DataError
from unseen.service.store.store import Store
from unseen.service.store.tables import audit, models, now, versions
from unseen.service.tokens import NAMED, check_name
from unseen.service.warming import warm
from unseen.storage.bundle import Bundle
from unseen.storage.manifest import JSON, digest

FRESH = 1.0  # seconds for which what the database says of a model is believed
USUAL = Policy.alpha(0.01)  # of a model that was never given a policy


@dataclass(frozen=True)
class Serving:
    """What answers for a model now.

    Parameters
    ----------
    model : str
        Its name.
    version : int
        The number of the version.
    bundle : Bundle
        The saved detector of that version.
    policy : Policy
        Which p-values raise an alert.
    """

    model: str
    version: int
    bundle: Bundle
    policy: Policy


class NoModel(DataError):
    """There is no model, or no version of it, of that name."""


class Registry:
    """Models by name, each with the version that serves.

    Versions are folders `HOME/models/NAME/NUMBER`, which only the service writes; what serves is
    what the database says, so that several servers agree.

    Parameters
    ----------
    store : Store
        The database.
    home : Path
        The folder of the service.
    trust : tuple of str
        As in `Bundle.load`.
    """

    def __init__(self, store: Store, home: Path, trust: Collection[str] = ()) -> None:
        self.store, self.home, self.trust = store, home, tuple(trust)
        self._lock = Lock()
        self._loaded: dict[tuple[str, int], Bundle] = {}
        self._known: dict[str, tuple[float, Any]] = {}  # when the database was asked, and its row

    def folder(self, model: str, number: int) -> Path:
        """Where a version is."""
        return self.home / "models" / check_name(model, "model") / str(int(number))

    def add(self, name: str, given: Path, who: str) -> int:
        """Serve a saved detector under a name, and give its version's number.

        A model that is new serves it at once. Of one that is known, a detector that none of its
        versions is becomes a version that waits for promotion.
        """
        check_name(name, "model")
        bundle = Bundle.load(given, trust=self.trust)
        found = digest((given / JSON).read_bytes())
        with self.store.reading() as connection:
            known = connection.execute(
                select(versions.c.number).where(
                    versions.c.model == name, versions.c.digest == found
                )
            ).scalar()
        return known or self.add_version(name, bundle, origin="given", who=who)

    def add_version(
        self,
        name: str,
        bundle: Bundle,
        *,
        origin: str,
        who: str,
        facts: dict[str, Any] | None = None,
    ) -> int:
        """Save a detector as the next version of a model: whole in its folder first, then in the
        database. A new model serves it; another goes on with the version that it has.
        """
        number = self._free_number(name)
        bundle.save(self.folder(name, number))
        found = digest((self.folder(name, number) / JSON).read_bytes())
        with self.store.writing() as connection:
            if (
                connection.execute(select(models.c.name).where(models.c.name == name)).first()
                is None
            ):
                row = {"name": name, "created": now(), "current": number, "policy": USUAL.kind}
                connection.execute(insert(models), row | {"level": USUAL.level})
            row = {"model": name, "number": number, "digest": found, "origin": origin}
            row |= {"created": now(), "by": who, "facts": facts or {}}
            connection.execute(insert(versions), row)
            tell(connection, who, "version", name, number, {"origin": origin})
        return number

    def names(self) -> list[str]:
        """The names of all models."""
        with self.store.reading() as connection:
            found = connection.execute(select(models.c.name).order_by(models.c.name))
            return list(found.scalars())

    def serving(self, name: str) -> Serving:
        """What answers for a model; NoModel where there is none of that name."""
        row = self._row(name)
        policy = Policy(row.policy, row.level, row.traffic)
        return Serving(name, row.current, self.bundle(name, row.current), policy)

    def bundle(self, name: str, number: int) -> Bundle:
        """The saved detector of a version, loaded once."""
        with self._lock:
            if (name, number) not in self._loaded:
                bundle = Bundle.load(self.folder(name, number), trust=self.trust)
                warm(bundle.detector)
                kept = {key for key in self._loaded if key[0] != name or key[1] == number}
                self._loaded = {key: self._loaded[key] for key in kept} | {(name, number): bundle}
            return self._loaded[name, number]

    def promote(self, name: str, number: int, who: str) -> None:
        """Let a version serve from now on; NoModel where there is none of that number."""
        with self.store.writing() as connection:
            row = _of_model(connection, name)
            there = select(versions.c.number).where(
                versions.c.model == name, versions.c.number == number
            )
            if connection.execute(there).first() is None:
                raise NoModel(f"model {name!r}: there is no version {number}")
            if row.current != number:
                own = {"current": number, "previous": row.current, "revision": row.revision + 1}
                connection.execute(update(models).where(models.c.name == name).values(**own))
            tell(connection, who, "promote", name, number, {"before": row.current})
        self._known.pop(name, None)

    def rollback(self, name: str, who: str) -> int:
        """Go back to the version that served before, and give its number."""
        with self.store.reading() as connection:
            previous = _of_model(connection, name).previous
        if previous is None:
            raise DataError(f"model {name!r}: no version served before this one")
        self.promote(name, int(previous), who)
        return int(previous)

    def _row(self, name: str) -> Row[Any]:
        """What the database says of a model, at most `FRESH` seconds old."""
        if not NAMED.fullmatch(name):
            raise no_model(name)
        asked, row = self._known.get(name, (0.0, None))
        if row is None or time.monotonic() - asked > FRESH:
            with self.store.reading() as connection:
                row = _of_model(connection, name)
            self._known[name] = time.monotonic(), row
        return row

    def _free_number(self, name: str) -> int:
        """The next number; that of a folder whose making was cut short is not taken again."""
        with self.store.reading() as connection:
            last = connection.execute(
                select(func.max(versions.c.number)).where(versions.c.model == name)
            ).scalar()
        place = self.home / "models" / name
        place.mkdir(parents=True, exist_ok=True)
        there = [int(each.name) for each in place.iterdir() if each.name.isdigit()]
        return max([last or 0, *there]) + 1


def _of_model(connection: Connection, name: str) -> Row[Any]:
    row = connection.execute(select(models).where(models.c.name == name)).first()
    if row is None:
        raise no_model(name)
    return row


def no_model(name: str) -> NoModel:
    """There is none of this name, which may be anything."""
    shown = repr(name) if NAMED.fullmatch(name) else "of such a name"
    return NoModel(f"there is no model {shown}; see GET /v1/models")


def tell(
    connection: Connection, who: str, what: str, model: str | None, subject: Any, detail: Any
) -> None:
    """A line of the audit trail, in the transaction of what it tells of."""
    row = {"at": now(), "who": who, "what": what, "model": model}
    connection.execute(insert(audit), row | {"subject": str(subject), "detail": detail})
