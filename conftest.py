"""Pages (README.md, docs/) are doctests; their snippets run in a folder that holds what `make demo`
starts from.
"""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

DEMO = Path(__file__).parent / "examples" / "demo.py"


@pytest.fixture(scope="session")
def demo_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with demo/train.csv and demo/test.csv."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "demo").mkdir()
    runpy.run_path(str(DEMO))["write_tables"](folder / "demo")
    return folder


@pytest.fixture(autouse=True)
def beside_the_demo(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snippets of a page run beside the demo's tables, one page in one namespace."""
    if request.path.suffix == ".md":
        monkeypatch.chdir(request.getfixturevalue("demo_tables"))
