"""What a saved detector learned: tensors read and taken one by one, and a scorer in their state,
tried before use.

Nothing here trusts the file: neither its sizes nor its names, types and values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from
from torch import Tensor, nn

from unseen.data.split import Rows
from unseen.errors import BundleError
from unseen.io.paths import opened
from unseen.parts.nets import seeded
from unseen.storage.manifest import AGAIN, compare, digest, parsed, readable
from unseen.types import Method, ability

MOST = 64 << 30  # bytes of a file of tensors
HEADER = 16 << 20  # bytes of its header: a hundred a tensor
LENGTH = 8  # bytes that say how long the header is
CELLS = 1 << 22  # numbers in the rows that a scorer is tried on
COLUMNS = 12  # that are tried one by one
FAR = 10.0  # where encoded values end


def read_tensors(file: Path, *, recorded: str) -> dict[str, Tensor]:
    """The tensors of a file, which has the recorded hash, and the size that its own header
    tells.
    """
    with readable(file), opened(file) as (stream, size):
        length = int.from_bytes(stream.read(LENGTH), "little")
        if not LENGTH + length <= size <= MOST or length > HEADER:
            raise BundleError(
                f"{file}: expected a header and tensors, found {size:,} bytes that say otherwise; "
                f"{AGAIN}"
            )
        declared = LENGTH + length + _tensor_bytes(file, stream.read(length))
        if declared != size:
            raise BundleError(
                f"{file}: its header tells of {declared:,} bytes, found {size:,}; {AGAIN}"
            )
        stream.seek(0)
        data = stream.read(size)
    compare(file, found=digest(data), recorded=recorded)
    try:
        return tensors_from(data)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise BundleError(
            f"{file}: expected tensors, but they cannot be read ({error}); {AGAIN}"
        ) from error


def _tensor_bytes(file: Path, header: bytes) -> int:
    """How many bytes of tensors a header tells of."""
    try:
        entries = parsed(header)
        return max(
            (
                int(entry["data_offsets"][1])
                for name, entry in entries.items()
                if name != "__metadata__"
            ),
            default=0,
        )
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise BundleError(
            f"{file}: expected the header of a file of tensors, found {error}; {AGAIN}"
        ) from error


class State:
    """Tensors by name, taken one by one, so that none is overlooked."""

    def __init__(self, tensors: Mapping[str, Tensor], prefix: str = "") -> None:
        self.left = dict(tensors)
        self.prefix = prefix

    def part(self, prefix: str) -> State:
        """Those below a prefix, which are taken away here."""
        names = [name for name in self.left if name.startswith(prefix)]
        return State(
            {name.removeprefix(prefix): self.left.pop(name) for name in names}, self.prefix + prefix
        )

    def sorted(self, name: str, *, count: int | None = None) -> NDArray[np.float64]:
        """Finite scores in rising order (m,)."""
        return self.scores(name, count=count, order=" in rising order")

    def scores(
        self, name: str, *, count: int | None = None, order: str = ""
    ) -> NDArray[np.float64]:
        """Finite scores (m,), in an order if one is named."""
        found = self.take(name, torch.float64)
        if found.ndim != 1 or not len(found) or count not in (None, len(found)):
            wanted = "of one dimension" if count is None else f"({count},)"
            raise BundleError(
                f"tensor {self.prefix + name!r}: expected scores {wanted}, found "
                f"{tuple(found.shape)}"
            )
        if not found.isfinite().all() or (order and (found.diff() < 0).any()):
            raise BundleError(f"tensor {self.prefix + name!r}: expected finite scores{order}")
        return found.numpy()

    def rows(self, name: str, *, count: int) -> Rows:
        """Row numbers, each once (count,)."""
        found = self.take(name, torch.int64)
        if found.shape != (count,) or found.min() < 0 or len(found.unique()) < count:
            raise BundleError(
                f"tensor {self.prefix + name!r}: expected {count} row numbers, each once"
            )
        return found.numpy()

    def codes(self, name: str, *, count: int, below: int) -> NDArray[np.int64]:
        """Codes from 0 (count,), below a number of names."""
        found = self.take(name, torch.int64)
        if found.shape != (count,) or found.min() < 0 or found.max() >= below:
            raise BundleError(
                f"tensor {self.prefix + name!r}: expected {count} codes from 0 to below {below}"
            )
        return found.numpy()

    def hidden(self, classes: int) -> NDArray[np.float64]:
        """Split, class code, p-value and finest p-value of anomalies that were held out (k, 4)."""
        found = self.take("hidden", torch.float64)
        if found.ndim != 2 or found.shape[1] != 4 or not len(found):
            raise BundleError(
                f"tensor {self.prefix + 'hidden'!r}: expected four numbers for each anomaly that "
                f"was held out (k, 4), found {tuple(found.shape)}"
            )
        turn, code, pvalue, finest = found.unbind(dim=1)
        whole = (turn % 1 == 0).all() and (code % 1 == 0).all()  # NaN and infinity are no numbers
        known = turn.min() >= 0 and code.min() >= 1 and code.max() <= classes
        shares = finest.min() > 0 and (finest <= pvalue).all() and pvalue.max() <= 1
        if not (whole and known and shares):
            raise BundleError(
                f"tensor {self.prefix + 'hidden'!r}: expected whole numbers of splits, classes 1 "
                f"to {classes} and p-values above 0, up to 1"
            )
        return found.numpy()

    def take(self, name: str, kind: torch.dtype) -> Tensor:
        if name not in self.left:
            raise BundleError(f"tensor {self.prefix + name!r}: missing")
        found = self.left.pop(name)
        if found.dtype != kind:
            raise BundleError(
                f"tensor {self.prefix + name!r}: expected {kind}, found {found.dtype}"
            )
        return found

    def check_empty(self) -> None:
        """BundleError for tensors that nothing took."""
        if self.left:
            names = ", ".join(repr(self.prefix + name) for name in sorted(self.left)[:3])
            raise BundleError(f"unknown tensors {names}, {len(self.left):,} in all")


def scorer_of(method: Method, shape: tuple[int, ...], state: Mapping[str, Tensor]) -> nn.Module:
    """The method's scorer in this state, checked and tried."""
    with torch.device("meta"):  # takes no memory, whatever the fields ask for
        planned = method.build(shape).state_dict()
    _check_plan(planned, state)
    scorer = seeded(lambda: method.build(shape), 0)
    scorer.load_state_dict(dict(state))
    scorer.eval()
    _check_values(scorer)
    _check_scores(scorer, shape)
    return scorer


def _check_plan(planned: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """BundleError unless the tensors are those that the method's fields ask for: by name, type and
    total size.
    """
    for what, names in (
        ("unknown", state.keys() - planned.keys()),
        ("missing", planned.keys() - state.keys()),
    ):
        if names:
            raise BundleError(f"tensor {min(names)!r}: {what}, as the method's fields have it")
    for name, tensor in planned.items():
        if tensor.dtype != state[name].dtype:
            raise BundleError(
                f"tensor {name!r}: expected {tensor.dtype}, found {state[name].dtype}"
            )
    expected, stored = (
        sum(tensor.numel() for tensor in each.values()) for each in (planned, state)
    )
    if expected > stored:
        raise BundleError(
            f"the method's fields ask for at least {expected:,} numbers, the file holds {stored:,}"
        )


def _check_values(scorer: nn.Module) -> None:
    """BundleError for NaN and infinity, but where a module's `may_be_nan` or `may_be_infinite`
    names the tensor; for tensors that `in_order` names and that do not rise along their last
    dimension.
    """
    for path, module in scorer.named_modules():
        own = {
            **dict(module.named_buffers(recurse=False)),
            **dict(module.named_parameters(recurse=False)),
        }
        for name, tensor in own.items():
            where = f"tensor {f'{path}.{name}'.lstrip('.')!r}"
            if tensor.isnan().any() and name not in getattr(module, "may_be_nan", ()):
                raise BundleError(f"{where}: holds NaN")
            if tensor.isinf().any() and name not in getattr(module, "may_be_infinite", ()):
                raise BundleError(f"{where}: holds infinity")
            if name in getattr(module, "in_order", ()) and (tensor.diff(dim=-1) < 0).any():
                raise BundleError(f"{where}: expected numbers in rising order")


def _check_scores(scorer: nn.Module, shape: tuple[int, ...]) -> None:
    """BundleError unless a few rows get finite scores, and one of them a finite map where there is
    one; modules with `check_loaded` see what they will be given.
    """

    def check(module: Any, given: tuple[Tensor, ...]) -> None:
        module.check_loaded(given[0])

    rows = _trial(shape)
    hooks = [
        m.register_forward_pre_hook(check) for m in scorer.modules() if hasattr(m, "check_loaded")
    ]
    with torch.no_grad():
        found = scorer(rows)
        mapped = ability(scorer, "map")
        cells = None if mapped is None else mapped(rows[:1])
    for hook in hooks:
        hook.remove()
    if found.shape != (len(rows),) or not found.is_floating_point():
        raise BundleError(
            f"{len(rows)} rows were given scores of shape {tuple(found.shape)} and type "
            f"{found.dtype}"
        )
    if not found.isfinite().all():
        raise BundleError(f"scores are not finite: {found.tolist()}")
    if cells is not None and (cells.ndim != 3 or len(cells) != 1 or not cells.isfinite().all()):
        raise BundleError(
            "one image was given a map that is none: expected finite scores of cells (1, h, w), "
            f"found shape {tuple(cells.shape)}"
        )


def _trial(shape: tuple[int, ...]) -> Tensor:
    """Rows to try a scorer on: usual, far on either side, and in a table single columns far: (r,
    *shape).
    """
    d = math.prod(shape)
    rows = torch.stack([torch.zeros(d), torch.full((d,), FAR), torch.full((d,), -FAR)])
    places = torch.linspace(0, d - 1, min(COLUMNS, d)).long().unique()
    single = torch.zeros(len(places), d).scatter(1, places[:, None], FAR)
    return torch.cat([rows, single] if len(shape) == 1 else [rows])[: max(1, CELLS // d)].view(
        -1, *shape
    )
