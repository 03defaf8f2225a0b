"""What every test gets: torch threads, and the folder of public data sets where there is one."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

# One thread unless OMP_NUM_THREADS says more: test processes share the cores, and small tensors
# gain nothing.
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """What a benchmark silences in the logger of the package is heard again in the next test."""
    log = logging.getLogger("unseen")
    level = log.level
    yield
    log.setLevel(level)


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """`shared("nsl_kdd/train.parquet")`: the path below UNSEEN_DATA; the test is skipped where it
    is absent.
    """
    folder = os.environ.get("UNSEEN_DATA")

    def path(name: str) -> Path:
        if not folder:
            pytest.skip(f"needs {name}: set UNSEEN_DATA to the folder with the data sets")
        found = Path(folder).expanduser() / name
        if not found.exists():
            pytest.skip(f"needs {name}, which is not in UNSEEN_DATA ({folder})")
        return found

    return path
