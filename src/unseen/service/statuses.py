"""What the service answers where it refuses: a status for each kind of error."""

from __future__ import annotations

from unseen.errors import BundleError, UnseenError
from unseen.service.answers import NoAlert, NotYours, Stale, Undone
from unseen.service.bodies import TooMuch
from unseen.service.jobs import NoJob
from unseen.service.logs import log
from unseen.service.registry import Conflict, NoModel
from unseen.service.store.store import StoreError

STATUS: list[tuple[type[Exception], int]] = [  # the first that fits
    (NoModel, 404),
    (NoAlert, 404),
    (NoJob, 404),
    (NotYours, 403),
    (Undone, 409),
    (Stale, 409),
    (Conflict, 409),
    (TooMuch, 413),
    (StoreError, 503),
    (BundleError, 500),
    (UnseenError, 400),
]


def refused(error: Exception) -> tuple[int, str]:
    """The status of an error of ours, and what is told of it."""
    status = next(status for kind, status in STATUS if isinstance(error, kind))
    if isinstance(error, BundleError):  # names folders of this machine
        log.error("damaged", extra={"facts": {"detail": str(error)}})
        text = "the saved detector of this model is damaged; the log of the service says how"
        return status, text
    return status, str(error)
