"""Every error that `unseen` raises on purpose.

    UnseenError
    ├── DataError (ValueError)       what was given cannot be used: what, where, expected, found
    ├── NotFitted (NotFittedError)   a detector was asked before it was fitted
    ├── Unsupported (AttributeError) sound to ask, but this method or detector cannot answer it
    └── BundleError                  a saved detector lacks parts, was changed, or is of a newer one

`FewNormals` is a warning: the work goes on, but its answers are coarser than the user may think.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sklearn.exceptions import NotFittedError


class UnseenError(Exception):
    """Root of all errors of this package: `except UnseenError` catches them all and nothing
    else.
    """


class DataError(UnseenError, ValueError):
    """What was given cannot be used; the message says what, where, what was expected, what was
    found and what to do.
    """


if TYPE_CHECKING:

    class NotFitted(UnseenError, NotFittedError):  # type: ignore[misc]
        """The detector has not been fitted yet."""


def __getattr__(name: str) -> Any:
    """`NotFitted`, which is scikit-learn's error too: scikit-learn takes a second to import, and
    the others do not.
    """
    if name != "NotFitted":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sklearn.exceptions import NotFittedError

    doc = {"__doc__": "The detector has not been fitted yet.", "__module__": __name__}
    globals()[name] = found = type(name, (UnseenError, NotFittedError), doc)
    return found


class Unsupported(UnseenError, AttributeError):
    """The request is sound, but this method cannot answer it: to `hasattr`, it is not there."""


class BundleError(UnseenError):
    """A saved detector cannot be trusted: files are missing or changed, or written by a newer
    release.
    """


class FewNormals(UserWarning):
    """Few normal rows: p-values are coarse and thresholds uncertain."""


@contextmanager
def unwritable(target: Path) -> Iterator[None]:
    """What the system refuses meanwhile, as a DataError about what was to be written."""
    try:
        yield
    except BrokenPipeError:  # whoever read standard output has seen enough
        raise
    except OSError as error:
        name = "standard output" if str(target) == "-" else target
        raise DataError(f"{name}: {_refusal(error)}") from error


def _refusal(error: OSError) -> str:
    """What went wrong, what is left, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full, and nothing is left of it; free some space or choose another disk"
    if error.errno == errno.EEXIST:
        return "appeared meanwhile and is left as it is; choose another name or remove it"
    if error.errno == errno.ENAMETOOLONG:
        return "the name is too long; choose a shorter one"
    why = error.strerror or str(error)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"it may not be written ({why}); check who may write there, or choose another place"
    return f"it cannot be written ({why}), and nothing is left of it; choose another place"
