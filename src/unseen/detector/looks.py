"""Images as they stay with a detector, to be compared with new ones: how each looks at its hottest
cells, and cells of normal ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from unseen.detector import heat as heats
from unseen.detector.references import LOOK, References, check_kept
from unseen.errors import DataError
from unseen.parts.cells import cell_moments
from unseen.types import Encoder, ability
from unseen.vision.maps import Maps

Array = NDArray[np.float32]
IMAGE = "image"
HOTTEST, CELLS, BOXES = "hottest", "cells", "boxes"  # columns beside the name and the look
# cells whose mean is a look: 3, 10, or moments of all cells, also beside them, told defects of
# boards and painted ones less well apart
HOT = 5
NUMBERS = 1 << 21  # of all cells that stay, 4 MB in half precision
BLOCK = 64  # images that are looked at together
LEAST_SPREAD = 1e-3  # of the largest: a number that does not vary is no unit


class Placing(Encoder, Protocol):
    """An encoder of images, which knows where cells lie."""

    def boxes(self, rows: Maps, cells: tuple[int, ...]) -> NDArray[np.int64]: ...


class Seeing(heats.Member, Protocol):
    """A member of a detector, as far as it looks at images."""

    @property
    def encoder(self) -> Encoder: ...
    @property
    def scorer(self) -> object: ...


@dataclass(frozen=True)
class Looks:
    """How images look, as far as they are compared.

    Parameters
    ----------
    look : array
        Mean of the hottest cells, or, without a heat map, mean and standard deviation of each
        channel over the image, in half precision (n, s).
    heat : array or None
        Scores of cells, -infinity outside of the image (n, h, w); None where there is no map.
    cells : array or None
        Features of the cells, line by line, in half precision (n, h w, d).
    boxes : array or None
        Left, top, right and bottom of each cell in pixels of the image (n, h w, 4).
    """

    look: NDArray[np.float16]
    heat: Array | None = None
    cells: NDArray[np.float16] | None = None
    boxes: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.look)


def looks_of(members: Sequence[Seeing], rows: Maps, device: torch.device) -> Looks:
    """How images (n) look to a detector's members."""
    encoder = cast(Placing, members[0].encoder)
    x = torch.from_numpy(encoder.encode(rows))
    if any(ability(member.scorer, "map") is None for member in members):
        return Looks(cell_moments(x).half().numpy())
    heat = np.mean([member.heat(rows, device) for member in members], axis=0)
    boxes = encoder.boxes(rows, heat.shape[1:])
    flat = heat.reshape(len(heat), -1)
    flat[(boxes[..., :2] >= boxes[..., 2:]).any(axis=2)] = -np.inf  # what the frame reflects
    cells = F.adaptive_avg_pool2d(x, heat.shape[1:]).flatten(2).mT.half().numpy()
    first = np.argsort(-flat, axis=1, kind="stable")[:, :HOT]
    hottest = np.take_along_axis(cells, first[..., None], axis=1).astype(np.float32).mean(axis=1)
    return Looks(hottest.astype(np.float16), heat, cells, boxes)


def with_looks(
    known: References, members: Sequence[Seeing], rows: Maps, device: torch.device, seed: int
) -> References:
    """The images that stay, of those of training (n), with how they look: of normal ones also some
    cells each, drawn at random.
    """
    rng, normals = np.random.default_rng(seed), int((known.codes == 0).sum())
    each: dict[str, list[Any]] = {name: [] for name in (LOOK, HOTTEST, CELLS, BOXES)}
    for start in range(0, len(known.numbers), BLOCK):
        numbers, codes = (of[start : start + BLOCK] for of in (known.numbers, known.codes))
        found = looks_of(members, rows.take(numbers).plain(), device)
        each[LOOK] += list(found.look)
        for k, code in enumerate(codes):
            cells, boxes, hottest = np.zeros(0, np.float16), np.zeros(0, np.int32), None
            if found.heat is not None and found.cells is not None and found.boxes is not None:
                inside = np.flatnonzero(np.isfinite(found.heat[k].ravel()))
                hottest = found.boxes[k, found.heat[k].argmax()].astype(np.int32)
                most = NUMBERS // (max(normals, 1) * found.cells.shape[2]) if code == 0 else 0
                drawn = np.sort(rng.permutation(inside)[:most])
                cells = found.cells[k, drawn].ravel()
                boxes = found.boxes[k, drawn].ravel().astype(np.int32)
            each[HOTTEST].append(hottest)
            each[CELLS].append(cells)
            each[BOXES].append(boxes)
    types = _types(len(each[LOOK][0]))
    table = known.rows
    for name, values in each.items():
        table = table.append_column(name, pa.array(values, types[name]))
    return replace(known, rows=table)


def _types(s: int) -> dict[str, pa.DataType]:
    """The columns beside the name, of looks of so many numbers."""
    return {
        LOOK: pa.list_(pa.float16(), s),
        HOTTEST: pa.list_(pa.int32(), 4),
        CELLS: pa.list_(pa.float16()),
        BOXES: pa.list_(pa.int32()),
    }


class Kept:
    """Images of training that stay, and what new ones are compared with.

    Parameters
    ----------
    known : References
        With how the images look.
    names : sequence of str
        Those of the codes: normal, and each class.
    """

    def __init__(self, known: References, names: Sequence[str]) -> None:
        table, self.codes, self.names = known.rows, known.codes, names
        self.files: list[str] = table[IMAGE].to_pylist()
        self.hottest: list[list[int] | None] = table[HOTTEST].to_pylist()
        self.own = _numbers(table[LOOK]).reshape(len(table), -1).astype(np.float32)
        self.units = _units(self.own[self.codes == 0])
        self.look = self.in_units(self.own)
        counts = np.array([len(each) for each in table[BOXES]], dtype=np.int64) // 4
        self.owner = np.repeat(np.arange(len(table)), counts)  # the image of each cell
        self.boxes = _numbers(table[BOXES]).reshape(-1, 4)
        cells = _numbers(table[CELLS]).astype(np.float32)
        self.cells = cells.reshape(max(len(self.owner), 1), -1)  # a line of nothing without a map
        self.cell_units = _units(self.cells)
        self.cells = (self.cells - self.cell_units[0]) / self.cell_units[1]

    def in_units(self, look: NDArray[Any]) -> Array:
        """Looks (n, s) in standard deviations of the normal images from their mean."""
        return np.asarray((look.astype(np.float32) - self.units[0]) / self.units[1])


def compared_looks(
    members: Sequence[Seeing], known: References, rows: Maps, device: torch.device
) -> Array:
    """Looks of images (n) as they are compared with those that stay: (n, s)."""
    kept, starts = kept_images(known), range(0, len(rows), BLOCK)
    each = [rows.take(np.arange(k, min(k + BLOCK, len(rows)))) for k in starts]
    return np.concatenate([kept.in_units(looks_of(members, part, device).look) for part in each])


def kept_images(known: References, names: Sequence[str] = ()) -> Kept:
    """The images that stay, by `check_kept`."""
    check_kept(known)
    return Kept(known, names)


def check_looks(rows: pa.Table, encoder: Encoder) -> None:
    """DataError for images that stay with other columns than those of `with_looks`; names alone are
    those of an earlier release.
    """
    if rows.column_names == [IMAGE]:
        return
    d = encoder.shape[0]
    if rows.column_names != [IMAGE, LOOK, HOTTEST, CELLS, BOXES]:
        raise DataError(f"expected names and looks of images, found {rows.column_names}")
    size = getattr(rows[LOOK].type, "list_size", 0)
    right = all(rows[name].type == of for name, of in _types(size).items())
    if not right or size not in (d, 2 * d) or rows[LOOK].null_count:
        raise DataError(f"expected looks of {d} or {2 * d} numbers, found {rows[LOOK].type}")
    cells, boxes = (_numbers(rows[name]) for name in (CELLS, BOXES))
    counts = [[len(each) for each in rows[name]] for name in (CELLS, BOXES)]
    if [4 * count for count in counts[0]] != [d * count for count in counts[1]]:
        raise DataError(f"expected cells of {d} numbers with a box each")
    if len(cells) > NUMBERS or not (np.isfinite(cells).all() and np.isfinite(boxes).all()):
        raise DataError(f"expected at most {NUMBERS:,} finite numbers of cells")
    if not np.isfinite(_numbers(rows[LOOK])).all():
        raise DataError("expected finite looks of images")


def _numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    """The numbers of a column of lists, one behind the other."""
    values = column.combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks)
    return np.asarray(values.flatten().to_numpy(zero_copy_only=False))


def _units(rows: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of columns (m, s), none of them 0: (s,) each."""
    mean, spread = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    floor = LEAST_SPREAD * float(spread.max(initial=0.0)) or 1.0
    return mean.astype(np.float32), np.maximum(spread, floor).astype(np.float32)
