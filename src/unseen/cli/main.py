"""The command line: each command reads a source, does one thing, and shows what came of it.

Results go to standard output, notes and progress to standard error.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from unseen._version import __version__
from unseen.cli import flags
from unseen.cli.terminal import (
    aloud,
    complain,
    err,
    noted,
    out,
    progressing,
    say,
    stoppable,
    written_to,
)
from unseen.errors import DataError, UnseenError
from unseen.evaluation.choices import Protocol
from unseen.io.paths import new_path
from unseen.wording import typed

DRIFT = 3  # exit status for schedulers

app = App(
    name="unseen",
    help=(
        "Detects anomalies, also of kinds that nobody has labelled yet, and says how blind "
        "it still is."
    ),
    help_format="plaintext",
    version=__version__,
    default_parameter=Parameter(
        consume_multiple=True, negative=(), show_default=flags.typed_default
    ),
    error_console=err,
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
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
    given: flags.Given = flags.Given(),  # noqa: B008
    method: flags.One = None,
    learning: flags.Learning = flags.Learning(),  # noqa: B008
    seed: Annotated[int, Parameter(help="the same seed gives the same scores")] = 0,
    tail: flags.Tail = False,
    blocks: Annotated[
        int | None,
        Parameter(
            metavar="N",
            help="blocks where no column names them: N parts of the rows as they lie",
        ),
    ] = None,
    folder: Annotated[Path, Parameter(name="--out", metavar="DIR", help="folder to make")],
) -> None:
    """Train a detector on normal rows or images and a few labelled anomalies, and save it."""
    from unseen.report import inspection, text
    from unseen.storage.bundle import Bundle

    new_path(folder)
    with progressing("training") as bar:
        source = given.source(train, bar)
        detector = learning.detector(method, source, given, seed=seed, tail=tail)
        data, start = source.labelled(), time.perf_counter()
        detector.fit(data.rows, data.y, groups=data.groups, blocks=flags.either(data, blocks))
    seconds = time.perf_counter() - start
    bundle = Bundle(detector, {**data.facts, "fit_seconds": round(seconds, 3)})
    bundle.save(folder)
    say(f"Trained in {seconds:.1f} s, saved in {folder}")
    out.print(inspection.summary(bundle))
    typed = given.typed() | {"method": method} | learning.typed()
    say(text.next_steps(bundle, folder, train, typed))


@app.command(
    sort_key=1,
    help_epilogue="Example:\n"
    "  unseen score m new.parquet --out scores.csv --keep id --alpha 0.01\n"
    "  unseen score m new.parquet --out alarms.csv --keep id time --fdr 0.1\n"
    "  unseen score m new.csv --out scores.csv --keep id --reasons 3\n"
    "  unseen score m new.parquet --out scores.csv --keep id --kinds\n"
    "  unseen score m photos --out scores.csv --overlays photos-flagged\n"
    "  zcat new.csv.gz | unseen score m - --out - | head",
)
def score(
    folder: flags.Saved,
    data: Annotated[
        Path,
        Parameter(
            help=(
                "CSV, JSON Lines or Parquet file of any size, or a folder of images; - is "
                "standard input"
            )
        ),
    ],
    /,
    *,
    target: flags.NewFile,
    keep: Annotated[
        tuple[str, ...], Parameter(metavar="COL ...", help="columns of DATA to copy, such as keys")
    ] = (),
    alarms: flags.Alarms = flags.Alarms(),  # noqa: B008
    kinds: flags.Kinds = False,
    no_header: flags.NoHeader = False,
    tail: flags.Tail = False,
    reasons: flags.Reasons = 0,
    overlays: Annotated[
        Path | None,
        Parameter(
            metavar="DIR", help="folder to make: a heat map of each image flagged, and report.html"
        ),
    ] = None,
    cache: flags.Cache = None,
    trust: flags.Trust = (),
) -> None:
    """Write a score, a p-value and a verdict for each row of a file or image of a folder."""
    from unseen.report import text
    from unseen.scoring import stream
    from unseen.scoring.sources import reopened

    policy = alarms.policy()
    bundle, source = reopened(
        folder, data, trust=trust, keep=keep, no_header=no_header, cache=cache, overlays=overlays
    )
    detector = bundle.with_tail(tail).detector
    source, sink = alarms.apart(source), _sink(source, detector, target, overlays, policy)
    with progressing(f"scoring {source.noun}", total=source.count()) as bar:
        judged = stream.score(source, detector, policy, beside=target, kinds=kinds, reasons=reasons)
        sink.write(judged, bar)
    tell = aloud(target)
    tell(text.alarms(sink, source.noun, policy, detector.conformal_.finest))
    tell(written_to(target, overlays))


@app.command(
    sort_key=2,
    help_epilogue="Example:\n"
    "  unseen adapt m normals_of_new_machine.csv --out m2\n"
    "  unseen adapt m good_parts_of_new_product --out m2",
)
def adapt(
    folder: flags.Saved,
    normals: Annotated[
        Path,
        Parameter(help="file with a few normal rows of the new domain, or a folder of good images"),
    ],
    /,
    *,
    target: Annotated[Path, Parameter(name="--out", metavar="DIR2", help="folder to make")],
    no_header: flags.NoHeader = False,
    cache: flags.Cache = None,
    trust: flags.Trust = (),
) -> None:
    """Move a detector to another domain, such as a new machine, by a few of its normal rows."""
    from unseen.report.inspection import summary
    from unseen.report.text import command_line, trust_words
    from unseen.scoring.sources import reopened

    new_path(target)
    bundle, source = reopened(folder, normals, trust=trust, no_header=no_header, cache=cache)
    data = source.normals()
    moved = bundle.adapted(bundle.detector.adapt(data.rows, data.y), data)
    moved.save(target)
    moved.detector.check_reach(flags.Alarms().policy())  # of a score as it is by default
    say(f"Moved to what {normals} holds, saved in {target}")
    out.print(summary(moved))
    line = command_line("score", target, "DATA", "--out", "scores.csv", *trust_words(moved))
    say(f"\nNext: score other {source.noun} of that domain.\n  {line}")


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
    given: flags.Given = flags.Given(),  # noqa: B008
    test: Annotated[
        Path | None,
        Parameter(
            metavar="DATA", help="what to test on; without it half of TRAIN, the other half trains"
        ),
    ] = None,
    protocol: Annotated[Protocol, Parameter(name="*")] = Protocol(),  # noqa: B008
    method: flags.Several = (),
    learning: flags.Learning = flags.Learning(),  # noqa: B008
    target: Annotated[
        Path | None, Parameter(name="--json", metavar="FILE", help="JSON file to write as well")
    ] = None,
) -> None:
    """Measure how well anomaly classes without labels are found, beside those with labels."""
    from unseen.evaluation.protocol import run_protocol
    from unseen.report.evaluation import report
    from unseen.scoring.sinks import save_json

    if target is not None:
        new_path(target)
    more, source = learning.of(given), given.source(train, tests=test)
    methods = learning.methods(method, source)
    data = [source.to_evaluate(), *([given.source(test).to_evaluate(tests=True)] if test else [])]
    with progressing("fits done", total=protocol.seeds * max(len(methods), 1)) as bar:
        reports = run_protocol(*data, choices=protocol, methods=methods, progress=bar, **more)
    out.print(report(reports))
    if target is not None:
        save_json(target, reports[0] if len(reports) == 1 else reports)
        say(f"\nwritten to {target}")


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
    target: flags.NewFile,
    keep: Annotated[
        tuple[str, ...],
        Parameter(metavar="COL ...", help="columns of TRAIN to copy, such as keys; without it all"),
    ] = (),
    no_header: flags.NoHeader = False,
    cache: flags.Cache = None,
    trust: flags.Trust = (),
) -> None:
    """Write the training rows or images that were taken for normal, the least normal first."""
    from unseen.io.write import Writer
    from unseen.report import text
    from unseen.scoring.sources import reopened
    from unseen.scoring.suspects import suspects

    bundle, source = reopened(
        folder, train, trust=trust, keep=keep, no_header=no_header, cache=cache
    )
    with Writer(target) as file:
        table = suspects(bundle.detector, bundle.facts, source)
        file.write(table)
    tell = aloud(target)
    tell(text.suspects_line(table, source.noun))
    tell(written_to(target))


@app.command(sort_key=5, help_epilogue="Example:\n  unseen info m")
def info(folder: flags.Saved, /, *, trust: flags.Trust = ()) -> None:
    """Show what a saved detector was trained on, and how."""
    from unseen.report.inspection import contents
    from unseen.storage.bundle import Bundle

    out.print(contents(Bundle.load(folder, trust=trust)))


@app.command(
    name="report",
    sort_key=20,
    help_epilogue="Example:\n"
    "  unseen report m --out report.html\n"
    "  unseen report m --data new.parquet --alpha 0.01 --out report.html",
)
def report_for_people(
    folder: flags.Saved,
    /,
    *,
    target: Annotated[
        Path, Parameter(name="--out", metavar="FILE", help="HTML file to write, whole in itself")
    ],
    data: Annotated[
        Path | None, Parameter(metavar="DATA", help="rows or images to score and to report on")
    ] = None,
    keep: Annotated[
        tuple[str, ...], Parameter(metavar="COL ...", help="columns of DATA that tell rows apart")
    ] = (),
    alarms: flags.Alarms = flags.Alarms(),  # noqa: B008
    cache: flags.Cache = None,
    trust: flags.Trust = (),
) -> None:
    """Write a page for people: what a detector learned, what it may miss, what it found."""
    from unseen.report import page
    from unseen.scoring import sources, stream, told
    from unseen.storage.bundle import Bundle

    new_path(target)
    policy, found = alarms.policy(), None
    if data is None:
        bundle = Bundle.load(folder, trust=trust)
    else:
        bundle, source = sources.reopened(folder, data, trust=trust, keep=keep, cache=cache)
        with progressing(f"scoring {source.noun}", total=source.count()) as bar:
            found = page.gathered(stream.score(source, bundle.detector, policy), data.name, bar)
        found = found.with_told(told.told_again(bundle.detector, source, found.places))
    page.write_page(target, page.report_page(bundle, found, policy))
    say(f"written to {target}")


@app.command(
    sort_key=6,
    help_epilogue="Example:\n"
    "  unseen drift m today.parquet\n"
    "  unseen drift m today.csv --json drift.json || test $? -eq 3 && alert",
)
def drift(
    folder: flags.Saved,
    data: flags.Recent,
    /,
    *,
    level: Annotated[
        float, Parameter(help="the chance of an alarm without drift, at most")
    ] = flags.LEVEL,
    anomalies: Annotated[
        float,
        Parameter(help="the share of anomalies that may be in DATA; more rows far out are drift"),
    ] = flags.ODD,
    target: flags.Json = None,
    no_header: flags.NoHeader = False,
    cache: flags.Cache = None,
    trust: flags.Trust = (),
) -> int:
    """Say whether rows that look normal still come as in training, what moved, and since when.

    Exits with 3 if there is drift, with 0 if there is none.
    """
    from unseen.scoring.sinks import save_json
    from unseen.scoring.sources import reopened
    from unseen.scoring.watch import watched

    if target is not None:
        new_path(target)
    bundle, source = reopened(folder, data, trust=trust, no_header=no_header, cache=cache)
    how = {"level": level, "anomalies": anomalies}
    with progressing(f"comparing {source.noun}", total=source.count()) as bar:
        found = watched(source, bundle.detector, **how, progress=bar)
    say("\n".join(found.in_words()))
    if target is not None:
        save_json(target, found.to_json())
        say(f"\nwritten to {target}")
    return DRIFT if found.drifted else 0


@app.command(
    sort_key=7,
    help_epilogue="Example:\n  unseen recalibrate m last_week.parquet --anomalies 0.02 --out m2",
)
def recalibrate(
    folder: flags.Saved,
    data: flags.Recent,
    /,
    *,
    anomalies: Annotated[
        float, Parameter(help="the share of anomalies that may be among them, up to 0.2")
    ] = 0.0,
    target: Annotated[Path, Parameter(name="--out", metavar="DIR2", help="folder to make")],
    no_header: flags.NoHeader = False,
    cache: flags.Cache = None,
    trust: flags.Trust = (),
) -> None:
    """Renew the p-values of a detector on recent rows that are taken for normal."""
    from unseen.report.inspection import summary
    from unseen.report.text import command_line, trust_words
    from unseen.scoring.sources import reopened

    new_path(target)
    bundle, source = reopened(folder, data, trust=trust, no_header=no_header, cache=cache)
    rows = source.normals()
    new = bundle.recalibrated(
        bundle.detector.recalibrate(rows.rows, rows.y, anomalies=anomalies), rows
    )
    new.save(target)
    say(f"Recalibrated on what {data} holds, saved in {target}")
    out.print(summary(new))
    line = command_line("score", target, "DATA", "--out", "scores.csv", *trust_words(new))
    say(f"\nNext: score {source.noun} as they come now.\n  {line}")


@app.command(
    sort_key=15,
    help_epilogue="Example:\n"
    "  unseen blindspots m\n"
    "  unseen blindspots m --alpha 0.01 --out moves.csv",
)
def blindspots(
    folder: flags.Saved,
    /,
    *,
    alpha: Annotated[float, Parameter(help="the share of normal rows that is flagged")] = 0.05,
    target: Annotated[
        Path | None,
        Parameter(
            name="--out",
            metavar="FILE",
            help="CSV or Parquet file to write: all moves of normal rows, and what is caught",
        ),
    ] = None,
    trust: flags.Trust = (),
) -> None:
    """Tell how much it is expected to find of kinds that nobody has labelled, and which deviations
    it cannot see.
    """
    from unseen.io.write import Writer
    from unseen.report.blindspots import told
    from unseen.storage.bundle import Bundle

    with progressing("moving normal rows"):
        shown, moves = told(Bundle.load(folder, trust=trust).detector, alpha)
    if target is not None and moves is None:
        raise DataError("--out is for moves along columns, and images have none: leave it out")
    out.print(shown)
    if target is not None:
        with Writer(target) as file:
            file.write(moves)
        say(written_to(target))


@app.command(
    sort_key=16,
    help_epilogue="Example:\n"
    "  unseen advise m new.parquet --out rows.csv\n"
    "  unseen advise m new.parquet -n 20 --out rows.csv",
)
def advise(
    folder: flags.Saved,
    data: Annotated[
        Path, Parameter(help="file of rows that nobody has labelled, or a folder of images")
    ],
    /,
    *,
    number: Annotated[int, Parameter(name="-n", metavar="N", help="how many to name")] = 10,
    target: flags.NewFile,
    keep: Annotated[
        tuple[str, ...],
        Parameter(metavar="COL ...", help="columns to copy beside those it learns from"),
    ] = (),
    no_header: flags.NoHeader = False,
    cache: flags.Cache = None,
    trust: flags.Trust = (),
) -> None:
    """Write the rows to label next, with an empty column for the answers: half are likely
    anomalies, half tell most of kinds that nobody has labelled.
    """
    from unseen.io.write import Writer
    from unseen.report import text
    from unseen.scoring.labelling import to_label
    from unseen.scoring.sources import reopened

    bundle, source = reopened(
        folder, data, trust=trust, keep=keep, no_header=no_header, cache=cache
    )
    with Writer(target) as file, progressing(f"scoring {source.noun}"):
        table = to_label(bundle.detector, bundle.facts, source, number)
        file.write(table)
    tell = aloud(target)
    tell(text.to_answer(bundle, folder, table, target))


@app.command(
    name="learn",
    sort_key=17,
    help_epilogue="Example:\n"
    "  unseen learn m rows.csv --data train.parquet --out m2\n"
    "  unseen learn m rows.csv --data tiles --cache seen --out m2\n"
    "  unseen learn m rows.csv --out m2",
)
def learn_answers(
    folder: flags.Saved,
    labels: Annotated[
        Path, Parameter(help="the file that advise wrote, with answers in its column of labels")
    ],
    /,
    *,
    train: Annotated[
        Path | None,
        Parameter(
            name="--data",
            metavar="TRAIN",
            help="the file or folder it was trained on; without it up to 2,000 rows that stayed",
        ),
    ] = None,
    target: Annotated[Path, Parameter(name="--out", metavar="DIR2", help="folder to make")],
    no_header: flags.NoHeader = False,
    cache: flags.Cache = None,
    trust: flags.Trust = (),
) -> None:
    """Learn the answers to what advise asked, beside the training rows, and say what changed."""
    from unseen.report.blindspots import what_changed
    from unseen.scoring.labelling import with_answers
    from unseen.scoring.sources import data_again, table_again
    from unseen.storage.bundle import Bundle

    new_path(target)
    bundle = Bundle.load(folder, trust=trust)
    answers = table_again(bundle, labels, no_header=no_header)
    rows = None if train is None else data_again(bundle, train, no_header=no_header, cache=cache)
    with progressing("training"):
        found = with_answers(bundle.detector, bundle.facts, answers, rows)
    Bundle(found.detector, found.facts).save(target)
    say(f"saved in {target}\n{what_changed(found)}")


@app.command(
    sort_key=8,
    help_epilogue="Example:\n"
    "  unseen check m train.csv -n 20 --out look.csv\n"
    "  unseen check m train.csv --answers look.csv --out m2",
)
def check(
    folder: flags.Saved,
    train: Annotated[Path, Parameter(help="the file, or the folder, that it was trained on")],
    /,
    *,
    n: Annotated[int, Parameter(name=["-n"], metavar="N", help="rows to look at")] = 20,
    answers: Annotated[
        Path | None,
        Parameter(metavar="FILE", help="that file, its column `answer` filled in: normal, anomaly"),
    ] = None,
    target: Annotated[
        Path,
        Parameter(
            name="--out",
            metavar="FILE|DIR2",
            help="CSV or Parquet file to fill in; with --answers the folder to make",
        ),
    ],
    keep: Annotated[
        tuple[str, ...],
        Parameter(metavar="COL ...", help="columns of TRAIN to copy, such as keys; without it all"),
    ] = (),
    no_header: flags.NoHeader = False,
    cache: flags.Cache = None,
    trust: flags.Trust = (),
) -> None:
    """Name the few calibration rows to check where anomalies may be among them, and take the
    answers: a new detector with sharper p-values.
    """
    from unseen.report import text
    from unseen.scoring import checks
    from unseen.scoring.sources import reopened

    bundle, source = reopened(
        folder, train, trust=trust, keep=keep, no_header=no_header, cache=cache
    )
    if answers is None:
        count = checks.write_to_fill_in(bundle.detector, bundle.facts, source, n, target)
        aloud(target)(text.check_steps(count, folder, train, target, str(bundle.detector.normal)))
        return
    rows, normal = checks.answers_in(answers, bundle.detector)
    after = bundle.checked(rows, normal)
    after.save(target)
    say(text.checked_lines(bundle, after, len(rows), int((~normal).sum()), source.noun))
    say(f"Saved in {target}; {folder} is as it was")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; 0, 2 for what its user can put right, 3 for drift, or 128 + the number of
    a signal that stopped it.
    """
    try:
        with stoppable(), noted(), typed():
            return app(paths(sys.argv[1:] if argv is None else argv)) or 0
    except CycloptsError:  # has been shown
        return 2
    except UnseenError as error:
        complain(f"error: {error}")
        return 2
    except BrokenPipeError:  # `| head` has seen enough
        # nothing is left to be said at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt as stop:
        with suppress(OSError):  # the terminal may be gone
            complain("interrupted; nothing unfinished is left")
        return 128 + (stop.args[0] if stop.args else signal.SIGINT)


def _sink(source: Any, detector: Any, target: Path, overlays: Path | None, policy: Any) -> Any:
    """What becomes of judged rows of this source: a table; of images also boxes and pictures."""
    from unseen.report.images import ImageSink
    from unseen.scoring.sinks import TableSink

    if source.noun == "images":
        if overlays is not None and overlays.absolute() == target.absolute():
            raise DataError(f"{target}: --out and --overlays need two names")
        level = flags.ALPHA if policy.kind == "cost" else policy.level
        return ImageSink(source, detector, target, overlays, level)
    return TableSink(target)


def paths(argv: Sequence[str]) -> list[str]:
    """The words of a command line, where - for a path is spelled as the parser takes it: not for a
    flag.
    """
    pairs = pairwise(["", *argv])
    return [
        f"./{word}" if word == "-" and (flag in ("--out", "--test") or flag[:1] != "-") else word
        for flag, word in pairs
    ]


if __name__ == "__main__":
    sys.exit(main())
