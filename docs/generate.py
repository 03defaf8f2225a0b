"""Pages of the site that come from the code: one for each method, the API, and the command line.

`conf.py` calls `write` before Sphinx reads its pages. Docstrings are plain text with `code` in
single backticks; `converted` turns them into the markup that Sphinx reads.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import os
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAIN = (
    "Detector",
    "Policy",
    "evaluate",
    "Protocol",
    "Schema",
    "Images",
    "Bundle",
    "read_table",
    "scorer",
)
# Public names that have no place at the root: by title, each with its module below `unseen`.
ELSEWHERE = {
    "Sources, the stream of scored rows, and sinks": (
        "scoring.stream.score",
        "scoring.stream.Scored",
        "scoring.tables.TableSource",
        "scoring.rows.FileRows",
        "scoring.rows.FrameRows",
        "scoring.folders.ImageFolder",
        "scoring.sinks.TableSink",
        "report.images.ImageSink",
    ),
    "Drift: what `Detector.drift` and `Detector.monitor` return": (
        "detector.drift.Drift",
        "detector.drift.Monitor",
        "detector.drift.ScoreRanks",
        "detector.shift.Shift",
        "detector.martingale.Martingale",
        "detector.martingale.OnlineRanks",
        "detector.recalibrate.left_out",
        "scoring.watch.watched",
    ),
    "Reasons, as `Detector.explain` gives them": (
        "explain.reasons.Reasons",
        "explain.reasons.Reason",
        "explain.reasons.Change",
        "explain.reasons.Neighbour",
    ),
    "Verdicts, and the chance of kinds without labels": (
        "detector.verdicts.Verdicts",
        "detector.chance.UnseenChance",
        "detector.chance.good_turing",
    ),
    "What `Detector.blind_spots` returns": (
        "detector.blindspots.BlindSpots",
        "detector.blindspots.HiddenClass",
    ),
    "For tests of a method of your own": ("testing.check_method",),
    "For a benchmark of your own: the draws and the figures of `evaluate`": (
        "data.labels.encode_labels",
        "data.split.class_halves",
        "evaluation.draws.draw_rows",
        "evaluation.draws.Draw",
        "evaluation.metrics.figures",
        "evaluation.metrics.tpr_at_fpr",
        "evaluation.metrics.average_precision",
        "evaluation.metrics.over_classes",
        "evaluation.metrics.FIGURES",
        "detector.checking.places_to_check",
        "detector.checking.kept_after",
        "evaluation.choices.LEAST",
        "evaluation.pixels.pixel_auroc",
        "evaluation.pixels.pixel_average_precision",
        "evaluation.pixels.pro",
        "vision.pixels.pixels_of",
        "vision.pixels.mask_of",
    ),
}
COMMANDS = (
    *("fit", "score", "evaluate", "adapt", "audit", "info", "drift", "recalibrate", "blindspots"),
    *("advise", "learn", "report", "check", "serve"),
    *("store", "store status", "store upgrade", "store downgrade", "store copy", "store purge"),
    *("token", "token add", "token list", "token revoke"),
)
TITLES = {
    "Equation": "Equation",
    "When": "When to use it",
    "Differs": "What differs from the paper",
}
SECTION = re.compile(rf"^({'|'.join(TITLES)}):\s*(.*)$")
FRAGMENT = re.compile(r"(`[^`]+`)")
SPECIAL = re.compile(r"([\\*|])|(?<=\w)(_)(?!\w)")


def write(folder: Path) -> None:
    """Write every generated page below `folder`, in folders called `generated`."""
    methods = _methods()
    pages = {
        f"methods/generated/{name}.rst": _method(name, method) for name, method in methods.items()
    }
    pages["methods/generated/index.rst"] = _overview(methods)
    pages["reference/generated/api.rst"] = _api()
    pages["reference/generated/command-line.rst"] = _command_line()
    for old in folder.glob("*/generated/*.rst"):
        if str(old.relative_to(folder)) not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text() != text:  # what did not change is not read anew
            path.write_text(text)


def converted(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Sphinx's event `autodoc-process-docstring`: a docstring of ours as reStructuredText."""
    lines[:] = restructured(lines)


def unbroken(app: Any, name: str, source: list[str]) -> None:
    """Sphinx's event `source-read`: no line ends beside ±, in a table that would be too wide."""
    source[0] = source[0].replace(" ± ", "\u00a0±\u00a0")


def foreign(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Sphinx's event `autodoc-skip-member`: leave out what a class inherits from other packages."""
    function = getattr(obj, "fget", obj)
    home = getattr(inspect.unwrap(function) if callable(function) else function, "__module__", None)
    return True if not str(home).startswith("unseen") else None


def restructured(lines: list[str]) -> list[str]:
    """A docstring as reStructuredText.

    >>> lines = ["Distance to `mu`, |x| * 2.", "", "Equation:", "    |x - mu|", "When: always."]
    >>> print("\\n".join(line for line in restructured(lines) if line))
    Distance to ``mu``, \\|x\\| \\* 2.
    .. rubric:: Equation
    .. code-block:: text
        |x - mu|
    .. rubric:: When to use it
    Always.
    >>> lines = ["Parameters", "----------", "k : int", "    Neighbours, `k` of them."]
    >>> print("\\n".join(restructured(lines)))
    .. rubric:: Parameters
    <BLANKLINE>
    k : int
        Neighbours, ``k`` of them.
    <BLANKLINE>
    """
    return [line for block in _blocks(lines) for line in [*_block(block), ""]]


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Lines in blocks: cut at blank lines, before a section, and around an indented formula."""
    block: list[str] = []
    for line in [*lines, ""]:
        turns = block and _indented(block[-1]) != _indented(line) and not _underlined(block)
        if block and (not line.strip() or SECTION.match(line) or turns):
            yield block
            block = []
        if line.strip():
            block.append(line.rstrip())


def _indented(line: str) -> bool:
    return line.startswith("    ")


def _underlined(block: list[str]) -> bool:
    """Whether a block is a section of numpydoc: Parameters, Returns, Raises."""
    return len(block) > 1 and bool(re.fullmatch(r"-{3,}", block[1]))


def _block(block: list[str]) -> list[str]:
    if block[0].lstrip().startswith(">>>"):
        return block
    if _underlined(block):
        return [
            f".. rubric:: {block[0]}",
            "",
            *map(_escaped, block[2:]),
        ]  # a list of definitions already
    if _indented(block[0]):
        return [".. code-block:: text", "", *block]
    if found := SECTION.match(block[0]):
        text = [line for line in [found[2][:1].upper() + found[2][1:], *block[1:]] if line]
        paragraph = ["", *_escaped("\n".join(text)).split("\n")] if text else []
        return [f".. rubric:: {TITLES[found[1]]}", *paragraph]
    return _escaped("\n".join(block)).split("\n")


def _escaped(text: str) -> str:
    """Inline code in double backticks, all else free of markup.

    >>> _escaped("`a * b` and a * b_")
    '``a * b`` and a \\\\* b\\\\_'
    """
    parts = FRAGMENT.split(text)
    return "".join(
        f"`{part}`" if i % 2 else SPECIAL.sub(r"\\\g<0>", part) for i, part in enumerate(parts)
    )


def _title(text: str) -> list[str]:
    return [text, "=" * len(text), ""]


def _named() -> dict[str, Any]:
    from unseen.methods import IMAGES, METHODS

    return METHODS | IMAGES


def _methods() -> dict[str, Any]:
    """Each method by its name on the command line; of two names of one class, the first."""
    return {name: method for name, method in _named().items() if _names(method)[0] == name}


def _labels(method: Any) -> str:
    """Whether labelled anomalies are used; where it is a property, the methods inside decide."""
    asked = type(method).uses_labels
    return (
        "as the methods inside" if isinstance(asked, property) else "used" if asked else "not used"
    )


def _method(name: str, method: Any) -> str:
    kind = type(method).__name__
    about = (
        f"On the command line ``--method {name}``, in Python ``unseen.methods.{kind}``. "
        f"Labelled anomalies: {_labels(method)}."
    )
    stands = [f"``{each}`` stands for ``{_short(_named()[each])}``." for each in _names(method)]
    lines = [
        *_title(name),
        about,
        "",
        *([] if stands == [f"``{name}`` stands for ``{kind}()``."] else [" ".join(stands), ""]),
        ".. py:currentmodule:: unseen.methods",
        "",
        f".. autoclass:: unseen.methods.{kind}",
        "",
        ":doc:`All methods <index>` · :doc:`measured side by side </benchmarks/open-set>` "
        "· :doc:`beside its baseline </benchmarks/why>`",
        "",
    ]
    return "\n".join(lines)


def _names(method: Any) -> list[str]:
    """All names of a method's class."""
    return [name for name, other in _named().items() if type(other) is type(method)]


def _short(value: Any) -> str:
    """A method with the fields that differ from their defaults."""
    if isinstance(value, tuple) and any(map(dataclasses.is_dataclass, value)):
        return f"({', '.join(map(_short, value))}{',' if len(value) == 1 else ''})"
    if not dataclasses.is_dataclass(value):
        return repr(value)
    fields = {field.name: field.default for field in dataclasses.fields(value) if field.init}
    changed = {
        name: getattr(value, name)
        for name, default in fields.items()
        if getattr(value, name) != default
    }
    inside = ", ".join(f"{name}={_short(each)}" for name, each in changed.items())
    return f"{type(value).__name__}({inside})"


def _overview(methods: dict[str, Any]) -> str:
    """A table of all methods: name, use of labels, and the first paragraph of the docstring."""
    rows = []
    for name, method in methods.items():
        summary = (inspect.getdoc(type(method)) or "").partition("\n\n")[0]
        first = _escaped(" ".join(summary.split()))
        rows += [f"   * - :doc:`{name} <{name}>`", f"     - {_labels(method)}", f"     - {first}"]
    head = [".. list-table::", "   :header-rows: 1", "   :widths: 20 18 62", ""]
    return "\n".join(
        [
            *_title("All methods in one table"),
            *head,
            "   * - name",
            "     - labels",
            "     - what it is",
            *rows,
            "",
        ]
    )


def _api() -> str:
    """Every public name that is not a method: what most need, the rest, errors, the stream."""
    import unseen

    methods = {type(method) for method in _named().values()}
    public = {name: getattr(unseen, name) for name in unseen.__all__}
    functions = {name for name, thing in public.items() if inspect.isfunction(thing)}
    classes = {
        name for name, thing in public.items() if inspect.isclass(thing) and thing not in methods
    }
    errors = {name for name in classes if issubclass(public[name], Exception | Warning)}
    main = [name for name in MAIN if name in functions | classes]
    sections = {
        "What most need": [*main, *sorted(functions - set(MAIN))],
        "For methods and for details": sorted(classes - errors - set(main)),
        "Errors and warnings": sorted(errors),
    }
    about = (
        "What has no module before its name is imported from ``unseen``. "
        "Methods have :doc:`pages of their own </methods/index>`."
    )
    text = [*_title("Python"), about, "", ".. py:currentmodule:: unseen", ""]
    for title, names in sections.items():
        text += [title, "-" * len(title), ""]
        for name in names:
            text += [f".. auto{'function' if name in functions else 'class'}:: unseen.{name}"]
            text += ["   :members:", "   :inherited-members:"] if name in classes - errors else []
            text += [""]
    for title, names in ELSEWHERE.items():
        title = title.replace("`", "``")
        text += [title, "-" * len(title), ""]
        for name in names:
            last = name.rpartition(".")[2]
            sort = "data" if last.isupper() else "class" if last[0].isupper() else "function"
            text += [f".. auto{sort}:: unseen.{name}", ""]
    return "\n".join(text)


def _command_line() -> str:
    text = [
        *_title("Command line"),
        "What ``unseen --help`` and the help of each command print.",
        "",
    ]
    for command in ("", *COMMANDS):
        title = f"unseen {command}".strip()
        text += [title, "-" * len(title), "", ".. code-block:: text", ""]
        text += [f"   {line}".rstrip() for line in _help(command).splitlines()] + [""]
    return "\n".join(text)


def _help(command: str) -> str:
    """What `unseen COMMAND --help` prints on a terminal of 88 columns without colours."""
    printed, before, argv = io.StringIO(), os.environ.copy(), sys.argv
    os.environ.update(COLUMNS="88", NO_COLOR="1", TERM="dumb")
    sys.argv = ["unseen", *command.split(), "--help"]
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            runpy.run_module("unseen", run_name="__main__")
    finally:
        os.environ.clear()
        os.environ.update(before)
        sys.argv = argv
    return printed.getvalue()
