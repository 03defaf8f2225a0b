"""The pages of the methods, docs/methods: from their docstrings, their fields, their code, and the benchmark's runs.

python -m bench.pages                                  # after a change of a docstring, of a field, or of a figure
python -m bench.pages --results quick.parquet --out quick
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pandas as pd

from bench import docstrings
from bench.composition import made_of
from bench.entrants import ROOT
from bench.explain import EVIDENCE, evidence, section
from bench.families import FAMILIES, MORE
from bench.part_tables import SOURCE, composition, made, members, name_of, said, table, users
from bench.side_by_side import RESULTS
from bench.standing import Standing, headline_runs, link, standing
from unseen.detector.detector import Detector
from unseen.methods import METHODS

FOLDER = Path("docs/methods")
NOTE = "<!-- Written by `python -m bench.pages`: edit {}, and run it again. -->"
NO_RUN = """No runs in the benchmark yet. With `UNSEEN_DATA` set ([which files](../../CONTRIBUTING.md#set-up)), this
makes them, and writes this page anew:

```sh
python -m bench.side_by_side --methods {} --seeds 5
python -m bench.pages
```"""


def main() -> None:
    """Write a page for each method, and the index; remove pages of methods that are no more."""
    options = argparse.ArgumentParser(prog="python -m bench.pages", description=main.__doc__)
    options.add_argument("--results", type=Path, default=RESULTS)
    options.add_argument("--out", type=Path, default=FOLDER)
    chosen = options.parse_args()
    write(chosen.out, chosen.results)
    print(f"{len(METHODS)} methods, written to {chosen.out}")


def write(folder: Path, results: Path) -> None:
    """All pages; no other page stays in the folder."""
    runs = headline_runs(results)
    stands = {name: standing(runs, name, *baseline(name)) for name in METHODS}
    found = evidence(results.with_name(EVIDENCE.name))
    pages = {f"{name}.md": page(name, stands[name], found) for name in METHODS} | {"README.md": index(stands)}
    folder.mkdir(parents=True, exist_ok=True)
    for old in {path.name for path in folder.glob("*.md")} - pages.keys():
        (folder / old).unlink()
    for name, text in pages.items():
        (folder / name).write_text(text.rstrip() + "\n")


def page(name: str, stands: Standing | None, found: pd.DataFrame) -> str:
    """One method: what it is and when to use it, its equation, how to call it, fields, figures, parts, differences.

    `found` are the runs of bench.why, which tell why a method lies below its baseline.
    """
    method, kind = METHODS[name], type(METHODS[name])
    doc, of, file = docstrings.read(kind), family(name), source(kind)
    parts = [
        NOTE.format(f"the docstring of {kind.__name__}"),
        f"# {name}",
        doc.headline,
        f"**When to use it.** {doc.when}",
        doc.text,
        f"Family: [{of}](README.md#{of}). Labelled anomalies: {labels(name)}. "
        f"Source: [{Path(file).name}]({SOURCE}/{file}).{MORE.get(name, '')}",
        "## Equation",
        f"```text\n{doc.equation}\n```",
        "`x` is an encoded row ([what becomes of columns](../data.md)); a higher score is more anomalous.",
        "## Use",
        f"```sh\nunseen fit demo/train.csv --label kind --drop row --method {name} --out detector\n```",
        f"```python\n{calls(name, doc)}\n\n```",
        "## Fields",
        fields(method, doc),
        "## Figures",
        *(stands.parts() if stands else [NO_RUN.format(name)]),
        *section(stands, found),
        "## What it is made of",
        f"Read from the code. {said(made_of(kind))}".strip(),
        composition(method),
        "## What differs from the paper",
        doc.differs,
    ]
    return "\n\n".join(part for part in parts if part)


def family(name: str) -> str:
    """The family that lists the method."""
    found = [title for title, family in FAMILIES.items() if name in family.names]
    if not found:
        raise SystemExit(f"method {name!r} is in no family of bench/families.py: add it to {' or '.join(FAMILIES)}")
    return found[0]


def base(name: str) -> Any:
    """The method that a method wraps; None where it wraps none."""
    values = [getattr(METHODS[name], field.name) for field in dataclasses.fields(METHODS[name])]
    return next((value for value in values if dataclasses.is_dataclass(value)), None)


def baseline(name: str) -> tuple[str, str]:
    """What the method has to beat, and what that is: the method that it wraps, or the simplest one of its family."""
    if base(name):
        return name_of(base(name)), "the method that it wraps"
    return FAMILIES[family(name)].baseline, "the simplest baseline of its family"


def labels(name: str) -> str:
    """Whether labelled anomalies change what is learned; where a method wraps another, that one says."""
    if base(name):
        return "as its base does"
    return "used" if METHODS[name].uses_labels else "not used"


def calls(name: str, doc: docstrings.Doc) -> str:
    """Lines of Python: the method in a Detector, and the example of the docstring."""
    kind = type(METHODS[name])
    plain = short(METHODS[name]) == f"{kind.__name__}()"
    made = f"{kind.__name__}()" if plain else f'METHODS["{name}"]'
    needed = doc.needs | {"Detector": Detector} | ({kind.__name__: kind} if plain else {"METHODS": METHODS})
    lines = [*docstrings.imports(needed), f"detector = Detector({made}, random_state=0)"]
    return "\n".join([*[f">>> {line}" for line in lines], doc.example])


def fields(method: Any, doc: docstrings.Doc) -> str:
    """A row for each field: its default and its meaning, told once where a sentence is about several."""
    rows: list[list[str]] = []
    told: dict[str, str] = {}
    for name in (field.name for field in dataclasses.fields(method)):
        value = getattr(method, name)
        meaning = doc.meaning(name, value)
        first = told.setdefault(meaning, name) if f"`{name}`" in meaning else name
        rows.append([f"`{name}`", f"`{short(value)}`", meaning if first == name else f"See `{first}`."])
    words = "Set with `--set FIELD=VALUE` on the command line, as keywords in Python"
    words += "; methods inside it in Python alone." if members(method) else "."
    return f"{words}\n\n{table(['field', 'default', 'meaning'], rows)}" if rows else "It has none."


def short(value: Any) -> str:
    """A value as code; of a method only what is not its default.

    >>> from unseen import Forest, Logistic
    >>> short((Logistic(), Forest(trees=50)))
    '(Logistic(), Forest(trees=50))'
    """
    if isinstance(value, tuple):
        return f"({', '.join(map(short, value))}{',' * (len(value) == 1)})"
    if not dataclasses.is_dataclass(value):
        return repr(value)
    plain = {field.name: field.default for field in dataclasses.fields(value)}
    changed = {name: getattr(value, name) for name in plain if getattr(value, name) != plain[name]}
    return f"{type(value).__name__}({', '.join(f'{name}={short(other)}' for name, other in changed.items())})"


def index(stands: dict[str, Standing | None]) -> str:
    """All methods by family, what each is made of, and who uses each part."""
    note = NOTE.format("bench/methods.md, bench/families.py or docstrings of methods")
    parts = [note, (ROOT / "bench" / "methods.md").read_text().strip()]
    for title, of in FAMILIES.items():
        if listed := [name for name in of.names if name in METHODS]:
            parts += [f"## {title.capitalize()}", of.words, overview(listed, stands)]
    parts += ["## What each method is made of", *made(), "## Parts, and who uses them", users()]
    return "\n\n".join(parts)


def overview(names: list[str], stands: dict[str, Standing | None]) -> str:
    """A row for each method, with its means over the sets."""
    rows = []
    for name in names:
        kind, stand = type(METHODS[name]), stands[name]
        figures = [stand.mean(figure) if stand else "-" for figure in ("unseen_auroc", "seen_auroc", "fit_seconds")]
        rows.append([link(name), f"`{kind.__name__}`", labels(name), *figures, docstrings.read(kind).headline])
    return table(["method", "class", "labels", "unseen", "seen", "fit, s", "what it is"], rows)


def source(kind: type) -> str:
    return Path(inspect.getfile(kind)).relative_to(ROOT / "src").as_posix()


if __name__ == "__main__":
    main()
