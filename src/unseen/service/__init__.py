"""The service: detectors behind an API, alerts and labels in a database, a page for people who
review.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from unseen.errors import Unsupported


@contextmanager
def serving_extra() -> Iterator[None]:
    """Around imports of the service: what is not installed, as an error that says how it is."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "unseen").startswith("unseen"):
            raise
        raise Unsupported(
            f"the service needs {error.name}, which is in the extra `serve`: "
            'pip install "unseen[serve]"'
        ) from error
