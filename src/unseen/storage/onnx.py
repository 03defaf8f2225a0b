"""Export to ONNX: one file that turns encoded rows into scores and p-values without this package,
compared with it before it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from unseen.data.split import take
from unseen.errors import Unsupported
from unseen.io.atomic import Making
from unseen.io.paths import new_path
from unseen.storage.bundle import Bundle, tensors_digest
from unseen.storage.onnx_check import Agreement, Graph, at_once, compare_rows, generated
from unseen.storage.onnx_inputs import Inputs, onnx_inputs


def export_onnx(
    bundle: Bundle,
    target: str | Path,
    batches: Iterable[Any] = (),
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> Agreement:
    """Write a detector as an ONNX file, once it was found to judge rows as the library does.

    The graph takes what `onnx_inputs` makes of rows, any number of them, and gives `score` and
    `pvalue`, (n,) float64 each. It is compared on the rows that stay with the detector, on rows of
    no table, and on those of `batches`.

    Parameters
    ----------
    bundle : Bundle
        Of a fitted detector.
    target : str or Path
        The file to make.
    batches : iterable of data frames, arrays, Images or Maps
        More rows to compare on, like those of training.
    progress : callable
        Is told the number of rows of each batch that was compared.

    Returns
    -------
    Agreement
        How many rows were compared, and how far apart the two are.

    Raises
    ------
    NotFitted
        Before `fit`.
    Unsupported
        Where the extra `onnx` is not installed, and for pieces that have no graph: which, and why.
        That is told before any row is compared.
    DataError
        Where the graph and the library differ by more than rounding, with the row in which they
        differ most; where something has that name already; for rows, as in
        `Detector.anomaly_score`.
    """
    draw = _drawing()
    target, detector = new_path(target), bundle.detector
    detector.check_fitted()
    data = draw.serialised(draw.onnx_model(detector, bundle=tensors_digest(detector)))
    graph, found = graph_of(data), Agreement()
    for name, inputs in generated(detector):
        found = compare_rows(detector, graph, inputs, found, where=name)
    done, size = 0, at_once(detector)
    for batch in batches:
        rows = detector.schema_.admit(batch)
        for start in range(0, len(rows), size):
            part = take(rows, np.arange(start, min(start + size, len(rows))))
            inputs, first = onnx_inputs(detector, part), done + start + 1
            found = compare_rows(detector, graph, inputs, found, where="the data", first=first)
        done += len(rows)
        progress(len(rows))
    found.check()
    with Making() as making:
        making.file(target).write(data)
    return found


def graph_of(data: bytes) -> Graph:
    """What runs a graph, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def graph(inputs: Inputs) -> Any:
        return session.run(["score", "pvalue"], inputs)

    return graph


def _drawing() -> Any:
    """The module that draws graphs; Unsupported without the extra."""
    try:
        import_module("onnxruntime")
        return import_module("unseen.storage.onnx_draw")
    except ModuleNotFoundError as error:
        raise Unsupported(
            f"exporting to ONNX needs {error.name}: pip install 'unseen[onnx]'"
        ) from error
