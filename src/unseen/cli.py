"""The command line. Results go to standard output, notes and progress to standard error."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

import unseen
from unseen import openset, render
from unseen.bundle import Bundle, new_path
from unseen.data import read
from unseen.data.write import Writer
from unseen.detector import Detector
from unseen.errors import DataError, UnseenError
from unseen.files import label_counts, save_json, suspects, table_with, without
from unseen.methods import METHODS
from unseen.openset import Protocol
from unseen.settings import configured, pairs
from unseen.stream import score_file
from unseen.terminal import complain, err, noted, out, progressing, say

ALPHA = 0.05
STACK = "evidence-stack"


def shown(default: object) -> str | None:
    """A default as it would be typed."""
    words = default if isinstance(default, tuple) else () if default is None else (str(default),)
    return " ".join(words) or None


app = App(
    name="unseen",
    help="Detects anomalies, also of kinds that nobody has labelled yet, and says how blind it still is.",
    help_format="plaintext",
    version=unseen.__version__,
    default_parameter=Parameter(consume_multiple=True, negative=(), show_default=shown),
    error_console=err,
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
    result_action="return_none",
)

Train = Annotated[Path, Parameter(help="CSV or Parquet file: normal rows and a few labelled anomalies")]
Label = Annotated[str, Parameter(metavar="COL", help="column that says what each row is")]
Normal = Annotated[str, Parameter(metavar="NAME", help="what that column calls a normal row")]
Drop = Annotated[tuple[str, ...], Parameter(metavar="COL ...", help="columns to leave out")]
Set = Annotated[
    tuple[str, ...],
    Parameter(name="--set", metavar="FIELD=VALUE ...", help="fields of the method; a wrong one lists them"),
]

Tail = Annotated[
    bool, Parameter(help="let a model give p-values below 1 / (calibration rows + 1), which data alone cannot")
]


@app.command(
    sort_key=0,
    help_epilogue="Example:\n"
    "  unseen fit train.parquet --label attack --drop family id --out m\n"
    "  unseen fit train.csv --label kind --method devnet --set margin=3 --out m",
)
def fit(
    train: Train,
    /,
    *,
    label: Label,
    normal: Normal = "normal",
    drop: Drop = (),
    group: Annotated[
        str | None, Parameter(metavar="COL", help="column that says which kind of normal a row is")
    ] = None,
    kind: Annotated[
        tuple[str, ...],
        Parameter(metavar="COL=KIND ...", help="number, boolean, category or text, where inferred wrongly"),
    ] = (),
    method: Annotated[str, Parameter(metavar="NAME", choices=tuple(METHODS), help="what learns")] = STACK,
    settings: Set = (),
    seed: Annotated[int, Parameter(help="the same seed gives the same scores")] = 0,
    device: Annotated[Literal["cpu", "cuda", "auto"], Parameter(help="what to train on")] = "cpu",
    tail: Tail = False,
    folder: Annotated[Path, Parameter(name="--out", metavar="DIR", help="folder to make")],
) -> None:
    """Train a detector on normal rows and a few labelled anomalies, and save it."""
    new_path(folder)
    chosen = configured(method, settings)
    aside = [*drop, label, *([group] if group else [])]
    table = table_with(train, aside)
    facts = {"source": train.name, "label": label, "drop": list(drop), "group": group}
    facts |= label_counts(train, table[label], label, normal)
    kinds = pairs(kind, what="COL=KIND")
    detector = Detector(chosen, normal=normal, kinds=kinds or None, device=device, random_state=seed, tail=tail)
    start = time.perf_counter()
    with progressing(f"training on {len(table):,} rows"):
        detector.fit(without(table, aside), table[label], groups=table[group].to_pylist() if group else None)
    seconds = time.perf_counter() - start
    bundle = Bundle(detector, {**facts, "fit_seconds": round(seconds, 3)})
    bundle.save(folder)
    say(f"Trained in {seconds:.1f} s, saved in {folder}")
    out.print(render.summary(bundle))
    flags = {"label": [label], "normal": [normal], "drop": [*drop, *([group] if group else [])]}
    say_next(folder, train, flags | {"method": [method], "set": list(settings)})


@app.command(
    sort_key=1,
    help_epilogue="Example:\n"
    "  unseen score m new.parquet --out scores.csv --keep id --alpha 0.01\n"
    "  unseen score m new.parquet --out alarms.csv --keep id time --fdr 0.1",
)
def score(
    folder: Annotated[Path, Parameter(name="DIR", help="folder of a saved detector")],
    data: Annotated[Path, Parameter(help="CSV or Parquet file of any size")],
    /,
    *,
    target: Annotated[Path, Parameter(name="--out", metavar="FILE", help="CSV or Parquet file to write")],
    keep: Annotated[tuple[str, ...], Parameter(metavar="COL ...", help="columns of DATA to copy, such as keys")] = (),
    alpha: Annotated[
        float | None, Parameter(help=f"flag this share of normal rows; without --alpha and --fdr {ALPHA}")
    ] = None,
    fdr: Annotated[float | None, Parameter(help="flag rows so that this share of the alarms may be false")] = None,
    tail: Tail = False,
) -> None:
    """Write a score, a p-value and a verdict for each row of a file."""
    if alpha is not None and fdr is not None:
        raise DataError("expected --alpha or --fdr, found both: leave one out")
    alpha = ALPHA if alpha is None and fdr is None else alpha
    bundle = Bundle.load(folder)
    if tail and not bundle.detector.tail:
        bundle.detector.set_params(tail=True).assemble(bundle.detector.members_)
    with progressing("scoring rows", total=read.rows(data)) as bar:
        tally = score_file(bundle, data, target, keep=keep, alpha=alpha, fdr=fdr, progress=bar)
    told = "that share of normal rows has one, too" if fdr is None else f"up to {fdr:.3g} of these are false alarms"
    say(f"{tally.rows:,} rows scored, {tally.flagged:,} flagged for a p-value of at most {tally.cut:.3g}: {told}")
    say(f"written to {target}")


@app.command(sort_key=2, help_epilogue="Example:\n  unseen adapt m normals_of_new_machine.csv --out m2")
def adapt(
    folder: Annotated[Path, Parameter(name="DIR", help="folder of a saved detector")],
    normals: Annotated[Path, Parameter(help="CSV or Parquet file: a few normal rows of the new kind")],
    /,
    *,
    target: Annotated[Path, Parameter(name="--out", metavar="DIR2", help="folder to make")],
) -> None:
    """Move a detector to a new kind of normal, such as another machine, and save it. Nothing is trained anew."""
    new_path(target)
    old = Bundle.load(folder)
    table, label = table_with(normals, []), old.facts.get("label")
    known = label in table.column_names  # a file with labels may hold other rows than normal ones
    rows = without(table, [*old.facts.get("drop", []), *filter(None, [label, old.facts.get("group")])])
    moved = Bundle(
        old.detector.adapt(rows, table[label] if known else None),
        {**old.facts, "adapted": {"source": normals.name, "rows": len(table)}, "evaluation": []},
    )
    moved.save(target)
    say(f"Moved to what {normals} holds, saved in {target}")
    out.print(render.summary(moved))
    say(f"\nNext: score other rows of that kind.\n  unseen score {shlex.quote(str(target))} DATA --out scores.csv")


@app.command(
    sort_key=3,
    help_epilogue="Example:\n"
    "  unseen evaluate train.parquet --label attack --drop family --test test.parquet\n"
    "  unseen evaluate flows.csv --label kind --method devnet forest --json e.json",
)
def evaluate(
    train: Train,
    /,
    *,
    label: Label,
    normal: Normal = "normal",
    test: Annotated[
        Path | None, Parameter(metavar="FILE", help="rows to test on; without it half of TRAIN, the other half trains")
    ] = None,
    drop: Drop = (),
    protocol: Annotated[Protocol | None, Parameter(name="*")] = None,
    method: Annotated[
        tuple[str, ...], Parameter(metavar="NAME ...", choices=tuple(METHODS), help="what learns; several are compared")
    ] = (STACK,),
    settings: Set = (),
    report: Annotated[Path | None, Parameter(name="--json", metavar="FILE", help="JSON file to write as well")] = None,
) -> None:
    """Measure how well anomaly classes are found that are not in the labels, beside those that are."""
    if report is not None:
        new_path(report)
    if settings and len(method) > 1:
        raise DataError(f"--set changes one method, and --method names {len(method)}: evaluate them one by one")
    chosen = {name: configured(name, settings) for name in method}
    aside = [name for name in drop if name != label]
    table = without(table_with(train, [*drop, label]), aside)
    tested = None if test is None else without(table_with(test, [label]), aside)  # may lack what is dropped
    choices = protocol or Protocol()
    with progressing("fits done", total=choices.seeds * len(chosen)) as bar:
        reports = openset.evaluate(
            table, label=label, normal=normal, test=tested, protocol=choices, methods=chosen, progress=lambda: bar(1)
        )
    out.print(render.report(reports))
    if report is not None:
        save_json(report, reports[0] if len(reports) == 1 else reports)
        say(f"\nwritten to {report}")


@app.command(
    sort_key=4,
    help_epilogue="Example:\n"
    "  unseen audit m train.parquet --out suspects.csv\n"
    "  unseen audit m train.parquet --out suspects.csv --keep id time",
)
def audit(
    folder: Annotated[Path, Parameter(name="DIR", help="folder of a saved detector")],
    train: Annotated[Path, Parameter(help="the CSV or Parquet file that it was trained on")],
    /,
    *,
    target: Annotated[Path, Parameter(name="--out", metavar="FILE", help="CSV or Parquet file to write")],
    keep: Annotated[
        tuple[str, ...], Parameter(metavar="COL ...", help="columns of TRAIN to copy, such as keys; without it all")
    ] = (),
) -> None:
    """Write the training rows that were taken for normal, those that look least like it first."""
    bundle = Bundle.load(folder)
    table = table_with(train, keep)
    with Writer(target) as file:
        found = suspects(bundle, table, train, keep or tuple(table.column_names))
        file.write(found)
    doubted = int((found["weight"].to_numpy() < 1).sum())
    say(f"{len(found):,} rows were taken for normal; {doubted:,} have a weight below 1: look at the first ones")
    say(f"written to {target}")


@app.command(sort_key=5, help_epilogue="Example:\n  unseen info m")
def info(folder: Annotated[Path, Parameter(name="DIR", help="folder of a saved detector")], /) -> None:
    """Show what a saved detector was trained on, and how."""
    out.print(render.contents(Bundle.load(folder)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; 0, or 2 for what its user can put right, or 130 after Ctrl-C."""
    try:
        with noted():
            app(sys.argv[1:] if argv is None else argv)
    except CycloptsError:  # has been shown
        return 2
    except UnseenError as error:
        complain(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        complain("interrupted; nothing unfinished is left")
        return 130
    return 0


def say_next(folder: Path, train: Path, flags: dict[str, list[str]]) -> None:
    """The two command lines that follow a fit, without flags that say the usual."""
    usual = {"normal": ["normal"], "method": [STACK]}
    told = {flag: words for flag, words in flags.items() if words and words != usual.get(flag)}
    typed = [word for flag, words in told.items() for word in (f"--{flag}", *words)]
    say("\nNext: score other rows; find out how blind such a detector is to classes without labels.")
    say(f"  unseen score {shlex.quote(str(folder))} DATA --out scores.csv")
    say(f"  {shlex.join(['unseen', 'evaluate', str(train), *typed])}")


if __name__ == "__main__":
    sys.exit(main())
