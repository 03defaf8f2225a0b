"""What is shipped: type hints for users' checkers, bounds that can be installed, sources for later
Pythons.
"""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import unseen
from baseline import SETTINGS
from lowest import PYPROJECT, lowest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads(PYPROJECT.read_text())["project"]
LATER = ("3.12", "3.13", "3.14")
NEEDED = (
    "import torch, numpy, scipy, sklearn, pyarrow, narwhals, pydantic, safetensors, rich, cyclopts"
)


def test_type_checkers_of_users_see_the_hints():
    assert "Typing :: Typed" in PROJECT["classifiers"]
    assert Path(unseen.__file__).with_name("py.typed").is_file()


def test_lower_bounds_become_exact_versions_but_for_torch():
    project = {
        "dependencies": ["torch>=2.6", "numpy>=1.26", "scipy>=1.11.1"],
        "optional-dependencies": {
            "images": ["Pillow>=10"],
            "serve": ["psycopg[binary]>=3.2.2"],
            "dev": ["pytest>=8", "pandas>=2.2"],
        },
    }
    expected = ["numpy==1.26", "scipy==1.11.1", "Pillow==10", "psycopg[binary]==3.2.2"]
    assert lowest(project) == [*expected, "pandas==2.2"]


def test_every_bound_of_the_package_is_one_lower_bound():
    assert all(each.count("==") == 1 and not set(each) & set("<>,~;") for each in lowest(PROJECT))
    extras = sum(len(PROJECT["optional-dependencies"][name]) for name in ("images", "serve"))
    # without torch, with pandas, polars
    assert len(lowest(PROJECT)) == len(PROJECT["dependencies"]) - 1 + extras + 2


def test_baseline_leaves_numpy_nothing_beyond_its_own_baseline():
    from numpy._core._multiarray_umath import __cpu_baseline__

    off = SETTINGS["NPY_DISABLE_CPU_FEATURES"].split()
    assert not set(off) & set(__cpu_baseline__)  # NumPy refuses to start without these


def interpreter(version):
    """A later Python that this machine has, or a skip that names it."""
    installed = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))
    found = installed[-1] if installed else shutil.which(f"python{version}")
    if not found or run(str(found), "--version").returncode:  # a shim may lead nowhere
        pytest.skip(f"needs Python {version}, which this machine does not have")
    return str(found)


def run(*command, **settings):
    return subprocess.run(
        command, env=os.environ | settings, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("version", LATER)
def test_sources_compile_without_a_warning_on_later_pythons(version, tmp_path):
    folders = [str(ROOT / name) for name in ("src", "examples")]
    settings = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONPATH": ""}
    found = run(
        interpreter(version), "-W", "error", "-m", "compileall", "-q", "-f", *folders, **settings
    )
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("version", LATER)
def test_the_package_runs_on_later_pythons(version):
    python = interpreter(version)
    if run(python, "-c", NEEDED, PYTHONPATH="").returncode:
        pytest.skip(f"needs torch and the other packages in {python}")
    found = run(
        python,
        "-m",
        "doctest",
        str(ROOT / "src" / "unseen" / "detector" / "conformal.py"),
        PYTHONPATH=str(ROOT / "src"),
    )
    assert found.returncode == 0, found.stdout + found.stderr
