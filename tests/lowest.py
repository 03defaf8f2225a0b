"""Print the lower bounds of pyproject.toml as exact versions, for pip: `pip install $(python
tests/lowest.py)`.

torch is left out: its older builds are gigabytes, so it stays at the version of constraints.txt.
"""

import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def lowest(project):
    """'numpy>=1.26' as 'numpy==1.26', for what the package, its images and its service need, and
    the libraries of data frames.
    """
    extras = project["optional-dependencies"]
    frames = [each for each in extras["dev"] if each.startswith(("pandas", "polars"))]
    needed = [*project["dependencies"], *extras["images"], *extras["serve"], *frames]
    return [each.replace(">=", "==") for each in needed if not each.startswith("torch")]


if __name__ == "__main__":
    print(*lowest(tomllib.loads(PYPROJECT.read_text())["project"]))
