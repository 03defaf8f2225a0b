"""Commands for a detector in service: drift, recalibrate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from unseen._version import __version__
from unseen.cli import flags
from unseen.cli.terminal import out, progressing, save_results, say
from unseen.io.paths import new_path

commands = App(version=__version__)


@commands.command(
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
) -> bool:
    """Say whether rows that look normal still come as in training, what moved, and since when.

    Exits with 3 if there is drift, with 0 if there is none.
    """
    from unseen.scoring.sources import reopened
    from unseen.scoring.watch import watched

    if target is not None:
        new_path(target)
    bundle, source = reopened(folder, data, trust=trust, no_header=no_header, cache=cache)
    how = {"level": level, "anomalies": anomalies}
    with progressing(f"comparing {source.noun}", total=source.count()) as bar:
        found = watched(source, bundle.detector, **how, progress=bar)
    say("\n".join(found.in_words()))
    save_results(target, found.to_json())
    return found.drifted


@commands.command(
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
    with progressing("recalibrating"):
        rows = source.normals()
        detector = bundle.detector.recalibrate(rows.rows, rows.y, anomalies=anomalies)
    new = bundle.recalibrated(detector, rows)
    new.save(target)
    say(f"Recalibrated on what {data} holds, saved in {target}")
    out.print(summary(new))
    line = command_line("score", target, "DATA", "--out", "scores.csv", *trust_words(new))
    say(f"\nNext: score {source.noun} as they come now.\n  {line}")
