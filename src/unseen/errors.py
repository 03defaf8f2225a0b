"""Every error that `unseen` raises on purpose.

    UnseenError
    ├── DataError (ValueError)       what was given cannot be used: says what, where, expected, found, and what to do
    ├── NotFitted (NotFittedError)   a detector was asked before it was fitted
    ├── Unsupported (AttributeError) the request is sound, but this method or detector cannot answer it
    └── BundleError                  a saved detector is missing parts, was changed, or comes from a newer release

`FewNormals` is a warning: the work goes on, but its answers are coarser than the user may think.
"""

from sklearn.exceptions import NotFittedError


class UnseenError(Exception):
    """Root of all errors of this package: `except UnseenError` catches them all and nothing else."""


class DataError(UnseenError, ValueError):
    """What was given cannot be used; the message says what, where, what was expected, what was found and what to do."""


class NotFitted(UnseenError, NotFittedError):  # type: ignore[misc]
    """The detector has not been fitted yet."""


class Unsupported(UnseenError, AttributeError):
    """The request is sound, but this method cannot answer it: to `hasattr`, it is not there."""


class BundleError(UnseenError):
    """A saved detector cannot be trusted: files are missing or changed, or written by a newer release."""


class FewNormals(UserWarning):
    """Few normal rows: p-values are coarse and thresholds uncertain."""
