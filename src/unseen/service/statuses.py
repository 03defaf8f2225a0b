"""What the service answers where it refuses: a status for each kind of error."""

from __future__ import annotations

from unseen.errors import UnseenError
from unseen.service.answers import NoAlert, NotYours, Stale, Undone
from unseen.service.registry import NoModel
from unseen.service.store.store import StoreError

STATUS: list[tuple[type[Exception], int]] = [  # the first that fits
    (NoModel, 404),
    (NoAlert, 404),
    (NotYours, 403),
    (Undone, 409),
    (Stale, 409),
    (StoreError, 503),
    (UnseenError, 400),
]


def status_of(error: Exception) -> int:
    """The status of an error of ours."""
    return next(status for kind, status in STATUS if isinstance(error, kind))
