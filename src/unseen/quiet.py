"""Silence where the log would repeat itself, for the calling thread alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)


@contextmanager
def quiet(really: bool = True) -> Iterator[None]:
    """Inside, notes and warnings of this package are not logged, unless not `really`."""
    before = _QUIET.set(really or _QUIET.get())
    try:
        yield
    finally:
        _QUIET.reset(before)


def is_quiet() -> bool:
    """Whether the calling thread asked for silence."""
    return _QUIET.get()


def heard(record: logging.LogRecord) -> bool:
    """Whether a message is for somebody to read."""
    return not is_quiet() or record.levelno >= logging.ERROR


logging.getLogger("unseen").addFilter(heard)
