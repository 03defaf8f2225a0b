"""The flat public API: complete, sorted, and nothing in it but what is meant for users."""

import ast
import dataclasses
import importlib.util
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import unseen
from unseen import errors
from unseen.cli.learning import NAMES
from unseen.methods import IMAGES, METHODS


def order(name):
    """Constants, then classes, then the rest, as ruff sorts `__all__`."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def test_all_is_sorted():
    assert sorted(unseen.__all__, key=order) == unseen.__all__


def test_all_is_complete():
    assert {*unseen._HOME, "__version__"} == set(unseen.__all__)
    assert set(unseen.__all__) <= set(dir(unseen))


def test_every_error_is_public_and_every_method_is_reached_by_name():
    kinds = {
        v for v in vars(errors).values() if isinstance(v, type) and v.__module__ == errors.__name__
    }
    public = [getattr(unseen, name) for name in unseen.__all__]
    assert [kind for kind in kinds if kind not in public] == []
    for method in (*METHODS.values(), *IMAGES.values()):
        name = type(method).__name__
        assert getattr(unseen.methods, name) is getattr(unseen, name) is type(method)


def test_help_and_the_root_import_nothing_heavy():
    code = (
        "import sys, unseen, unseen.cli.main; print(sorted({'torch', 'sklearn', 'pandas'} & "
        "set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_names_on_the_command_line_are_those_of_methods():
    assert set(NAMES) == {*METHODS, *IMAGES}


def test_every_public_class_and_function_says_what_it_is():
    bare = [
        n
        for n in unseen.__all__
        if callable(getattr(unseen, n)) and not (getattr(unseen, n).__doc__ or "").strip()
    ]
    assert bare == []


def fields(kind):
    return (
        [f.name for f in dataclasses.fields(kind) if f.init]
        if dataclasses.is_dataclass(kind)
        else []
    )


METHOD_TYPES = {type(method) for method in (*METHODS.values(), *IMAGES.values())}
PUBLIC = {getattr(unseen, name) for name in unseen.__all__}


def named_with_their_modules():
    """Public names that are not at the root, as the site lists them."""
    place = Path(__file__).parents[1] / "docs" / "generate.py"
    spec = importlib.util.spec_from_file_location("generate", place)
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    names = {name for part in pages.ELSEWHERE.values() for name in part}
    return {f"unseen.{name}": pkgutil.resolve_name(f"unseen.{name}") for name in names}


ELSEWHERE = named_with_their_modules()
WITH_FIELDS = sorted(
    (
        kind
        for kind in METHOD_TYPES | PUBLIC | set(ELSEWHERE.values())
        if isinstance(kind, type) and fields(kind)
    ),
    key=lambda kind: kind.__name__,
)


def entries(text):
    """The names that a section `Parameters` of numpydoc has entries for, in order."""
    lines = text.partition("Parameters\n----------\n")[2].splitlines()
    names = []
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if set(below) == {"-"} or line.startswith(">>>"):
            break  # the next section, or an example
        if re.fullmatch(r"\w+(, \w+)*( : .*)?", line):
            names += line.partition(" : ")[0].split(", ")
    return names


@pytest.mark.parametrize("kind", WITH_FIELDS, ids=lambda kind: kind.__name__)
def test_every_field_of_a_public_class_is_explained_in_order(kind):
    assert entries(inspect.getdoc(kind)) == fields(kind)


FUNCTIONS = [unseen.evaluate, unseen.read_table, unseen.scorer]
FUNCTIONS += [thing for _, thing in sorted(ELSEWHERE.items()) if inspect.isfunction(thing)]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_every_argument_of_a_public_function_is_explained(function):
    assert set(inspect.signature(function).parameters) <= set(entries(inspect.getdoc(function)))


def test_benchmarks_use_public_names_alone():
    found = set()
    for file in (Path(__file__).parents[1] / "bench").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unseen."):
                found |= {f"{node.module}.{name.name}" for name in node.names}
    methods = {f"unseen.methods.{name}" for name in unseen.methods.__all__}
    assert found - methods - ELSEWHERE.keys() == set()
