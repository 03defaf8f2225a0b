"""Threads: arithmetic that takes one of them, and work spread over several. No setting of the
process changes.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_LOCK = Lock()
_POOLS: dict[int, ThreadPoolExecutor] = {}  # by their number of workers
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_POOLS.clear)  # a child has none of its parent's threads


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, the arithmetic of the calling thread takes one thread; other threads keep what they
    have.

    Training steps this small gain little from two threads, wait long for each other on a busy
    machine, and would sum in another order.
    """
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    _take(1)
    try:
        yield
    finally:
        _take(before)


class _Filters:
    """The warning filters of the process as they were when the first of several threads began."""

    def __init__(self) -> None:
        self.threads, self.before = 0, ExitStack()

    @contextmanager
    def kept(self) -> Iterator[None]:
        with _LOCK:
            if self.threads == 0:
                self.before.enter_context(warnings.catch_warnings())
            self.threads += 1
        try:
            yield
        finally:
            with _LOCK:
                self.threads -= 1
                if self.threads == 0:
                    self.before.close()


_FILTERS = _Filters()


@contextmanager
def filters_kept() -> Iterator[None]:
    """Around training by scikit-learn: the warning filters of the process stay as they are.

    It changes them for a moment while it checks what it is given. Threads that do so at once put
    back what another one has set, and that stayed for good. When the last is done, what was before
    the first is put back.
    """
    # where they are each thread's own (Python 3.14 and later), there is nothing to do
    if getattr(sys.flags, "context_aware_warnings", False):
        yield
        return
    with _FILTERS.kept():
        yield


def spread(
    work: Callable[[Item], Result], items: Iterable[Item], *, workers: int | None = None
) -> Iterator[Result]:
    """What `work` makes of each item, in order, on as many workers as torch has threads, each with
    one.

    Workers that do not wait for one another lose nothing when other programs keep the cores busy.
    Called by a worker, it works through the items itself.
    """
    count = torch.get_num_threads() if workers is None else workers
    if count == 1:
        with one_thread():
            yield from map(work, items)
        return
    with _LOCK:
        pool = _POOLS.get(count)
        if pool is None:
            pool = _POOLS[count] = single_threaded(count)
    yield from pool.map(work, items)


def single_threaded(workers: int) -> ThreadPoolExecutor:
    """Workers whose arithmetic takes one thread each."""
    return ThreadPoolExecutor(workers, "unseen", initializer=_take, initargs=(1,))


def _take(threads: int) -> None:
    """From now on the arithmetic of the calling thread takes so many threads.

    torch also gives the last number that any thread asked for to threads that start later: that one
    is put back."""
    with _LOCK:
        usual = _elsewhere(torch.get_num_threads)
        # a thread's first question gives it the usual number: later would undo what is set
        torch.get_num_threads()
        torch.set_num_threads(threads)
        _elsewhere(lambda: torch.set_num_threads(usual))


def _elsewhere(ask: Callable[[], Result]) -> Result:
    with ThreadPoolExecutor(1) as other:
        return other.submit(ask).result()
