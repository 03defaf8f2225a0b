"""The engine that spreads work over processes and machines: Ray, in one place.

Work is sent once to each worker, which keeps it; an item of it is a task. Ray does a task again on
another worker where one dies.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from unseen.errors import BundleError, DataError, FewNormals, UnseenError, Unsupported
from unseen.io.atomic import scratch_folder
from unseen.wording import option

log = logging.getLogger("unseen")

Spread = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
Note = tuple[int, str]  # level of the log, 0 for a warning of few normals, and what it says

AGAIN = 3  # times that a task is done again when its worker dies
AHEAD = 2  # tasks for each core that wait or run: more would only wait
LOOK = 5.0  # seconds after which the cores of a cluster are counted again
NOTES = 10  # of workers, that are told

ERRORS = {error.__name__: error for error in (DataError, Unsupported, BundleError)}

_KEPT: dict[str, Any] = {}  # by a worker process: the work that it does now


@dataclass(frozen=True)
class Engine:
    """Where work is done.

    Parameters
    ----------
    address : str, optional
        Of a cluster that runs, such as "auto" on one of its machines; without it workers are
        started on this machine, and end with the work.
    workers : int, optional
        How many are started; without it as many as there are cores.
    """

    address: str | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.address is not None and self.workers is not None:
            raise DataError(
                f"{option('workers')} is for workers on this machine, and {option('address')} "
                "names a cluster, which has its own: leave one out"
            )
        if self.workers is not None and self.workers < 1:
            raise DataError(f"{option('workers')} must be at least 1, got {self.workers}")

    @contextmanager
    def started(self) -> Iterator[Spread]:
        """The workers; yields what makes of each item what work makes of it, in the order in which
        that is done. A program that is connected to Ray stays so.
        """
        ray = _ray()
        if ray.is_initialized():
            yield _Spread(ray)
            return
        # sockets have short names, and the usual folder for what is temporary may have a long one
        short = Path("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir())  # noqa: S108
        with scratch_folder(short / "ray") as folder:
            self._connect(ray, str(folder))
            try:
                yield _Spread(ray)
            finally:
                ray.shutdown()

    def _connect(self, ray: Any, folder: str) -> None:
        """Start workers, or reach a cluster."""
        how: dict[str, Any] = {"configure_logging": False, "log_to_driver": False}
        how["address"] = self.address or "local"  # whatever the environment names
        if self.address is None:
            how |= {"include_dashboard": False, "_temp_dir": folder, "num_cpus": self.workers}
        try:
            with _put_back():
                os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # of what is started here
                ray.init(**how)
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            if self.address is None:
                raise DataError(
                    f"workers cannot be started on this machine ({_briefly(error)})"
                ) from error
            raise DataError(
                f"{option('address', self.address)}: no Ray cluster is reached "
                f"({_briefly(error)}); look at `ray status` on one of its machines, and set "
                "RAY_AUTH_MODE=token where it asks for a token"
            ) from error


class _Spread:
    """What spreads work over the workers of a session, to each of which it is sent once."""

    def __init__(self, ray: Any) -> None:
        self.ray = ray
        self.sent: dict[int, tuple[Any, Any]] = {}  # by the identity of work, which is kept for it

    def __call__(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """What work makes of each item, in the order in which that is done.

        `str(item)` names it in messages. Errors of this package come as they are; where a worker
        dies again and again, or something else fails, a DataError names the item."""
        if id(work) not in self.sent:
            self.sent[id(work)] = work, self.ray.put(work)
        # in a list, it is sent to a worker only when that asks for it
        return _results(self.ray, [self.sent[id(work)][1]], items)


def _results(ray: Any, sent: list[Any], items: Iterable[Any]) -> Iterator[Any]:
    """What the work that was sent makes of each item."""
    task = ray.remote(num_cpus=1, max_retries=AGAIN)(_one)
    left, notes = iter(items), _Notes()
    running: dict[Any, Any] = {}
    cores, due = 1, 0.0
    try:
        while True:
            if time.monotonic() >= due:  # a cluster grows and shrinks
                cores = max(int(ray.cluster_resources().get("CPU", 1)), 1)
                due = time.monotonic() + LOOK
            room = max(AHEAD * cores - len(running), 0)
            running |= {task.remote(sent, item): item for item in islice(left, room)}
            if not running:
                break
            refs = list(running)
            ray.wait(refs, num_returns=1, timeout=LOOK)
            # all that are done, as each look takes longer the more there are
            ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
            for ref in ready:
                item = running.pop(ref)
                yield _received(ray, ref, item, notes)
    finally:
        for ref in running:
            ray.cancel(ref)
        notes.end()


def _received(ray: Any, ref: Any, item: Any, notes: _Notes) -> Any:
    """What became of an item."""
    try:
        found, told, failure = ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        raise DataError(f"{item}: a worker failed ({_briefly(error.cause)})") from error
    except ray.exceptions.RayError as error:
        raise DataError(
            f"{item}: its worker died, {AGAIN + 1} times ({_briefly(error)}); is there too "
            "little memory for it, or was it ended?"
        ) from error
    notes.tell(str(item), told)
    if failure is not None:
        raise ERRORS.get(failure[0], DataError)(failure[1])
    return found


def _one(sent: list[Any], item: Any) -> tuple[Any, list[Note], tuple[str, str] | None]:
    """On a worker: what the work makes of an item, what was noted, and an error of this package."""
    ray, key = _ray(), sent[0].hex()
    if key not in _KEPT:
        torch.set_num_threads(1)  # a worker a core
        _KEPT.clear()
        _KEPT[key] = ray.get(sent[0])
    with _noting() as notes:
        try:
            return _KEPT[key](item), notes, None
        except UnseenError as error:
            return None, notes, (type(error).__name__, str(error))


class _Notes:
    """What workers noted, told once each, and not all of it: every file may have the same."""

    def __init__(self) -> None:
        self.told, self.left = set[Note](), 0

    def tell(self, name: str, notes: list[Note]) -> None:
        for level, text in notes:
            if (level, text) in self.told:
                continue
            if len(self.told) == NOTES:
                self.left += 1
                continue
            self.told.add((level, text))
            if level:
                log.log(level, "%s: %s", name, text)
            else:
                warnings.warn(text, FewNormals, stacklevel=2)

    def end(self) -> None:
        if self.left:
            log.warning("%s further notes of workers are left out", f"{self.left:,}")


@contextmanager
def _noting() -> Iterator[list[Note]]:
    """What the package logs and warns of meanwhile, in a process of its own."""
    found: list[Note] = []

    def record(message: logging.LogRecord) -> bool:
        found.append((message.levelno, message.getMessage()))
        return False

    level = log.level
    log.setLevel(logging.INFO)
    log.addFilter(record)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", FewNormals)
            yield found
        found += [(0, str(each.message)) for each in warned if each.category is FewNormals]
    finally:
        log.removeFilter(record)
        log.setLevel(level)


@contextmanager
def _put_back() -> Iterator[None]:
    """What Ray changes in this process when it starts is put back: its environment, what SIGTERM
    does, what is logged.
    """
    before, own = dict(os.environ), threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM) if own else None
    its_log = logging.getLogger("ray")
    level = its_log.level
    its_log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        its_log.setLevel(level)
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)
        for name in [n for n in {*before, *os.environ} if before.get(n) != os.environ.get(n)]:
            os.environ.pop(name, None)
            os.environ |= {name: before[name]} if name in before else {}


def _briefly(error: object) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise Unsupported('a cluster needs Ray: pip install "unseen[ray]"') from error
    return ray
