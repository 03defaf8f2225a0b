"""Drawing a detector as an ONNX graph; this module needs the extra `onnx`."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import torch
from onnxscript import opset20 as basic
from onnxscript.onnx_opset import opset_ai_onnx_ml5 as trees
from torch import Tensor, nn

from unseen._version import __version__
from unseen.detector.detector import Detector
from unseen.errors import Unsupported
from unseen.methods.catalogue import to_json
from unseen.parts.exporting import Drawing, drawing, drawn, forest_operator
from unseen.parts.threads import filters_kept, one_thread
from unseen.storage.onnx_graph import JudgeGraph, encodings
from unseen.storage.onnx_inputs import made_up

OPSET = 20  # of the operators; trees are of version 5 of ai.onnx.ml
LARGEST = 2**31 - 2**20  # bytes of a file that holds its tensors itself
EXAMPLE = 5  # rows that a graph is drawn with; it takes any number
# what tells of the making of the graph, on this machine, and nothing of the graph
_NOISE = logging.getLogger("torch.onnx._internal.exporter._registration")


def onnx_model(detector: Detector, *, bundle: str) -> onnx.ModelProto:
    """The graph of a fitted detector, and in its metadata how its rows are encoded.

    `bundle` is what tells the saved detector from others. Unsupported for pieces that have no
    graph.
    """
    module = JudgeGraph(detector).eval()
    _check_size(module)
    inputs = made_up(detector, EXAMPLE, np.random.default_rng(0))
    program = _drawn_program(module, tuple(map(torch.from_numpy, inputs.values())))
    model: onnx.ModelProto = program.model_proto
    _forget_making(model)
    model.producer_name, model.producer_version = "unseen", __version__
    onnx.helper.set_model_props(model, _metadata(detector, bundle))
    onnx.checker.check_model(model, full_check=True)
    return model


def _metadata(detector: Detector, bundle: str) -> dict[str, str]:
    """What a user of the file alone must know, as texts by name."""
    plain = {
        "unseen.version": __version__,
        "unseen.bundle": bundle,
        "unseen.method": to_json(detector.chosen(), to_read=True),
        "unseen.encoding": {n: each.to_json() for n, each in encodings(detector).items()},
        "unseen.domains": list(detector.groups_),
    }
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in plain.items()
    }


def _check_size(module: nn.Module) -> None:
    """Unsupported for tensors that one file cannot hold."""
    each = {
        name: value.nbytes for name, value in (*module.named_parameters(), *module.named_buffers())
    }
    if (size := sum(each.values())) > LARGEST:
        name = max(each, key=each.__getitem__)
        raise Unsupported(
            f"an ONNX file holds at most {LARGEST:,} bytes, and the tensors of this detector take "
            f"{size:,}, most of them {name} ({each[name]:,}): fit with fewer rows to remember, or "
            "take another method"
        )


def _drawn_program(module: JudgeGraph, inputs: tuple[Tensor, ...]) -> Any:
    """The graph as torch's exporter makes it, without a word on the way."""
    n = torch.export.Dim("n")
    with torch.no_grad(), one_thread(), _silent(), drawn(module) as graph:
        try:
            program = torch.export.export(
                module,
                inputs,
                dynamic_shapes={"inputs": tuple({0: n} for _ in inputs)},
                strict=False,
            )
            return torch.onnx.export(
                program,
                (),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=module.names,
                output_names=("score", "pvalue"),
                custom_translation_table={forest_operator(): _forest_of(graph)},
            )
        except Exception as error:  # whatever torch finds no operator for
            raise Unsupported(
                f"{_piece(module, error)} has no ONNX graph: {_reason(error)}; take another "
                "method, or score with unseen itself"
            ) from error


def _forest_of(graph: Drawing) -> Any:
    """What writes the operator of trees: its attributes are those that the trees left."""

    def forest(x: Any, number: int) -> Any:
        known = graph.forests[number]
        lists = {name: value.tolist() for name, value in known.items() if value.dtype == np.int64}
        tensors = {
            "nodes_splits": known["nodes_splits"],
            "nodes_modes": np.zeros(len(known["nodes_splits"]), np.uint8),  # goes left where <=
            "leaf_weights": known["leaf_weights"],
        }
        found = trees.TreeEnsemble(
            x,
            aggregate_function=0,  # the mean over trees
            leaf_targetids=[0] * len(known["leaf_weights"]),
            n_targets=1,
            **lists,
            **{name: onnx.numpy_helper.from_array(value, name) for name, value in tensors.items()},
        )
        return basic.Squeeze(found, [1])

    return forest


def _forget_making(model: onnx.ModelProto) -> None:
    """Take out what the exporter wrote of source files and of itself."""
    model.doc_string = ""
    for function in (model.graph, *model.functions):
        function.doc_string = ""
        named = [*function.node, *function.value_info]
        if isinstance(function, onnx.GraphProto):
            named += [*function.input, *function.output]
        for one in (function, *named):
            one.doc_string = ""
            del one.metadata_props[:]


def _piece(module: nn.Module, error: Exception) -> str:
    """The innermost part of a detector in whose arithmetic an error arose, by its class."""
    own = {id(part): type(part).__name__ for part in module.modules()}
    found, cause = "this detector", error
    while cause is not None:
        at = cause.__traceback__
        while at is not None:
            found = own.get(id(at.tb_frame.f_locals.get("self")), found)
            at = at.tb_next
        cause = cause.__cause__ or cause.__context__
    return found


def _reason(error: BaseException) -> str:
    """The first line of what led to an error."""
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


@contextmanager
def _silent() -> Iterator[None]:
    """Inside, torch's exporter tells the calling thread nothing; what others log is heard."""

    def heard(record: logging.LogRecord) -> bool:
        return drawing() is None

    _NOISE.addFilter(heard)
    try:
        with filters_kept():
            warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)`")
            yield
    finally:
        _NOISE.removeFilter(heard)


def serialised(model: onnx.ModelProto) -> bytes:
    """A graph as the bytes of its file, the same for the same graph."""
    data: bytes = model.SerializeToString(deterministic=True)
    return data
