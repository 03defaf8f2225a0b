"""Export forms: what parts compute while a graph is drawn of them for another program.

Such a program knows neither loops that depend on data nor work in blocks. A part that has any asks
`drawing()`, in the calling thread alone, and then computes the same by operators that a graph has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Drawing:
    """A graph while it is drawn: the values that modules had before, and the trees in it.

    Parameters
    ----------
    module : Module
        What is drawn. While it is, its tensors have shapes alone.
    """

    def __init__(self, module: nn.Module) -> None:
        self.forests: list[dict[str, Any]] = []
        self._known = {
            (id(part), name): value.detach().cpu().numpy()
            for part in module.modules()
            for name, value in [*part.named_buffers(recurse=False)]
        }

    def value(self, part: nn.Module, name: str) -> NDArray[Any]:
        """What a buffer of a part holds."""
        return self._known[id(part), name]

    def forest(self, x: Tensor, forest: dict[str, Any]) -> Tensor:
        """One operator in the place of trees: (n, d) -> (n,). `forest`: its attributes, as
        TreeEnsemble of ONNX names them.
        """
        self.forests.append(forest)
        found: Tensor = forest_operator()(x, len(self.forests) - 1)
        return found


_DRAWING: ContextVar[Drawing | None] = ContextVar("drawing", default=None)


def drawing() -> Drawing | None:
    """The graph that the calling thread draws; None where it computes."""
    return _DRAWING.get()


@contextmanager
def drawn(module: nn.Module) -> Iterator[Drawing]:
    """Inside, parts of this module compute by their export forms."""
    graph = Drawing(module)
    before = _DRAWING.set(graph)
    try:
        yield graph
    finally:
        _DRAWING.reset(before)


@cache
def forest_operator() -> Any:
    """The operator that stands for trees in a graph until it is written; it computes nothing."""

    @torch.library.custom_op("unseen::forest", mutates_args=())
    def forest(x: Tensor, number: int) -> Tensor:
        raise NotImplementedError("stands in a graph alone")

    @forest.register_fake
    def _(x: Tensor, number: int) -> Tensor:
        return x.new_empty(x.shape[0])

    return torch.ops.unseen.forest.default


def counted_below(ordered: Tensor, values: Tensor) -> Tensor:
    """How many of each row of sorted values are smaller, by halving in a fixed number of steps: (e,
    m), (e, n) -> (e, n). What `torch.searchsorted` gives.

    >>> counted_below(torch.tensor([[1.0, 2.0, 2.0]]), torch.tensor([[0.0, 2.0, 9.0]]))
    tensor([[0, 1, 3]])
    """
    m, found = ordered.shape[1], torch.zeros_like(values, dtype=torch.int64)
    for power in reversed(range(m.bit_length())):
        further = found + (1 << power)
        near = ordered.gather(1, further.clamp_max(m) - 1)
        found = torch.where((further <= m) & (near < values), further, found)
    return found


def solved(matrix: Tensor, right: Tensor) -> Tensor:
    """Solutions of small symmetric positive definite systems, written out: (n, k, k), (n, k) -> (n,
    k).

    >>> solved(torch.tensor([[[4.0, 2.0], [2.0, 3.0]]]), torch.tensor([[2.0, 5.0]]))
    tensor([[-0.5000,  2.0000]])
    """
    k = matrix.shape[1]
    rows = [torch.cat([matrix[:, i], right[:, i, None]], dim=1) for i in range(k)]
    for i in range(k):
        rows[i] = rows[i] / rows[i][:, i, None]
        rows = [row if j == i else row - row[:, i, None] * rows[i] for j, row in enumerate(rows)]
    return torch.stack([row[:, k] for row in rows], dim=1)


def forest_attributes(
    feature: NDArray[np.int64],
    threshold: NDArray[np.float32],
    left: NDArray[np.int64],
    value: NDArray[np.float32],
    roots: NDArray[np.int64],
) -> dict[str, Any]:
    """Flat node tables, as in `Trees`, as TreeEnsemble of ONNX has them: inner nodes and leaves
    apart, each numbered anew; a tree that is a leaf alone gets a node with the leaf on both sides.
    """
    here = np.arange(len(left))
    alone = roots[left[roots] == roots]
    inner = np.flatnonzero((left != here) | np.isin(here, alone))
    leaves = np.flatnonzero(left == here)
    number = np.zeros(len(left), dtype=np.int64)
    leaf = left == here
    number[inner] = np.arange(len(inner))
    roots = number[roots]
    number[leaves] = np.arange(len(leaves))
    single = np.isin(inner, alone)
    low = np.where(single, inner, left[inner])
    high = np.where(single, inner, left[inner] + 1)
    return {
        "nodes_featureids": feature[inner],
        "nodes_splits": np.where(single, np.float32(0), threshold[inner]),
        "nodes_truenodeids": number[low],
        "nodes_trueleafs": leaf[low].astype(np.int64),
        "nodes_falsenodeids": number[high],
        "nodes_falseleafs": leaf[high].astype(np.int64),
        "leaf_weights": value[leaves],
        "tree_roots": roots,
    }
