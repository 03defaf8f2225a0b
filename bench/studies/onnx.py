"""Which methods become an ONNX graph, how near it is to the library, and rows a second of both.

python -m bench onnx --sets nsl_kdd                                  # all methods for rows
python -m bench onnx --method evidence-stack nearest --sets all
python -m bench onnx --method image-stack patches --sets aliens

Each method learns from 2,000 normal rows and 60 anomalies of a set, or up to 60 and 20 images, is
exported, and compared on 2,000 others, 500 of them anomalies, or 80 images. Rates are of encoded
rows, 1,024 at a time, or 16 images, on one thread.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from bench.data.products import product
from bench.data.sets import SETS
from bench.pages.text import show
from bench.runs.command import options
from bench.runs.machine import machine, now, versions
from unseen import Bundle, Detector, UnseenError
from unseen.methods import EVERY, METHODS
from unseen.storage.onnx import export_onnx
from unseen.storage.onnx_inputs import onnx_inputs

PRODUCTS = ("aliens", "boards", "magnetic_tile")
SEEDS, REPEATS = 0, 5
COLUMNS = ["exports", "rows", "largest", "p-values", "unsettled (by)", "of these jumps"]
COLUMNS += ["graph rows/s", "library rows/s"]


def main() -> None:
    parser = options(__doc__)
    add = parser.add_argument
    shapes = [*MADE_UP, *SETS, *PRODUCTS]
    add("--method", nargs="+", choices=list(EVERY), default=list(METHODS))
    add("--sets", nargs="+", choices=[*shapes, "all"], default=["all"])
    add("--cache", type=Path, default=Path(".cache/images"), help="folder of maps of features")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{machine()}; {versions()}, onnxruntime {onnxruntime.__version__}; {now()}\n")
    names = [*MADE_UP, *SETS] if "all" in chosen.sets else chosen.sets
    for name in names:
        train, labels, fresh = drawn(name, chosen.cache)
        rows = [method_line(method, train, labels, fresh) for method in chosen.method]
        size = f"{name}: {len(train):,} to learn from, {len(fresh):,} to compare on"
        show(size, ["method", *COLUMNS], rows)
        done = [row for row in rows if row[1] == "yes"]
        print(f"\n{len(done)} of {len(rows)} export\n", flush=True)


def method_line(method: str, train: Any, labels: Any, fresh: Any) -> list[str]:
    """One line of the table: a method, or why it has no graph."""
    detector = Detector(method, random_state=SEEDS, calibration=0.2).fit(train, labels)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "m.onnx"
        try:
            found = export_onnx(Bundle(detector), file, [fresh])
        except UnseenError as error:
            return [method, f"no: {error}", *[""] * (len(COLUMNS) - 1)]
        session = one_thread(file)
    inputs, size = onnx_inputs(detector, fresh), 16 if len(detector.schema_.shape) > 1 else 1024
    some = {name: value[:size] for name, value in inputs.items()}
    graph = rate(lambda: session.run(None, some), len(some["x"]))
    own = rate(lambda: by_library(detector, some), len(some["x"]))
    words = [f"{found.rows:,}", f"{found.largest:.1e}", str(found.pvalues)]
    hanging = f"{found.unsettled:,} ({found.unsettled_by:.0e})" if found.unsettled else "0"
    rates = [f"{graph:,.0f}", f"{own:,.0f}"]
    return [method, "yes", *words, hanging, f"{found.jumps:,}", *rates]


def one_thread(file: Path) -> Any:
    how = onnxruntime.SessionOptions()
    how.intra_op_num_threads = how.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(file), how, providers=["CPUExecutionProvider"])


def by_library(detector: Any, inputs: Any) -> Any:
    """The p-values of encoded rows, of a detector with one member."""
    (member,) = detector.members_
    amount = inputs.get("unprecedented", np.zeros(len(inputs["x"])))
    scores = member.encoded_scores(inputs["x"], torch.device("cpu"), amount)
    return detector.conformal_.pvalue(scores)


def rate(work: Callable[[], object], rows: int) -> float:
    """Rows a second, the best of some repeats."""
    work()
    marks = [time.perf_counter()]
    for _ in range(REPEATS):
        work()
        marks.append(time.perf_counter())
    return rows / float(np.diff(marks).min())


def drawn(name: str, cache: Path) -> tuple[Any, Any, Any]:
    """Rows to learn from, their labels, and others."""
    rng = np.random.default_rng(SEEDS)
    if name in PRODUCTS:
        rows, names = product(name, cache)
        normals, anomalies, learned, others = 60, 20, 60, 20
    elif name in MADE_UP:
        rows, names = MADE_UP[name](rng)
        normals, anomalies, learned, others = 2000, 60, 1500, 500
    else:
        table = SETS[name].tables()[0]
        names = np.array([str(each) for each in table[SETS[name].label].to_pylist()])
        rows = table.drop_columns([SETS[name].label])
        normals, anomalies, learned, others = 2000, 60, 1500, 500
    good = rng.permutation(np.flatnonzero(names == "normal"))
    other = rng.permutation(np.flatnonzero(names != "normal"))
    normals = min(normals, len(good) // 2)
    train = np.concatenate([good[:normals], other[:anomalies]])
    fresh = np.concatenate(
        [good[normals : normals + learned], other[anomalies : anomalies + others]]
    )
    train, fresh = np.sort(train), np.sort(fresh)
    if isinstance(rows, np.ndarray):
        return rows[train], names[train], rows[fresh]
    return rows.take(train), names[train], rows.take(fresh)


def _named(x: Any) -> tuple[Any, Any]:
    """Rows of which the last 600 are anomalies of three kinds."""
    names = np.full(len(x), "normal", dtype=object)
    names[-600:] = np.resize(["one", "two", "three"], 600)
    x[-600:, :2] += 4.0
    return x, names


def few(rng: np.random.Generator) -> tuple[Any, Any]:
    return _named(rng.normal(size=(5000, 4)))


def wide(rng: np.random.Generator) -> tuple[Any, Any]:
    mix = rng.normal(size=(30, 120))
    return _named(rng.standard_t(4, size=(5000, 30)) @ mix + 0.3 * rng.normal(size=(5000, 120)))


def binary(rng: np.random.Generator) -> tuple[Any, Any]:
    x = (rng.random(size=(5000, 30)) < rng.uniform(0.05, 0.6, 30)).astype(float)
    return _named(x)


def ties(rng: np.random.Generator) -> tuple[Any, Any]:
    return _named(rng.poisson(2.0, size=(5000, 6)).astype(float))


MADE_UP = {"few": few, "wide": wide, "binary": binary, "ties": ties}


if __name__ == "__main__":
    main()
