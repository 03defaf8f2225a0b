"""The log of the service: a line of JSON for each event, on standard error."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

log = logging.getLogger("unseen.service")


class _Lines(logging.Formatter):
    """Events as lines of JSON: time, level, what happened, and facts about it."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        head = {"time": at, "level": record.levelname.lower(), "event": record.getMessage()}
        if record.exc_info and record.exc_info[0] is not None:
            head["error"] = record.exc_info[0].__name__  # its words may hold values of rows
        return json.dumps(head | getattr(record, "facts", {}), default=str)


@contextmanager
def logged() -> Iterator[None]:
    """Meanwhile, events of the service and of the server below it are written to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    loggers = [(log, logging.INFO), (logging.getLogger("uvicorn.error"), logging.WARNING)]
    before = [(each, each.level, each.propagate) for each, _ in loggers]
    for each, level in loggers:
        each.addHandler(handler)
        each.setLevel(level)
        each.propagate = False
    try:
        yield
    finally:
        for each, level, propagate in before:
            each.removeHandler(handler)
            each.setLevel(level)
            each.propagate = propagate
