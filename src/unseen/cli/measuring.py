"""Commands that tell how much a detector finds and what it is: evaluate, blindspots, info."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from unseen._version import __version__
from unseen.cli import flags
from unseen.cli.alarms import Alarms
from unseen.cli.learning import Given, Learning, Several
from unseen.cli.spreading import Spreading
from unseen.cli.terminal import out, progressing, save_results, say, written_to
from unseen.errors import DataError
from unseen.evaluation.choices import Protocol
from unseen.io.paths import new_path

commands = App(version=__version__)


@commands.command(
    sort_key=3,
    help_epilogue="Example:\n"
    "  unseen evaluate train.parquet --label attack --drop family --test test.parquet\n"
    "  unseen evaluate flows.csv --label kind --method devnet forest --json e.json\n"
    "  unseen evaluate tiles --normal good --cache seen",
)
def evaluate(
    *train: flags.Train,
    given: Given = Given(),  # noqa: B008
    test: Annotated[
        Path | None,
        Parameter(
            metavar="DATA", help="what to test on; without it half of TRAIN, the other half trains"
        ),
    ] = None,
    protocol: Annotated[Protocol, Parameter(name="*")] = Protocol(),  # noqa: B008
    method: Several = (),
    learning: Learning = Learning(),  # noqa: B008
    target: flags.Json = None,
    spreading: Spreading = Spreading(),  # noqa: B008
) -> None:
    """Measure how well anomaly classes without labels are found, beside those with labels."""
    from unseen.evaluation.protocol import run_protocol
    from unseen.report.evaluation import report

    if target is not None:
        new_path(target)
    more = learning.of(given)
    with progressing("reading") as bar:
        source = given.source(train, bar, tests=test)
        methods, data = learning.methods(method, source), [source.to_evaluate()]
        data += [given.source(test, bar).to_evaluate(tests=True)] if test else []
    fits, more["methods"] = protocol.seeds * max(len(methods), 1), methods
    with spreading.started() as spread, progressing("fits done", total=fits) as bar:
        reports = run_protocol(*data, choices=protocol, progress=bar, spread=spread, **more)
    out.print(report(reports))
    save_results(target, {"methods": reports})


@commands.command(
    sort_key=15,
    help_epilogue="Example:\n"
    "  unseen blindspots m\n"
    "  unseen blindspots m --alpha 0.01 --out moves.csv\n"
    "  unseen blindspots m --fdr 0.1 --share 0.02",
)
def blindspots(
    folder: flags.Saved,
    /,
    *,
    alarms: Alarms = Alarms(),  # noqa: B008
    share: Annotated[
        float, Parameter(help="rows of kinds that nobody has labelled; --fdr and --cost hang on it")
    ] = 0.01,
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

    if alarms.by_group:
        raise DataError("blind spots are told over all domains together: leave --by-group out")
    with progressing("moving normal rows"):
        shown, moves = told(Bundle.load(folder, trust=trust).detector, alarms.policy(), share)
    if target is not None and moves is None:
        raise DataError("--out is for moves along columns, and images have none: leave it out")
    out.print(shown)
    if target is not None:
        with Writer(target) as file:
            file.write(moves)
        say(written_to(target))


@commands.command(sort_key=5, help_epilogue="Example:\n  unseen info m")
def info(folder: flags.Saved, /, *, trust: flags.Trust = ()) -> None:
    """Show what a saved detector was trained on, and how."""
    from unseen.report.inspection import contents
    from unseen.storage.bundle import Bundle

    out.print(contents(Bundle.load(folder, trust=trust)))
