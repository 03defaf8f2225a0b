"""Commands that judge rows: score, and report for people."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from unseen._version import __version__
from unseen.cli import flags
from unseen.cli.alarms import Alarms
from unseen.cli.spreading import Spreading
from unseen.cli.terminal import conclude, progressing, say
from unseen.errors import DataError, UnseenError
from unseen.io.paths import new_path

commands = App(version=__version__)


@Parameter(name="*")
@dataclass(frozen=True)
class Judging:
    """How rows are read, and what is told of them."""

    keep: Annotated[
        tuple[str, ...], Parameter(metavar="COL ...", help="columns of DATA to copy, such as keys")
    ] = ()
    kinds: flags.Kinds = False
    no_header: flags.NoHeader = False
    tail: flags.Tail = False
    reasons: flags.Reasons = 0
    trust: flags.Trust = ()

    def told(self) -> dict[str, Any]:
        """What is told of alarms."""
        return {"kinds": self.kinds, "reasons": self.reasons}


@commands.command(
    sort_key=1,
    help_epilogue="Example:\n"
    "  unseen score m new.parquet --out scores.csv --keep id --alpha 0.01\n"
    "  unseen score m new.parquet --out alarms.csv --keep id time --fdr 0.1\n"
    "  unseen score m new.csv --out scores.csv --keep id --reasons 3\n"
    "  unseen score m new.parquet --out scores.csv --keep id --kinds\n"
    "  unseen score m photos --out scores.csv --overlays photos-flagged\n"
    "  unseen score m rows/ s3://bucket/more/*.parquet --out scores --engine ray\n"
    "  zcat new.csv.gz | unseen score m - --out - | head",
)
def score(
    folder: flags.Saved,
    /,
    *data: Annotated[
        str,
        Parameter(
            help=(
                "CSV, JSON Lines or Parquet files of any size, folders of Parquet files, patterns "
                "such as 'days/*.parquet', addresses such as s3://bucket/days; or a folder of "
                "images; - is standard input"
            )
        ),
    ],
    target: Annotated[
        str,
        Parameter(
            name="--out",
            metavar="FILE",
            help="CSV or Parquet file to write; - is standard output; for --engine ray a folder",
        ),
    ],
    alarms: Alarms = Alarms(),  # noqa: B008
    judging: Judging = Judging(),
    overlays: Annotated[
        Path | None,
        Parameter(metavar="DIR", help="folder to make: a heat map of each image flagged"),
    ] = None,
    cache: flags.Cache = None,
    spreading: Spreading = Spreading(),  # noqa: B008
) -> None:
    """Write a score, a p-value and a verdict for each row of a file or image of a folder."""
    if spreading.wide:
        if overlays is not None or cache is not None:
            raise DataError("--overlays and --cache are for images: leave --engine ray out")
        _score_partitions(spreading, folder, data, target, alarms, judging)
    else:
        _score_here(folder, data, Path(target), alarms, judging, overlays, cache)


def _score_here(
    folder: Path,
    data: tuple[str, ...],
    target: Path,
    alarms: Alarms,
    judging: Judging,
    overlays: Path | None,
    cache: Path | None,
) -> None:
    """Score files, one after the other, or a folder of images in this process."""
    from unseen.report import text
    from unseen.scoring import sources, stream

    policy, trust = alarms.policy(), judging.trust
    how: dict[str, Any] = {"keep": judging.keep, "no_header": judging.no_header, "cache": cache}
    bundle, source = sources.reopened(folder, data, trust=trust, overlays=overlays, **how)
    detector = bundle.with_tail(judging.tail).detector
    source, sink = alarms.apart(source), _sink(source, detector, target, overlays, policy)
    told = judging.told() | {"beside": target}
    with (
        progressing(f"scoring {source.noun}", total=source.count()) as bar,
        closing(stream.score(source, detector, policy, progress=bar, **told)) as judged,
    ):
        sink.write(judged)
    conclude(target, text.alarms(sink, source.noun, policy, detector.conformal_.finest), overlays)


def _score_partitions(
    spreading: Spreading,
    folder: Path,
    data: tuple[str, ...],
    target: str,
    alarms: Alarms,
    judging: Judging,
) -> None:
    """Score files on workers, each to a file of its own in a folder."""
    from unseen.report import text
    from unseen.scoring.cluster import asked_of, score_partitions
    from unseen.storage.bundle import Bundle

    if str(Path(target)) == "-":
        raise DataError(
            "--engine ray writes a file for each of DATA: expected a folder to write to"
        )
    bundle = Bundle.load(folder, trust=judging.trust).with_tail(judging.tail)
    asked = asked_of(bundle, alarms.policy(), judging.keep, not judging.no_header, **judging.told())
    asked = replace(asked, rows=alarms.apart(asked.rows), tail=judging.tail)
    engine, trust = spreading.engine_of(), judging.trust
    with progressing("scoring rows") as bar:
        found = score_partitions(
            folder, data, target, asked, engine=engine, trust=trust, progress=bar
        )
    finest = bundle.detector.conformal_.finest
    conclude(Path(target), text.alarms(found, "rows", asked.policy, finest))


@commands.command(
    name="report",
    sort_key=20,
    help_epilogue="Example:\n"
    "  unseen report m --out report.html\n"
    "  unseen report m --data new.parquet --alpha 0.01 --out report.html\n"
    "  unseen report m --data photos --evaluation e.json --out report.html",
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
    evaluation: Annotated[
        Path | None, Parameter(metavar="FILE", help="what evaluate --json wrote, to show")
    ] = None,
    keep: Annotated[
        tuple[str, ...], Parameter(metavar="COL ...", help="columns of DATA that tell rows apart")
    ] = (),
    alarms: Alarms = Alarms(),  # noqa: B008
    cache: flags.Cache = None,
    trust: flags.Trust = (),
) -> None:
    """Write a page for people: what a detector learned, what it may miss, what it found."""
    from unseen.report import page
    from unseen.report.evaluation import read_evaluation
    from unseen.scoring.sources import reopened
    from unseen.storage.bundle import Bundle

    target, policy, found = new_path(target), alarms.policy(), None
    reports = None if evaluation is None else read_evaluation(evaluation)
    if data is None:
        bundle = Bundle.load(folder, trust=trust)
    else:
        bundle, source = reopened(folder, data, trust=trust, keep=keep, cache=cache)
        found = _looked_at(alarms.apart(source), bundle.detector, policy, data)
    with progressing("measuring what it may miss"):
        page.write_page(target, page.report_page(bundle, found, policy, reports))
    say(f"written to {target}")


def _looked_at(source: Any, detector: Any, policy: Any, data: Path) -> Any:
    """What a report shows of a source, which is read three times: for scores, for drift, for
    reasons or pictures.
    """
    from unseen.report.gathering import gathered
    from unseen.report.images import with_pictures
    from unseen.report.knowledge import shown_level
    from unseen.scoring import stream, told, watch

    if str(data) == "-":
        raise DataError(
            "a report reads DATA more than once, and standard input comes but once: "
            "save it to a file"
        )
    kinds = _tells_kinds(detector)
    with progressing(f"scoring {source.noun}", total=source.count()) as bar:
        judged = stream.score(source, detector, policy, kinds=kinds, progress=bar)
        found = gathered(judged, data.name)
    with progressing(f"comparing {source.noun}", total=source.count()) as bar:
        try:
            drift: Any = watch.watched(source, detector, progress=bar)
        except UnseenError as error:
            drift = str(error)
    with progressing("telling reasons"):
        found = replace(found, drift=drift)
        found = found.with_told(told.told_again(detector, source, found.places, found.threshold))
        return with_pictures(found, source, detector, shown_level(policy, found))


def _tells_kinds(detector: Any) -> bool:
    """Whether a detector can tell kinds apart: those of images and of earlier releases cannot."""
    try:
        return detector.known_kinds() is not None
    except UnseenError:
        return False


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
