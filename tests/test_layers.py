"""Rooms and ranks: a module imports from lower ranks and from its own room, and the further rules
of the design.
"""

import ast
import re
from pathlib import Path

import pytest

import unseen

ROOT = Path(unseen.__file__).parent
RANKS = [
    {"errors", "types", "wording", "names", "quiet", "_version"},
    {"data", "io", "parts", "fields"},
    {"vision", "methods", "explain"},
    {"testing", "detector"},
    {"evaluation", "storage"},
    {"scoring", "report"},
    {"cli", "service", "__init__", "__main__"},
]
RANK = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}
MODULES = sorted(ROOT.rglob("*.py"))
NAMES = [str(p.relative_to(ROOT)) for p in MODULES]


def room(path):
    """The room that a module is in: methods/devnet.py -> methods."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path):
    """Dotted names of every module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{a.name}" for a in node.names)


def test_every_module_is_in_a_room():
    assert {room(p) for p in MODULES} <= set(RANK)
    assert len(RANKS) == 7


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_imports_go_down(path):
    here = room(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "unseen" or len(parts) < 2 or parts[1] not in RANK:
            continue
        there = parts[1]
        if here == there or {here, there} <= RANKS[0] or {here, there} <= RANKS[-1]:
            own = path.relative_to(ROOT).with_suffix("").parts[:2]  # a method's file or folder
            alone = (
                here == "methods" and path.stem != "catalogue" and own != ("methods", "__init__")
            )
            assert not alone or tuple(parts[1:3]) == own, (
                f"{path.name} imports {name}: a method never imports another method"
            )
        else:
            assert RANK[there] < RANK[here], (
                f"{here} (rank {RANK[here]}) imports {there} (rank {RANK[there]})"
            )


def graph():
    """For each module of the package those that it imports, by dotted name."""
    names = {}
    for path in MODULES:
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: {n for n in imports(path) if n in names} - {name} for name, path in names.items()}


def test_no_cycle_and_no_long_chain():
    edges, depth, open_ = graph(), {}, set()

    def longest(name):
        assert name not in open_, f"a cycle of imports through {name}"
        if name not in depth:
            open_.add(name)
            depth[name] = 1 + max(map(longest, edges[name]), default=0)
            open_.discard(name)
        return depth[name]

    found = {name: longest(name) for name in edges}
    assert max(found.values()) <= LONGEST, sorted(found.items(), key=lambda each: -each[1])[:5]


LONGEST = 28  # 12 of the library itself; the service stands on it, and has floors of its own


# Engines that an extra brings, and the rooms that build on each.
EXTRAS = {
    "ray": ["scoring"],
    "onnx": ["storage"],
    "onnxscript": ["storage"],
    "onnxruntime": ["storage"],
    "mlflow": ["storage"],
    "fastapi": ["service"],
    "starlette": ["service"],
    "uvicorn": ["service"],
    "sqlalchemy": ["service"],
    "alembic": ["service"],
    "psycopg": ["service"],
    "httpx": ["service"],
    "prometheus_client": ["service"],
}


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_only_some_may(path):
    here, names = room(path), {n.split(".")[0] for n in imports(path)}
    text = path.read_text()
    if "sklearn" in names:
        assert here in ("errors", "detector", "evaluation", "methods")
    if names & {"pandas", "polars", "pyarrow", "narwhals"}:
        assert here in (
            *("data", "io", "detector", "evaluation", "storage", "scoring", "report", "service"),
        )
    if "torch" in names:
        assert here not in ("io", "cli", "errors", "wording", "names", "service")
    for extra, rooms in EXTRAS.items():
        assert extra not in names or here in rooms, f"{extra} is for {' and '.join(rooms)}"
    assert not names & {"pickle", "joblib", "dill", "shelve", "marshal"}, (
        "nothing that runs what it loads"
    )
    if ".step()" in text:
        assert path.name == "loops.py", "optimisers step in parts/loops.py only"
    if "print(" in text:
        assert here == "cli", "the library logs; only the command line prints"


@pytest.mark.parametrize(
    "path",
    [p for p in MODULES if room(p) == "methods" and p.stem not in ("__init__", "catalogue")],
    ids=lambda p: p.name,
)
def test_methods_are_short(path):
    assert len(path.read_text().splitlines()) <= 240  # with what each parameter does


def functions():
    """For each name of a function at the top of a module, private ones too, its modules."""
    found = {}
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.setdefault(node.name, set()).add(str(path.relative_to(ROOT)))
    return found


# Functions of one name in several modules, and why each may be.
SHARED = {
    "__dir__": "Python's own hook of a module",
    "__getattr__": "Python's own hook of a module",
    "downgrade": "Alembic's own name in each step between two schemas",
    "evaluate": "the command is called as the function that it calls",
    "score": "the command is called as the function that it calls",
    "upgrade": "Alembic's own name in each step between two schemas",
}


def test_a_name_is_the_name_of_one_function():
    several = {name: sorted(where) for name, where in functions().items() if len(where) > 1}
    assert several.keys() == SHARED.keys(), several
    assert len(SHARED) <= 12


def test_a_part_serves_two_modules_or_more():
    edges = graph()
    users = {
        part: {name for name, imported in edges.items() if part in imported}
        for part in edges
        if part.startswith("unseen.parts.")
    }
    single = {part: names for part, names in users.items() if len(names) < 2}
    assert single.keys() <= {"unseen.parts.plain"}, single  # what `deviation`, a part, begins with


TYPES = "Maps|Images|Schema|Vision|TableSource|FileRows|FrameRows|ImageFolder"
KINDS = rf"is_dir\(\)|isinstance\(.*\b({TYPES})\b"


def test_nothing_asks_which_kind_of_input_it_has():
    asking = {str(path.relative_to(ROOT)) for path in MODULES if re.search(KINDS, path.read_text())}
    assert asking <= {
        "detector/inputs.py",  # where `Detector.fit` picks an encoder
        "vision/encoder.py",  # an encoder may be given its kind or what its kind is made from
        "scoring/sources.py",  # where a path becomes a source
        "io/paths.py",  # which asks about the place where a file is to be written
    }


def test_commands_are_short():
    bodies = {}
    for path in (ROOT / "cli").glob("*.py"):
        text = path.read_text()
        for node in ast.parse(text).body:
            decorated = isinstance(node, ast.FunctionDef) and any(
                re.match(r"\w+\.command\(", ast.unparse(each)) for each in node.decorator_list
            )
            if decorated:
                first = node.body[1] if ast.get_docstring(node) else node.body[0]
                lines = text.splitlines()[first.lineno - 1 : node.end_lineno]
                bodies[node.name] = sum(bool(line.strip()) for line in lines)
    assert len(bodies) >= 13
    assert max(bodies.values()) <= 15, bodies


TESTS = Path(__file__).parent
# Test files that hold a law of several modules of their room, and so have no module's name.
LAWS = {
    "bench/results": "runs that count, and the tables made of them",
    "bench/report": "all pages",
    "cli/signals": "what stops a run, from the first import on",
    "detector/equal_rows": "equal rows have equal scores, whatever lies between them",
    "detector/one_pass": "calibration by scores of training, and what it shows of the pieces",
    "detector/sklearn": "the detector among scikit-learn's tools",
    "methods/heads": "methods that learn a head on rows",
    "methods/meta": "methods that learn from tasks",
    "methods/methods": "what every method keeps",
    "service/attacks": "attacks on the API",
    "parts/parts": "parts of a few lines each",
    "service/backup": "what deploy.md says of backing up and restoring",
    "service/faults": "what a client was told is kept when server, database or disk fail",
}


def test_tests_mirror_the_package():
    names = [file.name for file in TESTS.rglob("test_*.py")]
    assert len(names) == len(set(names)), "two test files of one name: pytest reads one of them"
    for file in TESTS.glob("*/test_*.py"):
        here, name = file.parent.name, file.stem.removeprefix("test_")
        home = ROOT / here if (ROOT / here).is_dir() else TESTS.parent / here
        modules = {path.stem for path in home.rglob("*.py")} | {
            path.name for path in home.iterdir()
        }
        about = {module for module in modules if name == module or name.startswith(f"{module}_")}
        assert about or f"{here}/{name}" in LAWS, f"{file}: no module of {here} has this name"


@pytest.mark.parametrize("path", sorted(TESTS.rglob("test_*.py")), ids=lambda path: path.stem)
def test_a_test_says_its_law_and_imports_no_other_test(path):
    assert ast.get_docstring(ast.parse(path.read_text()))
    assert not [name for name in imports(path) if name.split(".")[0].startswith("test_")]
