"""Random command lines over random files: exit code 0 or 2, no traceback, and nothing left where it
failed.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import gzip
import io
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from fuzz.trial import Limits, Wrong
from unseen.cli import terminal
from unseen.cli.main import main

LIMITS = Limits(seconds=60, megabytes=2048)
HOME = tempfile.TemporaryDirectory(prefix="unseen-fuzz-made-")
Rng = np.random.Generator

WORDS = (
    "",
    "x",
    "kind",
    "normal",
    "0",
    "-1",
    "1e9",
    "nan",
    "a=b",
    "=",
    "id",
    "--",
    "é",
    "\x1b[31m",
    "x" * 5000,
    "*",
)
METHODS = ("mahalanobis", "nearest", "isolation-forest", "logistic", "nope", "Nearest", "")
SETTINGS = (
    "k=3",
    "k=0",
    "k=",
    "trees=3",
    "shrinkage=1e-9",
    "shrinkage=nan",
    "margin=3",
    "base.k=2",
    "k=1,2",
    "=3",
)
SPELLINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252", "utf-32")
COMMANDS = (*("fit", "score", "audit", "adapt") * 3, "evaluate", "info", "nope")


@functools.cache
def model() -> Path:
    """A saved detector, and beside it the table that it was trained on."""
    folder = Path(HOME.name)
    table(np.random.default_rng(0), 120).to_csv(folder / "train.csv", index=False)
    asked = [
        "--label",
        "kind",
        "--drop",
        "id",
        "--method",
        "mahalanobis",
        "--out",
        str(folder / "model"),
    ]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        main(["fit", str(folder / "train.csv"), *asked])
    return folder


def ready(seed: int) -> None:
    """The detector that cases start from."""
    model()


def table(rng: Rng, n: int) -> pd.DataFrame:
    """Numbers, words, gaps and labels."""
    values = {"id": np.arange(n), "a": rng.normal(size=n).round(3), "b": rng.integers(0, 5, n)}
    values |= {
        "c": rng.choice(["x", "y", "é"], n),
        "kind": np.where(rng.random(n) < 0.06, "leak", "normal"),
    }
    return pd.DataFrame(values)


def case(rng: Rng, folder: Path) -> None:
    """A command line or two over files of this case."""
    warnings.simplefilter("ignore")
    shutil.copytree(model(), folder / "made")
    files = [put(folder, k, rng) for k in range(3)]
    for k in range(2):
        words, target = line(rng, files, k)
        check_command(rng, words, target)


def check_command(rng: Rng, words: list[str], target: str | None) -> int:
    """Its exit code is 0 or 2; where it fails it leaves nothing; where not, its p-values are in (0,
    1].
    """
    before = everything()
    try:
        code, printed = ran(words)
        if code not in (0, 2):
            raise Wrong(f"exit code {code}: {printed[-300:]}")
        if "Traceback" in printed:
            raise Wrong(f"a traceback is printed: {printed[-300:]}")
        if code and (left := sorted(everything() - before)):
            raise Wrong(f"a failed command leaves files: {left[:5]}")
        if hidden := [name for name in everything() - before if Path(name).name.startswith(".")]:
            raise Wrong(f"hidden files are left: {hidden[:5]}")
        if not code and target and words[0] == "score":
            check_table(Path(target))
    except BaseException as error:
        error.add_note(repr(words))
        raise
    return code


def ran(words: list[str]) -> tuple[int, str]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        terminal.out.file = terminal.err.file = printed
        try:
            code = main(words)
        except SystemExit as end:
            code = int(end.code or 0) if not isinstance(end.code, str) else 1
    return code, printed.getvalue()


def everything() -> set[str]:
    """All files and folders below the working folder."""
    return {
        os.path.join(at, name) for at, folders, files in os.walk(".") for name in (*folders, *files)
    }


def check_table(file: Path) -> None:
    if file.suffix == ".parquet":
        pvalues = pyarrow.parquet.read_table(file)["pvalue"].drop_null().to_pylist()
    else:
        with file.open(newline="", encoding="utf-8") as lines:
            # none of what cannot be read
            pvalues = [float(row["pvalue"] or 1) for row in csv.DictReader(lines)]
    if not all(0 < pvalue <= 1 for pvalue in pvalues):
        raise Wrong(f"a p-value is not in (0, 1]: in {file}")


def line(rng: Rng, files: list[str], k: int) -> tuple[list[str], str | None]:
    """Words of a command that mostly make sense, some of them changed, and what it writes."""
    name = str(rng.choice(COMMANDS))
    file = (
        str(rng.choice([*files, "made/train.csv", "nowhere.csv", "made"]))
        if rng.random() < 0.7
        else "made/train.csv"
    )
    target = f"out{k}" + (
        "" if name in ("fit", "adapt") else str(rng.choice([".csv", ".parquet", ".csv", ".txt"]))
    )
    words = [name, *arguments(name, file, target, rng)]
    for _ in range(int(rng.choice([0, 0, 0, 1, 2]))):
        words = mutated(words, rng, files)
    return words, target if target in words else None


def arguments(name: str, file: str, target: str, rng: Rng) -> list[str]:
    saved = str(rng.choice(["made/model", "made/model", "made/model", "made", file]))
    labels = ["--label", "kind", "--drop", "id"] if rng.random() < 0.8 else []
    method = (
        ["--method", str(rng.choice(METHODS))]
        if rng.random() < 0.8
        else ["--method", "mahalanobis"]
    )
    some = {
        "fit": [
            file,
            *labels,
            *method,
            *option(rng, "--set", SETTINGS),
            *option(rng, "--seed", WORDS),
        ],
        "score": [
            saved,
            file,
            *option(rng, "--keep", ("id", "kind")),
            *option(rng, "--fdr", ("0.1", "0", "2", "nan")),
        ],
        "evaluate": [
            file,
            *labels,
            *method,
            "--seeds",
            "1",
            *option(rng, "--test", ("made/train.csv", file)),
        ],
        "audit": [saved, file, *option(rng, "--keep", ("id", "b"))],
        "adapt": [saved, file],
        "info": [saved],
    }
    out = ["--json" if name == "evaluate" else "--out", target]
    return [
        *some.get(name, [file]),
        *(out if name in ("fit", "score", "audit", "adapt", "evaluate") else []),
    ]


def option(rng: Rng, flag: str, values: tuple[str, ...]) -> list[str]:
    return [flag, str(rng.choice(values))] if rng.random() < 0.3 else []


FLAGS = (
    "--tail",
    "--alpha",
    "--kind",
    "--group",
    "--normal",
    "--keep",
    "--out",
    "--set",
    "--fdr",
    "--cache",
    "--size",
)


def mutated(words: list[str], rng: Rng, files: list[str]) -> list[str]:
    """One word is gone, another, twice there, or there is one more flag; never one that leads out
    of the folder.
    """
    at, how = int(rng.integers(1, max(len(words), 2))), int(rng.integers(4))
    some = str(rng.choice([*WORDS, *FLAGS, *files, "b=text", "a=number", "c=boolean"]))
    if how == 0:
        return words[:at] + words[at + 1 :]
    if how == 1:
        return [*words[:at], some, *words[at + 1 :]]
    if how == 2:
        return [*words[:at], *words[at:][:1], *words[at:]]
    return [*words, str(rng.choice(FLAGS)), some]


def put(folder: Path, k: int, rng: Rng) -> str:
    """A file with a table, as somebody saved it, whole or not; its name."""
    frame = table(rng, int(rng.choice([0, 1, 2, 30, 120])))
    if rng.random() < 0.3:
        frame.iloc[: len(frame) // 3, int(rng.integers(5))] = np.nan
    end = str(
        rng.choice(
            [".csv", ".csv", ".csv", ".parquet", ".csv.gz", ".tsv", ".jsonl", ".txt", ".xlsx"]
        )
    )
    file = folder / f"file{k}{end}"
    file.write_bytes(packed(frame, end, rng))
    if rng.random() < 0.3:
        data = bytearray(file.read_bytes())
        for at in rng.integers(max(len(data), 1), size=int(rng.integers(1, 8))):
            if at < len(data):
                data[at] = int(rng.integers(256))
        file.write_bytes(data[: int(rng.integers(len(data) + 1))] if rng.random() < 0.5 else data)
    return file.name


def packed(frame: pd.DataFrame, end: str, rng: Rng) -> bytes:
    if end == ".parquet":
        sink = pa.BufferOutputStream()
        pyarrow.parquet.write_table(pa.Table.from_pandas(frame, preserve_index=False), sink)
        return bytes(sink.getvalue())
    if end == ".jsonl":
        return frame.to_json(orient="records", lines=True).encode()
    mark, comma = [(",", "."), (";", ","), ("\t", "."), ("|", ".")][
        int(rng.choice([0, 0, 0, 1, 2, 3]))
    ]
    text = frame.to_csv(index=False, sep=mark, decimal=comma, header=rng.random() < 0.9)
    text = text.replace("\n", str(rng.choice(["\n", "\n", "\r\n", "\r", "\n\n"])))
    text = str(rng.choice(["", "", "", "sep=;\n", "\n\n", "# note\n", "\x00"])) + text
    data = text.encode(
        str(rng.choice(SPELLINGS)) if rng.random() < 0.3 else "utf-8", errors="replace"
    )
    return gzip.compress(data) if end == ".csv.gz" else data
