"""What tests of the service share: a small saved model, and a database of each kind."""

from __future__ import annotations

import pytest
from desk import saved

import databases


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server; tests that need one are skipped where it is not installed."""
    if databases.programs() is None:
        pytest.skip("needs PostgreSQL: apt install postgresql")
    server = databases.Postgres()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """The URL of a new database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'unseen.db'}"
    return request.getfixturevalue("postgres").space()


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """The saved model of a desk, its training rows beside it; no test changes it."""
    return saved(tmp_path_factory.mktemp("bundle"))
