"""A saved detector as a model of MLflow's: a folder that `mlflow.pyfunc.load_model` reads, with the
detector in it as `Bundle.save` writes it; nothing is pickled.

Which code loads a model is what MLflow's folder says: load none that others could have written to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from unseen._version import __version__
from unseen.data.split import take
from unseen.errors import Unsupported
from unseen.io.atomic import Making, scratch_folder
from unseen.methods.catalogue import to_json
from unseen.methods.foreign import paths_in
from unseen.storage.bundle import Bundle

CARD, DETECTOR = "card.md", "detector"  # in the folder: the model card, the saved detector
EXAMPLES = 5  # training rows in the folder that show what to send
ALPHA = 0.05  # where a caller of `predict` names no share of normal rows that may be flagged


def save_model(bundle: Bundle, path: str | Path, *, card: str) -> None:
    """Write a detector as a folder in MLflow's format, whole or not there.

    `mlflow.pyfunc.load_model(path).predict(frame, params={"alpha": 0.01, "reasons": 3})` gives a
    data frame: score, p-value and verdict of each row, and up to 3 reasons of each alarm.

    Parameters
    ----------
    bundle : Bundle
        A detector of rows.
    path : str or Path
        The folder to make.
    card : str
        The model card, in Markdown, which goes into the folder.

    Raises
    ------
    DataError
        Where something has that name already, or it cannot be written.
    Unsupported
        For images, for methods of other packages, and without the extra `mlflow`.
    """
    flavour = _flavour(bundle)
    with scratch_folder(Path(path)) as scratch, Making() as making:
        new, made = making.folder(path), scratch / "model"
        flavour.save_model(made, **_as_model(bundle, card, scratch / "unseen"))
        for file in sorted(each for each in made.rglob("*") if each.is_file()):
            new.write(str(file.relative_to(made)), file.read_bytes())


def log_model(bundle: Bundle, name: str, *, card: str, beside: str | Path = ".") -> Any:
    """Log a detector as a model of the MLflow run that is open, or of a new one.

    Parameters
    ----------
    bundle, card
        As in `save_model`.
    name : str
        What MLflow calls the model.
    beside : str or Path
        A folder on a disk with room for a copy of the detector, of which nothing is left.

    Returns
    -------
    ModelInfo
        What MLflow says of it: `model_uri` is what to load.

    Raises
    ------
    Unsupported
        As in `save_model`.
    """
    flavour = _flavour(bundle)
    with scratch_folder(Path(beside) / DETECTOR) as scratch:
        return flavour.log_model(name=name, **_as_model(bundle, card, scratch / "unseen"))


class Served:
    """What `mlflow.pyfunc.load_model` gives, inside.

    Parameters
    ----------
    bundle : Bundle
        The detector.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def predict(self, frame: Any, params: dict[str, Any] | None = None) -> Any:
        """A data frame of score, pvalue and verdict of each row (n), and of reasons where they are
        asked for: a text for each alarm, none for other rows.
        """
        asked = {"alpha": ALPHA, "reasons": 0} | (params or {})
        found = self.bundle.score(frame, alpha=asked["alpha"])
        if asked["reasons"]:
            found = found.append_column("reasons", self._reasons(frame, found, asked))
        return found.to_pandas()

    def _reasons(self, frame: Any, found: pa.Table, asked: dict[str, Any]) -> pa.Array:
        texts: list[str | None] = [None] * len(found)
        alarms = np.flatnonzero(found["verdict"].to_numpy() == "anomaly")
        if len(alarms):
            rows, top = self.bundle.detector.schema_.admit(frame), int(asked["reasons"])
            each = self.bundle.detector.explain(take(rows, alarms), top, alpha=asked["alpha"])
            for place, reasons in zip(alarms.tolist(), each, strict=True):
                texts[place] = str(reasons)
        return pa.array(texts, pa.string())


def _load_pyfunc(path: str) -> Served:
    """What MLflow calls with the folder that `_as_model` made."""
    return Served(Bundle.load(Path(path) / DETECTOR))


def _flavour(bundle: Bundle) -> Any:
    """MLflow's models of Python functions; Unsupported where it, or the detector, is none of
    these.
    """
    if bundle.detector.schema_.noun != "rows":
        raise Unsupported("MLflow hands over tables, and this detector judges images: serve it")
    if paths := paths_in(to_json(bundle.detector.chosen())):
        raise Unsupported(
            f"this detector has a method of another package, {' and '.join(paths)}, and whoever "
            "loads it from MLflow could not say that it is trusted: load it with Bundle.load"
        )
    try:
        import mlflow.pyfunc
    except ImportError as error:
        raise Unsupported('models of MLflow need it: pip install "unseen[mlflow]"') from error
    return mlflow.pyfunc


def _as_model(bundle: Bundle, card: str, folder: Path) -> dict[str, Any]:
    """The arguments by which MLflow makes a model of the folder, which this fills."""
    folder.mkdir()
    bundle.save(folder / DETECTOR)
    (folder / CARD).write_bytes(card.encode("utf-8", "backslashreplace"))
    release = str(torch.__version__).partition("+")[0]
    return {
        "loader_module": __name__,
        "data_path": str(folder),
        "signature": _signature(bundle),
        "input_example": _rows_to_send(bundle),
        "pip_requirements": [f"unseen[mlflow]=={__version__}", f"torch=={release}"],
        "metadata": {"sha256": bundle.digest},
    }


def _signature(bundle: Bundle) -> Any:
    """What goes in and comes out. Of columns the names alone: MLflow refuses whole numbers for
    others, and the detector checks values itself, in sentences.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType

    columns = bundle.detector.schema_.to_json()["columns"]
    found = {"score": "double", "pvalue": "double", "verdict": "string"}
    reasons = ColSpec("string", "reasons", required=False)
    return ModelSignature(
        inputs=Schema([ColSpec(AnyType(), each["name"]) for each in columns]),
        outputs=Schema([*(ColSpec(kind, name) for name, kind in found.items()), reasons]),
        params=ParamSchema([ParamSpec("alpha", "double", ALPHA), ParamSpec("reasons", "long", 0)]),
    )


def _rows_to_send(bundle: Bundle) -> Any:
    """Normal rows of training as a data frame; None where none stayed."""
    kept = getattr(bundle.detector, "references_", None)
    return None if kept is None else kept.normals.slice(0, EXAMPLES).to_pandas()
