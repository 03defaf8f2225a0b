"""Commands that ask people about rows and take the answers: audit, check, advise, learn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from unseen._version import __version__
from unseen.cli import flags
from unseen.cli.terminal import aloud, conclude, progressing, say
from unseen.io.paths import new_path

commands = App(version=__version__)


@commands.command(
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
    with Writer(target) as file, progressing("auditing"):
        table = suspects(bundle.detector, bundle.facts, source)
        file.write(table)
    conclude(target, text.suspects_line(table, source.noun))


@commands.command(
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
    from unseen.scoring import checks, sources

    bundle, source = sources.reopened(
        folder, train, trust=trust, keep=keep, no_header=no_header, cache=cache
    )
    detector = bundle.detector
    if answers is None:
        with progressing("checking"):
            count = checks.write_to_fill_in(detector, bundle.facts, source, n, target)
        aloud(target)(text.check_steps(count, folder, train, target, str(detector.normal)))
        return
    rows, normal = checks.answers_in(answers, detector)
    (after := bundle.checked(rows, normal)).save(target)
    say(text.checked_lines(bundle, after, len(rows), int((~normal).sum()), source.noun))
    say(f"Saved in {target}; {folder} is as it was")


@commands.command(
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
    aloud(target)(text.to_answer(bundle, folder, table, target))


@commands.command(
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
    from unseen.scoring.answers import with_answers
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
