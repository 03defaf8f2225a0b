"""The command line. Results go to standard output, notes and progress to standard error."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

import unseen
from unseen.cli import flags
from unseen.cli.terminal import complain, err, noted, out, progressing, say, stoppable
from unseen.detector.detector import Detector
from unseen.detector.devices import device_of
from unseen.detector.settings import pairs
from unseen.errors import DataError, UnseenError
from unseen.evaluation import protocol as openset
from unseen.evaluation.protocol import Protocol
from unseen.io import read
from unseen.io.paths import new_path
from unseen.io.text import STANDARD
from unseen.io.write import Writer
from unseen.report import text as render
from unseen.report.inspection import score_folder
from unseen.scoring import files
from unseen.scoring import folder as folders
from unseen.scoring.folder import Seeing
from unseen.scoring.stream import score_file
from unseen.storage.bundle import Bundle
from unseen.wording import option, typed, words

ALPHA = 0.05
USUAL = {"normal": "normal", "device": "cpu"}  # flags that say nothing new

app = App(
    name="unseen",
    help="Detects anomalies, also of kinds that nobody has labelled yet, and says how blind it still is.",
    help_format="plaintext",
    version=unseen.__version__,
    default_parameter=Parameter(consume_multiple=True, negative=(), show_default=flags.shown),
    error_console=err,
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
    result_action="return_none",
)


@app.command(
    sort_key=0,
    help_epilogue="Example:\n"
    "  unseen fit train.parquet --label attack --drop family id --out m\n"
    "  unseen fit train.csv --label kind --method devnet --set margin=3 --out m\n"
    "  unseen fit tiles --normal good --cache seen --out m",
)
def fit(
    train: flags.Train,
    /,
    *,
    label: flags.Label = None,
    normal: flags.Normal = "normal",
    drop: flags.Drop = (),
    group: flags.Group = None,
    no_header: flags.NoHeader = False,
    kind: flags.Kind = (),
    method: flags.One = None,
    settings: flags.Settings = (),
    seed: Annotated[int, Parameter(help="the same seed gives the same scores")] = 0,
    device: flags.Device = "cpu",
    tail: flags.Tail = False,
    repeats: flags.Repeats = None,
    seeing: flags.Seen = None,
    cache: flags.Cache = None,
    folder: Annotated[Path, Parameter(name="--out", metavar="DIR", help="folder to make")],
) -> None:
    """Train a detector on normal rows or images and a few labelled anomalies, and save it."""
    new_path(folder)
    unusual, headless = (seeing or Seeing()).told() | {"cache": cache}, {"no-header": no_header or None}
    flags.check(train, rows={"label": label, "drop": drop, "group": group, "kind": kind, **headless}, images=unusual)
    chosen = flags.chosen(method or flags.usual(train), settings, train)
    kinds = pairs(kind, what=option("kinds", ...)) or None
    detector = Detector(
        chosen, normal=normal, kinds=kinds, device=device, random_state=seed, tail=tail, repeats=repeats
    )
    detector.torch_device()  # refuses one that is not there before minutes are spent
    if os.path.isdir(train):
        what, given = "images", folders.labelled_images(train, normal, (seeing or Seeing()).features(), cache)
    else:
        what, given = "rows", files.labelled_rows(train, label, normal, drop, group, header=not no_header)
    rows, y, groups, facts = given
    start = time.perf_counter()
    with progressing(f"training on {len(rows):,} {what}"):
        detector.fit(rows, y, groups=groups)
    seconds = time.perf_counter() - start
    bundle = Bundle(detector, {**facts, "fit_seconds": round(seconds, 3)})
    bundle.save(folder)
    say(f"Trained in {seconds:.1f} s, saved in {folder}")
    out.print(render.summary(bundle))
    # all that changes what is learned; a tail changes no figure of an evaluation, whose seeds are its own
    same: dict[str, object] = {"label": label, "normal": normal, "drop": drop, "group": group, "kind": kind}
    same |= {
        "header": not no_header,
        "method": method,
        "set": settings,
        "device": device,
        "repeats": repeats,
        **unusual,
    }
    say_next(folder, train, same, bundle, what)


@app.command(
    sort_key=1,
    help_epilogue="Example:\n"
    "  unseen score m new.parquet --out scores.csv --keep id --alpha 0.01\n"
    "  unseen score m new.parquet --out alarms.csv --keep id time --fdr 0.1\n"
    "  unseen score m photos --out scores.csv --overlays photos-flagged\n"
    "  zcat new.csv.gz | unseen score m - --out - | head",
)
def score(
    folder: flags.Saved,
    data: Annotated[
        Path, Parameter(help="CSV, JSON Lines or Parquet file of any size, or a folder of images; - is standard input")
    ],
    /,
    *,
    target: Annotated[
        Path, Parameter(name="--out", metavar="FILE", help="CSV or Parquet file to write; - is standard output")
    ],
    keep: Annotated[tuple[str, ...], Parameter(metavar="COL ...", help="columns of DATA to copy, such as keys")] = (),
    alpha: Annotated[
        float | None, Parameter(help=f"flag this share of normal rows; without --alpha and --fdr {ALPHA}")
    ] = None,
    fdr: Annotated[float | None, Parameter(help="flag rows so that this share of the alarms may be false")] = None,
    no_header: flags.NoHeader = False,
    tail: flags.Tail = False,
    overlays: flags.Overlays = None,
    cache: flags.Cache = None,
) -> None:
    """Write a score, a p-value and a verdict for each row of a file, or for each image of a folder."""
    if alpha is not None and fdr is not None:
        raise DataError("expected --alpha or --fdr, found both: leave one out")
    alpha = ALPHA if alpha is None and fdr is None else alpha
    flags.check(data, rows={"keep": keep, "no-header": no_header}, images={"overlays": overlays, "cache": cache})
    bundle = files.loaded(folder, data)
    if tail and not bundle.detector.tail:
        bundle.detector.set_params(tail=True).assemble(bundle.detector.members_)
    if os.path.isdir(data):
        found = score_folder(bundle, data, target, alpha=alpha, fdr=fdr, overlays=overlays, cache=cache)
        what, rows, flagged, cut = "images", len(found.names) - len(found.failed), len(found.flagged), found.cut
    else:
        with progressing("scoring rows", total=read.rows(data)) as bar:
            tally = score_file(
                bundle, data, target, keep=keep, alpha=alpha, fdr=fdr, header=not no_header, progress=bar
            )
        what, rows, flagged, cut = "rows", tally.rows, tally.flagged, tally.cut
    tell = aloud(target)
    finest = bundle.detector.conformal_of().finest
    tell(render.alarms(rows, flagged, what, cut=cut, alpha=alpha, fdr=fdr, finest=finest))
    tell(f"written to {named(target)}" + (f"; look at {overlays / 'report.html'}" if overlays else ""))


@app.command(
    sort_key=2,
    help_epilogue="Example:\n"
    "  unseen adapt m normals_of_new_machine.csv --out m2\n"
    "  unseen adapt m good_parts_of_new_product --out m2",
)
def adapt(
    folder: flags.Saved,
    normals: Annotated[Path, Parameter(help="file with a few normal rows of the new kind, or a folder of good images")],
    /,
    *,
    target: Annotated[Path, Parameter(name="--out", metavar="DIR2", help="folder to make")],
    no_header: flags.NoHeader = False,
    cache: flags.Cache = None,
) -> None:
    """Move a detector to a new kind of normal, such as another machine, and save it. Nothing is trained anew."""
    new_path(target)
    flags.check(normals, rows={"no-header": no_header}, images={"cache": cache})
    old = files.loaded(folder, normals)
    if os.path.isdir(normals):
        what, given = "images", folders.good_images(normals, old, cache)
    else:
        what, given = "rows", files.normal_rows(normals, old, header=not no_header)
    rows, y = given
    adapted = {"source": normals.absolute().name, "rows": len(rows)}
    moved = Bundle(old.detector.adapt(rows, y), {**old.facts, "adapted": adapted, "evaluation": []})
    moved.save(target)
    say(f"Moved to what {normals} holds, saved in {target}")
    out.print(render.summary(moved))
    say(f"\nNext: score other {what} of that kind.\n  unseen score {shlex.quote(str(target))} DATA --out scores.csv")


@app.command(
    sort_key=3,
    help_epilogue="Example:\n"
    "  unseen evaluate train.parquet --label attack --drop family --test test.parquet\n"
    "  unseen evaluate flows.csv --label kind --method devnet forest --json e.json\n"
    "  unseen evaluate tiles --normal good --cache seen",
)
def evaluate(
    train: flags.Train,
    /,
    *,
    label: flags.Label = None,
    normal: flags.Normal = "normal",
    test: Annotated[
        Path | None, Parameter(metavar="DATA", help="what to test on; without it half of TRAIN, the other half trains")
    ] = None,
    drop: flags.Drop = (),
    no_header: flags.NoHeader = False,
    group: flags.Group = None,
    kind: flags.Kind = (),
    protocol: Annotated[Protocol | None, Parameter(name="*")] = None,
    method: flags.Several = (),
    settings: flags.Settings = (),
    device: flags.Device = "cpu",
    repeats: flags.Repeats = None,
    seeing: flags.Seen = None,
    cache: flags.Cache = None,
    report: Annotated[Path | None, Parameter(name="--json", metavar="FILE", help="JSON file to write as well")] = None,
) -> None:
    """Measure how well anomaly classes are found that are not in the labels, beside those that are."""
    if report is not None:
        new_path(report)
    if settings and len(method) > 1:
        raise DataError(f"--set changes one method, and --method names {len(method)}: evaluate them one by one")
    unusual = (seeing or Seeing()).told() | {"cache": cache}
    headless = {"no-header": no_header or None}
    flags.check(train, rows={"label": label, "drop": drop, "group": group, "kind": kind, **headless}, images=unusual)
    kinds = pairs(kind, what=option("kinds", ...)) or None
    device_of(device)  # refuses one that is not there before minutes are spent
    chosen = {name: flags.chosen(name, settings, train) for name in method or (flags.usual(train),)}
    if os.path.isdir(train):
        table, tested = folders.train_and_test(train, test, normal, seeing or Seeing(), cache)
    else:
        table, tested = files.train_and_test(train, test, label, drop, group, header=not no_header)
    choices = protocol or Protocol()
    with progressing("fits done", total=choices.seeds * len(chosen)) as bar:
        reports = openset.evaluate(
            table,
            label=label,
            normal=normal,
            test=tested,
            protocol=choices,
            methods=chosen,
            kinds=kinds,
            group=group,
            device=device,
            repeats=repeats,
            progress=lambda: bar(1),
        )
    out.print(render.report(reports))
    if report is not None:
        files.save_json(report, reports[0] if len(reports) == 1 else reports)
        say(f"\nwritten to {report}")


@app.command(
    sort_key=4,
    help_epilogue="Example:\n"
    "  unseen audit m train.parquet --out suspects.csv\n"
    "  unseen audit m train.parquet --out suspects.csv --keep id time\n"
    "  unseen audit m tiles --out suspects.csv",
)
def audit(
    folder: flags.Saved,
    train: Annotated[Path, Parameter(help="the file, or the folder, that it was trained on")],
    /,
    *,
    target: Annotated[
        Path, Parameter(name="--out", metavar="FILE", help="CSV or Parquet file to write; - is standard output")
    ],
    keep: Annotated[
        tuple[str, ...], Parameter(metavar="COL ...", help="columns of TRAIN to copy, such as keys; without it all")
    ] = (),
    no_header: flags.NoHeader = False,
    cache: flags.Cache = None,
) -> None:
    """Write the training rows or images that were taken for normal, those that look least like it first."""
    flags.check(train, rows={"keep": keep, "no-header": no_header}, images={"cache": cache})
    bundle = files.loaded(folder, train)
    with Writer(target) as file:
        if os.path.isdir(train):
            what, found = "images", folders.odd_images(bundle, train, cache)
        else:
            what, found = "rows", files.suspects(bundle, train, keep, header=not no_header)
        file.write(found)
    doubted = int((found["weight"].to_numpy() < 1).sum())
    tell = aloud(target)
    look = f"{doubted:,} have a weight below 1: look at the first ones" if doubted else "none has a weight below 1"
    tell(f"{len(found):,} {what} were taken for normal; {look}")
    tell(f"written to {named(target)}")


@app.command(sort_key=5, help_epilogue="Example:\n  unseen info m")
def info(folder: flags.Saved, /) -> None:
    """Show what a saved detector was trained on, and how."""
    out.print(render.contents(Bundle.load(folder)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; 0, 2 for what its user can put right, or 128 + the number of a signal that stopped it."""
    try:
        with stoppable(), noted(), typed():
            app(paths(sys.argv[1:] if argv is None else argv))
    except CycloptsError:  # has been shown
        return 2
    except UnseenError as error:
        complain(f"error: {error}")
        return 2
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to be said at the end
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt as stop:
        with suppress(OSError):  # the terminal may be gone
            complain("interrupted; nothing unfinished is left")
        return 128 + (stop.args[0] if stop.args else signal.SIGINT)
    return 0


def paths(argv: Sequence[str]) -> list[str]:
    """The words of a command line, where - for a path is spelled as the parser takes it: not for a flag."""
    pairs = pairwise(["", *argv])
    return [f"./{word}" if word == STANDARD and (flag == "--out" or flag[:1] != "-") else word for flag, word in pairs]


def named(target: Path) -> str:
    return "standard output" if str(target) == STANDARD else str(target)


def aloud(target: Path) -> Callable[[str], None]:
    """Where words about a result go: to standard error if standard output is the result."""
    return complain if str(target) == STANDARD else say


def say_next(folder: Path, train: Path, same: dict[str, object], bundle: Bundle, what: str) -> None:
    """The command lines that follow a fit; where an evaluation would say nothing, what it needs."""
    bare = what == "rows" and same["label"] is None
    lacks = openset.lacking(bundle.facts["anomalies"], bundle.facts["unlabelled"], what)
    needs = ([f"a column that says what each row is ({option('label', ...)})"] if bare else []) + list(lacks.values())
    blind = "find out how blind such a detector is to classes without labels"
    say(f"\nNext: score other {what}{'' if needs else f'; {blind}'}.")
    drawn = "" if bundle.detector.members_[0].peaks is None else " --overlays pictures"
    say(f"  unseen score {shlex.quote(str(folder))} DATA --out scores.csv{drawn}")
    if needs:
        say(f"To {blind}, evaluate needs {', and '.join(needs)}:")
    unusual = {name: value for name, value in same.items() if value not in ((), USUAL.get(name))}
    typed = [word for name, value in unusual.items() for word in words(name, value)]
    other = bare or "labels" in lacks  # another file, or this one with more labels
    place = ("LABELLED" if what == "rows" else "FOLDER") if other else "TRAIN" if str(train) == STANDARD else str(train)
    blank = words("label", ...) if bare else []
    test = ["--test", "TEST"] if lacks and not other else []
    say(f"  {shlex.join(['unseen', 'evaluate', place, *blank, *typed, *test])}")


if __name__ == "__main__":
    sys.exit(main())
