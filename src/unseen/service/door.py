"""The door: how many may come in, how often, and who they are; nothing here grows with the number
of those who try.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from fastapi import HTTPException

from unseen.parts.threads import single_threaded
from unseen.service.store.store import Store
from unseen.service.tokens import Who, digest_of, who_has

Result = TypeVar("Result")
KNOWN = 1.0  # seconds for which a token is believed to be valid: it may be revoked meanwhile
JUDGES = 4  # threads that judge, at most: more would wait for Python's lock
SMALL = 1 << 16  # bytes of a body that is judged in a moment
MANY = 10_000  # tokens and addresses that are remembered at once
SECONDS = 10.0  # over which a rate is an average
GUESSES = 1 / 6  # wrong tokens a second of one address, on average over a minute: 10 at once


class Rates:
    """A bucket for each of those who ask: each request takes from it, and it fills with time.

    Parameters
    ----------
    rate : float
        Requests a second that fill it again.
    most : float
        Requests that it holds.
    clock : callable
        Tells the time in seconds.
    """

    def __init__(
        self, rate: float, most: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate, self.most, self.clock = rate, most, clock
        self._lock, self._left = Lock(), OrderedDict[Any, tuple[float, float]]()

    def wait(self, whose: Any) -> float:
        """Take one request; 0.0 where there was one, else in how many seconds there is."""
        with self._lock:
            now = self.clock()
            left, at = self._left.pop(whose, (self.most, now))
            left = min(self.most, left + (now - at) * self.rate)
            wait = 0.0 if left >= 1 else (1 - left) / self.rate
            self._left[whose] = (left - 1 if left >= 1 else left, now)
            if len(self._left) > MANY:  # the one that asked longest ago; its bucket is full again
                self._left.popitem(last=False)
        return wait


class Door:
    """Who comes in, how often, and how many at once.

    Parameters
    ----------
    store : Store
        The database, which knows the tokens.
    rate : float
        Requests a second of one token.
    waiting : int
        Requests that are judged, or wait for it.
    """

    def __init__(self, store: Store, rate: float, waiting: int) -> None:
        self.store, self.waiting = store, waiting
        self.rates = Rates(rate, rate * SECONDS)
        self.guesses = Rates(GUESSES, GUESSES * 60)
        threads = max(2, min(JUDGES, os.cpu_count() or 1))
        # small requests one after the other, on a thread of their own: at once they would take
        # Python's lock from each other at every step, and behind large ones wait for seconds
        self.judges = {True: single_threaded(1), False: single_threaded(threads - 1)}
        self._lock, self.inside = Lock(), 0
        self._known = OrderedDict[str, tuple[float, Who]]()

    def remembered(self, secret: str) -> Who | None:
        """Whose token it is, as the database said at most `KNOWN` seconds ago; None if it did
        not.
        """
        asked, who = self._known.get(digest_of(secret), (0.0, None))
        return who if time.monotonic() - asked < KNOWN else None

    def who(self, secret: str) -> Who | None:
        """Whose token it is, as the database knows now."""
        asked = time.monotonic()
        with self.store.reading() as connection:
            who = who_has(connection, secret)
        digest = digest_of(secret)
        with self._lock:
            self._known.pop(digest, None)
            if who is not None:
                self._known[digest] = asked, who
            if len(self._known) > MANY:
                self._known.popitem(last=False)
        return who

    def check_guess(self, address: str) -> None:
        """429 for an address that tried too many wrong tokens."""
        if wait := self.guesses.wait(address):
            raise too_many("wrong tokens from this address", wait)

    def check_rate(self, who: Who) -> None:
        """429 for a token that asks too often."""
        if wait := self.rates.wait(who.id):
            raise too_many(f"requests with this token: at most {self.rates.rate:g} a second", wait)

    def check_room(self) -> None:
        """429 where as many requests wait as may."""
        if self.inside >= self.waiting:
            raise too_many("requests to judge at once", 1.0)

    @contextmanager
    def room(self) -> Iterator[None]:
        """A place among the requests that are judged or wait; 429 where there is none."""
        with self._lock:
            self.check_room()
            self.inside += 1
        try:
            yield
        finally:
            with self._lock:
                self.inside -= 1

    def judge(self, small: bool, work: Callable[..., Result], *given: Any) -> Future[Result]:
        """The future of work on one of the threads that judge, each with one thread of torch."""
        return self.judges[small].submit(partial(copy_context().run, work, *given))

    def close(self) -> None:
        """Wait for what is judged, and judge no more."""
        for each in self.judges.values():
            each.shutdown()


def too_many(what: str, wait: float) -> HTTPException:
    """429, and when to ask again."""
    seconds = max(1, round(wait + 0.5))
    return HTTPException(
        429, f"too many {what}; ask again in {seconds} seconds", {"Retry-After": str(seconds)}
    )
