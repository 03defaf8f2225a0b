"""Commands that make a detector and move one: fit, adapt."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from unseen._version import __version__
from unseen.cli import flags
from unseen.cli.alarms import Alarms
from unseen.cli.learning import Given, Learning, One, either
from unseen.cli.spreading import Spreading
from unseen.cli.terminal import out, progressing, say
from unseen.io.paths import new_path

commands = App(version=__version__)


@commands.command(
    sort_key=0,
    help_epilogue="Example:\n"
    "  unseen fit train.parquet --label attack --drop family id --out m\n"
    "  unseen fit train.csv --label kind --method devnet --set margin=3 --out m\n"
    "  unseen fit days --label attack --drop family id --rows 200000 --out m\n"
    "  unseen fit tiles --normal good --cache seen --out m",
)
def fit(
    *train: flags.Train,
    given: Given = Given(),  # noqa: B008
    method: One = None,
    learning: Learning = Learning(),  # noqa: B008
    seed: Annotated[int, Parameter(help="the same seed gives the same scores")] = 0,
    tail: flags.Tail = False,
    blocks: Annotated[
        int | None,
        Parameter(
            metavar="N",
            help="blocks where no column names them: N parts of the rows as they lie",
        ),
    ] = None,
    spreading: Spreading = Spreading(),  # noqa: B008
    folder: Annotated[Path, Parameter(name="--out", metavar="DIR", help="folder to make")],
) -> None:
    """Train a detector on normal rows or images and a few labelled anomalies, and save it."""
    from unseen.report import inspection, text
    from unseen.storage.bundle import Bundle

    new_path(folder)
    with progressing("reading") as bar, spreading.started() as spread:
        source = given.source(train, bar, seed=seed, spread=spread if spreading.wide else None)
        detector = learning.detector(method, source, given, seed=seed, tail=tail)
        data, start = source.labelled(), time.perf_counter()
    with progressing("training"):
        detector.fit(data.rows, data.y, groups=data.groups, blocks=either(data, blocks))
    bundle = Bundle(detector, {**data.facts, "fit_seconds": round(time.perf_counter() - start, 3)})
    bundle.save(folder)
    say(f"Trained in {bundle.facts['fit_seconds']:.1f} s, saved in {folder}")
    out.print(inspection.summary(bundle))
    typed = given.typed() | {"method": method} | learning.typed()
    say(text.next_steps(bundle, folder, train, typed))


@commands.command(
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
    with progressing("adapting"):
        data = source.normals()
        moved = bundle.adapted(bundle.detector.adapt(data.rows, data.y), data)
    moved.save(target)
    moved.detector.check_reach(Alarms().policy())  # of a score as it is by default
    say(f"Moved to what {normals} holds, saved in {target}")
    out.print(summary(moved))
    line = command_line("score", target, "DATA", "--out", "scores.csv", *trust_words(moved))
    say(f"\nNext: score other {source.noun} of that domain.\n  {line}")
