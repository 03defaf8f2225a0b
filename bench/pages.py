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

from bench import docstrings
from bench.composition import SCORER, Name, fitters, inside, made_of, nested
from bench.entrants import ROOT
from bench.families import FAMILIES, MORE
from bench.side_by_side import RESULTS
from bench.standing import Standing, headline_runs, link, standing
from unseen.detector import Detector
from unseen.methods import METHODS

FOLDER = Path("docs/methods")
SOURCE = "../../src"
NOTE = "<!-- Written by `python -m bench.pages`: edit {}, and run it again. -->"
NO_RUN = """No runs in the benchmark yet. With `UNSEEN_DATA` set ([which files](../../CONTRIBUTING.md#set-up)), this
makes them, and writes this page anew:

```sh
python -m bench.side_by_side --methods {} --seeds 5
python -m bench.pages
```"""
USED = {
    SCORER: "what scores are made of",
    "rows": "which rows it learns from, and rows made from them",
    "loss": "what it minimises",
    "loop": "how it minimises that",
}


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
    pages = {f"{name}.md": page(name, stands[name]) for name in METHODS} | {"README.md": index(stands)}
    folder.mkdir(parents=True, exist_ok=True)
    for old in {path.name for path in folder.glob("*.md")} - pages.keys():
        (folder / old).unlink()
    for name, text in pages.items():
        (folder / name).write_text(text.rstrip() + "\n")


def page(name: str, stands: Standing | None) -> str:
    """One method: what it is and when to use it, its equation, how to call it, fields, figures, parts, differences."""
    method, kind = METHODS[name], type(METHODS[name])
    doc, of, file = docstrings.read(kind), family(name), source(kind)
    labels = "used" if method.uses_labels else "not used"
    parts = [
        NOTE.format(f"the docstring of {kind.__name__}"),
        f"# {name}",
        doc.headline,
        f"**When to use it.** {doc.when}",
        doc.text,
        f"Family: [{of}](README.md#{of}). Labelled anomalies: {labels}. Source: [{Path(file).name}]({SOURCE}/{file})."
        + MORE.get(name, ""),
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


def baseline(name: str) -> tuple[str, str]:
    """What the method has to beat, and what that is: the method that it wraps, or the simplest one of its family."""
    values = [getattr(METHODS[name], field.name) for field in dataclasses.fields(METHODS[name])]
    for value in values:
        if dataclasses.is_dataclass(value):
            return name_of(value), "the method that it wraps"
    return FAMILIES[family(name)].baseline, "the simplest baseline of its family"


def name_of(method: Any) -> str:
    return next(name for name, known in METHODS.items() if type(known) is type(method))


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
        meaning = doc.meaning(name)
        first = told.setdefault(meaning, name)
        words = meaning if first == name or not meaning else f"See `{first}`."
        rows.append([f"`{name}`", f"`{short(getattr(method, name))}`", words])
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


def said(parts: list[Name]) -> str:
    """The roles that occur among parts, explained."""
    words = [f"*{role}*: {what}" for role, what in USED.items() if role in {part.role for part in parts}]
    return f"{'; '.join(words)}." if words else ""


def composition(method: Any) -> str:
    """A row for each part, method inside the method, and fitter."""
    kind = type(method)
    rows = [
        [code(part), part.role, part.sentence, ", ".join(f"`{inner.name}`" for inner in inside(part))]
        for part in sorted(made_of(kind), key=lambda part: list(USED).index(part.role))
    ]
    rows += [[link(name), "method", docstrings.read(type(METHODS[name])).headline, ""] for name in members(method)]
    rows += [[f"`{fitter.name}`", "fit", "Of scikit-learn.", ""] for fitter in fitters(kind)]
    return table(["part", "for", "what it is", "itself made of"], rows)


def members(method: Any) -> list[str]:
    """Names of the methods inside a method."""
    return list(dict.fromkeys(name_of(one) for one in nested(method)))


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
        labels = "yes" if METHODS[name].uses_labels else "no"
        rows.append([link(name), f"`{kind.__name__}`", labels, *figures, docstrings.read(kind).headline])
    return table(["method", "class", "labels", "unseen", "seen", "fit, s", "what it is"], rows)


def made() -> list[str]:
    """A row for each method: its parts by what they are for."""
    rows = []
    for name, method in METHODS.items():
        parts = made_of(type(method))
        named = [", ".join(f"`{part.name}`" for part in parts if part.role == role) for role in USED]
        others = [*map(link, members(method)), *(f"`{fitter.name}`" for fitter in fitters(type(method)))]
        rows.append([link(name), *named, ", ".join(others)])
    parts = [part for method in METHODS.values() for part in made_of(type(method))]
    words = f"Read from the code: what each method takes from src/unseen/parts. {said(parts)}"
    return [words, table(["method", *USED, "methods inside, scikit-learn"], rows)]


def users() -> str:
    """A row for each part: the methods that call it themselves."""
    by: dict[Name, list[str]] = {}
    for name, method in METHODS.items():
        for part in made_of(type(method)):
            by.setdefault(part, []).append(name)
    rows = [[code(part), part.role, ", ".join(map(link, by[part]))] for part in sorted(by)]
    return table(["part", "for", "methods"], rows)


def source(kind: type) -> str:
    return Path(inspect.getfile(kind)).relative_to(ROOT / "src").as_posix()


def code(part: Name) -> str:
    return f"[`{part.name}`]({SOURCE}/{part.module.replace('.', '/')}.py)"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown; a bar in a cell is no border."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


if __name__ == "__main__":
    main()
