"""Who may import whom: only strictly lower ranks, and the further rules of the design."""

import ast
from pathlib import Path

import pytest

import unseen

ROOT = Path(unseen.__file__).parent
RANKS = {
    "errors": 0,
    "options": 0,
    "paths": 0.5,
    "types": 1,
    "atomic": 1,
    "facts": 1,
    "devices": 1,
    "data": 2,
    "parts": 2,
    "ranges": 2,
    "methods": 3,
    "adapt": 4,
    "audit": 4,
    "calibrate": 4,
    "measure": 4,
    "pictures": 4,
    "pixels": 4,
    "settings": 4,
    "admission": 5,
    "members": 5,
    "manifest": 5,
    "restore": 6,
    "heat": 6,
    "detector": 7,
    "bundle": 8,
    "openset": 8,
    "overlay": 9,
    "render": 9,
    "stream": 9,
    "terminal": 9,
    "files": 10,
    "folder": 11,
    "flags": 12,
    "inspection": 12,
    "cli": 13,
    "__init__": 14,
    "__main__": 14,
}
MODULES = sorted(ROOT.rglob("*.py"))
NAMES = [str(p.relative_to(ROOT)) for p in MODULES]


def home(path):
    """The part of the package that a module belongs to: methods/devnet.py -> methods."""
    part = path.relative_to(ROOT).parts[0]
    return part.removesuffix(".py")


def imports(path):
    """Dotted names of every module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{a.name}" for a in node.names)


def test_every_module_has_a_rank():
    assert {home(p) for p in MODULES} <= set(RANKS)


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_imports_go_down(path):
    here = home(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "unseen" or len(parts) < 2 or parts[1] not in RANKS:
            continue
        there = parts[1]
        if here == there:
            inside = path.name == "__init__.py" or here in ("data", "parts")
            assert inside, f"{path.name} imports {name}: a method never imports another method"
        else:
            assert RANKS[there] < RANKS[here], f"{here} (rank {RANKS[here]}) imports {there} (rank {RANKS[there]})"


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_only_some_may(path):
    here, names = home(path), {n.split(".")[0] for n in imports(path)}
    text = path.read_text()
    if "sklearn" in names:
        assert here in ("errors", "detector", "measure", "methods", "pixels")
    if names & {"pandas", "polars", "pyarrow", "narwhals"}:
        assert here in ("data", "audit", "openset", "bundle", "stream", "files", "folder", "inspection")
    assert not names & {"pickle", "joblib", "dill", "shelve", "marshal"}, "nothing that runs what it loads"
    if ".step()" in text:
        assert path.name == "loops.py", "optimisers step in parts/loops.py only"
    if "print(" in text:
        assert here in ("cli", "terminal"), "the library logs; only the command line prints"


@pytest.mark.parametrize(
    "path", [p for p in MODULES if home(p) == "methods" and p.stem != "__init__"], ids=lambda p: p.name
)
def test_methods_are_short(path):
    assert len(path.read_text().splitlines()) <= 150
