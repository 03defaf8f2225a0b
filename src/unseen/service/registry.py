"""Registry: the models that are served, their versions, and the detector of each that answers."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from unseen.detector.conformal import out_of_reach
from unseen.detector.policy import Policy
from unseen.errors import BundleError, DataError, UnseenError
from unseen.quiet import quiet
from unseen.service.store.store import Store
from unseen.service.store.tables import models, now, versions
from unseen.service.store.trail import tell
from unseen.service.tokens import NAMED, check_name
from unseen.service.warming import warm
from unseen.storage.bundle import Bundle
from unseen.storage.manifest import JSON, digest

log = logging.getLogger("unseen.service")
FRESH = 1.0  # seconds for which what the database says of a model is believed
AGAIN = 5.0  # seconds after which what could not be loaded is tried again
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


class Conflict(DataError):
    """What was asked for does not fit what somebody else did meanwhile; nothing was changed."""


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
        self._loading: defaultdict[str, Lock] = defaultdict(Lock)  # one a model
        self._loaded: dict[str, tuple[int, Bundle]] = {}  # what serves of each model
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
        number = self.save(name, bundle)
        with self.store.writing() as connection:
            self.enter(connection, name, number, origin=origin, who=who, facts=facts)
        return number

    def names(self) -> list[str]:
        """The names of all models."""
        with self.store.reading() as connection:
            found = connection.execute(select(models.c.name).order_by(models.c.name))
            return list(found.scalars())

    def save(self, name: str, bundle: Bundle) -> int:
        """Write the folder of a version to come, and give its number; `enter` makes it one."""
        number = self._free_number(name)
        bundle.save(self.folder(name, number))
        return number

    def enter(
        self,
        connection: Connection,
        name: str,
        number: int,
        *,
        origin: str,
        who: str,
        facts: dict[str, Any] | None = None,
    ) -> None:
        """Make a folder that `save` wrote a version, in a transaction of the caller."""
        found = digest((self.folder(name, number) / JSON).read_bytes())
        known = connection.execute(select(models.c.name).where(models.c.name == name)).first()
        if known is None:
            row = {"name": name, "created": now(), "current": number, "policy": USUAL.kind}
            connection.execute(insert(models), row | {"level": USUAL.level})
        row = {"model": name, "number": number, "digest": found, "origin": origin}
        row |= {"created": now(), "by": who, "facts": facts or {}}
        connection.execute(insert(versions), row)
        tell(connection, who, "version", name, number, {"origin": origin})

    def serving(self, name: str) -> Serving:
        """What answers for a model; NoModel where there is none of that name.

        No request waits for a version that was promoted elsewhere: until it is loaded, the one
        before answers."""
        row, kept = self._row(name), self._loaded.get(name)
        lock = self._own_lock(name)
        if kept is None:
            with lock:  # others of this model wait
                kept = self._loaded.get(name)
                if kept is None:
                    kept = row.current, warmed(self.read(name, row.current))
                    self._loaded[name] = kept
        elif kept[0] != row.current and lock.acquire(blocking=False):
            about = (name, row.current, lock)
            Thread(target=self._load_beside, args=about, name="load", daemon=True).start()
        return Serving(name, *kept, Policy(row.policy, row.level, row.traffic))

    def _load_beside(self, name: str, number: int, lock: Lock) -> None:
        """Load a version that is to serve, beside the requests; then let go of the lock."""
        try:
            with quiet():
                bundle = warmed(self.read(name, number))
                with self.store.reading() as connection:
                    if of_model(connection, name).current == number:
                        self._loaded[name] = number, bundle
        except Exception as error:  # the one before serves on, and nobody waits for this one
            what = f"model {name!r}: version {number} is to serve and cannot be loaded"
            log.error("%s: %s", what, error if isinstance(error, UnseenError) else type(error))
            time.sleep(AGAIN)
        finally:
            lock.release()

    def bundle(self, name: str, number: int) -> Bundle:
        """The saved detector of a version; of the one that serves, as it is in memory."""
        kept = self._loaded.get(name)
        return kept[1] if kept is not None and kept[0] == number else self.read(name, number)

    def read(self, name: str, number: int) -> Bundle:
        """The saved detector of a version, from its folder."""
        return Bundle.load(self.folder(name, number), trust=self.trust)

    def promote(self, name: str, number: int, who: str, expected: int | None = None) -> int:
        """Let a version serve from now on, and give the model's new revision.

        It is loaded first: one that cannot be leaves the other serving. Requests that were begun
        end with the version that they began with.

        Parameters
        ----------
        name, number : str and int
            The model and the version.
        who : str
            Who asks, for the audit trail.
        expected : int, optional
            The revision at which the model was seen.

        Raises
        ------
        NoModel
            For a model or a version that is none.
        Conflict
            Where the model is at another revision than expected, and for a version whose folder
            is gone or damaged.
        """
        with self.store.reading() as connection:
            row = check_version(connection, name, number)
        bundle = self._fit_to_serve(name, number)
        policy = Policy(row.policy, row.level, row.traffic)
        if (said := out_of_reach(policy, bundle.detector.conformal_)) is not None:
            raise Conflict(f"model {name!r}: version {number} cannot serve by its policy: {said}")
        return self._switched(name, number, bundle, who, expected)

    def rollback(self, name: str, who: str, expected: int | None = None) -> int:
        """Go back to the version that served before, and give its number."""
        with self.store.reading() as connection:
            row = of_model(connection, name)
        if row.previous is None:
            raise DataError(f"model {name!r}: no version served before this one")
        number, seen = int(row.previous), row.revision if expected is None else expected
        self._switched(name, number, self._fit_to_serve(name, number), who, seen)
        return number

    def _fit_to_serve(self, name: str, number: int) -> Bundle:
        """A version, loaded; Conflict where it cannot be."""
        try:
            return warmed(self.read(name, number))
        except BundleError as error:
            log.warning("model %r: version %d cannot be loaded: %s", name, number, error)
            raise Conflict(
                f"model {name!r}: version {number} is damaged or was removed, and cannot serve; "
                "the log of the service says how"
            ) from error

    def _switched(
        self, name: str, number: int, bundle: Bundle, who: str, expected: int | None
    ) -> int:
        with self.store.writing() as connection:
            revision = promote_within(connection, name, number, who, expected)
        with self._own_lock(name):
            self._loaded[name] = number, bundle
        self._known.pop(name, None)
        return revision

    def decide(self, name: str, policy: Policy, who: str, expected: int | None = None) -> int:
        """Let another policy say from now on which p-values raise an alert, and give the model's
        new revision; DataError for one that the p-values of the model cannot reach.
        """
        said = out_of_reach(policy, self.serving(name).bundle.detector.conformal_)
        if said is not None:
            raise DataError(said)
        own = {"policy": policy.kind, "level": policy.level, "traffic": policy.traffic}
        with self.store.writing() as connection:
            row = model_to_change(connection, name, expected)
            before = {"kind": row.policy, "level": row.level, "traffic": row.traffic}
            told = {"before": before, "now": asdict(policy)}
            new = own | {"revision": row.revision + 1}
            connection.execute(update(models).where(models.c.name == name).values(**new))
            tell(connection, who, "policy", name, name, told)
        self._known.pop(name, None)
        return int(row.revision) + 1

    def _own_lock(self, name: str) -> Lock:
        with self._lock:
            return self._loading[name]

    def _row(self, name: str) -> Row[Any]:
        """What the database says of a model, at most `FRESH` seconds old."""
        if not NAMED.fullmatch(name):
            raise no_model(name)
        asked, row = self._known.get(name, (0.0, None))
        if row is None or time.monotonic() - asked > FRESH:
            with self.store.reading() as connection:
                row = of_model(connection, name)
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


def warmed(bundle: Bundle) -> Bundle:
    """The same, with what the first request would have to wait for."""
    warm(bundle.detector)
    return bundle


def of_model(connection: Connection, name: str) -> Row[Any]:
    """What the database says of a model; NoModel."""
    return _there(connection.execute(select(models).where(models.c.name == name)).first(), name)


def model_to_change(connection: Connection, name: str, expected: int | None = None) -> Row[Any]:
    """The same for whom changes it, and others wait; Conflict at another revision than expected."""
    asked = select(models).where(models.c.name == name).with_for_update()
    row = _there(connection.execute(asked).first(), name)
    if expected not in (None, row.revision):
        raise Conflict(
            f"model {name!r} is at revision {row.revision}, and {expected} was expected: somebody "
            "promoted a version or changed the policy meanwhile; look again, then ask again"
        )
    return row


def _there(row: Row[Any] | None, name: str) -> Row[Any]:
    if row is None:
        raise no_model(name)
    return row


def no_model(name: str) -> NoModel:
    """There is none of this name, which may be anything."""
    shown = repr(name) if NAMED.fullmatch(name) else "of such a name"
    return NoModel(f"there is no model {shown}; see GET /v1/models")


def check_version(connection: Connection, name: str, number: int) -> Row[Any]:
    """What the database says of a model; NoModel unless it has a version of this number."""
    row = of_model(connection, name)
    there = select(versions.c.number).where(versions.c.model == name, versions.c.number == number)
    if connection.execute(there).first() is None:
        raise NoModel(f"model {name!r}: there is no version {number}")
    return row


def promote_within(
    connection: Connection, name: str, number: int, who: str, expected: int | None = None
) -> int:
    """Let a version serve, in a transaction of the caller, and give the model's new revision."""
    row = model_to_change(connection, name, expected)
    check_version(connection, name, number)
    tell(connection, who, "promote", name, number, {"before": row.current})
    if row.current == number:
        return int(row.revision)
    own = {"current": number, "previous": row.current, "revision": row.revision + 1}
    connection.execute(update(models).where(models.c.name == name).values(**own))
    return int(row.revision) + 1
