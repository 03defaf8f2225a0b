"""Commands that hand a detector on to other programs: export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from unseen._version import __version__
from unseen.cli import flags
from unseen.cli.terminal import progressing, say
from unseen.errors import DataError
from unseen.io.paths import new_path

commands = App(version=__version__)


@commands.command(
    sort_key=21,
    help_epilogue="Example:\n"
    "  unseen export m --format onnx --out m.onnx\n"
    "  unseen export m --format onnx --data new.parquet --out m.onnx\n"
    "  unseen export m --format card --out card.md",
)
def export(
    folder: flags.Saved,
    /,
    *,
    form: Annotated[
        Literal["onnx", "mlflow", "card"],
        Parameter(
            name="--format",
            help=(
                "onnx: a graph from encoded rows to scores and p-values; mlflow: a folder that "
                "mlflow.pyfunc.load_model reads; card: the model card, Markdown"
            ),
        ),
    ],
    target: Annotated[
        Path, Parameter(name="--out", metavar="PATH", help="file, or folder, to make")
    ],
    data: Annotated[
        Path | None,
        Parameter(metavar="DATA", help="onnx: more rows or images on which to compare it"),
    ] = None,
    no_header: flags.NoHeader = False,
    cache: flags.Cache = None,
    trust: flags.Trust = (),
) -> None:
    """Write a saved detector in a format that other programs run, once it agrees with it."""
    from unseen.scoring.sources import data_again
    from unseen.storage.bundle import Bundle

    new_path(target)
    bundle, source = Bundle.load(folder, trust=trust), None
    if data is not None:
        source = data_again(bundle, data, no_header=no_header, cache=cache)
    say(f"written to {target}: {FORMATS[form](bundle, target, source)}")


def _to_onnx(bundle: Any, target: Path, source: Any) -> str:
    """Write an ONNX file; how far it agrees with the detector, in words."""
    from unseen.storage.onnx import export_onnx

    batches: Any = () if source is None else source.batches(bundle.detector.schema_)
    rows = (batch.rows for batch in batches if batch.rows is not None)
    with progressing("exporting", total=source and source.count()) as bar:
        return export_onnx(bundle, target, rows, progress=bar).in_words()


def _to_mlflow(bundle: Any, target: Path, source: Any) -> str:
    """Write a folder of MLflow's."""
    from unseen.report.card import model_card
    from unseen.storage.mlflow import save_model

    _check_none(source)
    save_model(bundle, target, card=model_card(bundle))
    return "mlflow.pyfunc.load_model reads it"


def _to_card(bundle: Any, target: Path, source: Any) -> str:
    """Write the model card."""
    from unseen.report.card import model_card
    from unseen.report.page import write_page

    _check_none(source)
    write_page(target, model_card(bundle))
    return "the model card"


def _check_none(source: Any) -> None:
    if source is not None:
        raise DataError("--data is for --format onnx, which is compared on it: leave it out")


FORMATS: dict[str, Callable[[Any, Path, Any], str]] = {
    "onnx": _to_onnx,
    "mlflow": _to_mlflow,
    "card": _to_card,
}
