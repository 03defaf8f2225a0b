"""Saved detectors of every method, changed in places and hashed anew, as by somebody who wants to
do harm.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import shutil
import struct
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from safetensors.numpy import load, save

from fuzz.laws import check_sound, quick
from fuzz.trial import Limits, Wrong
from unseen import Bundle, Detector, UnseenError
from unseen.cli.terminal import Printer
from unseen.errors import BundleError
from unseen.methods import METHODS
from unseen.report import inspection
from unseen.storage.manifest import JSON, TENSORS, canonical

LIMITS = Limits(seconds=20, megabytes=1024)
NAMES = sorted(METHODS)
HOME = tempfile.TemporaryDirectory(prefix="unseen-fuzz-made-")
Rng = np.random.Generator
Tensors = dict[str, Any]

FACTS = {
    "source": "t.csv",
    "label": "kind",
    "drop": ["id"],
    "group": None,
    "fit_seconds": 0.1,
    "rows": 90,
    "normals": 84,
    "unlabelled": 0,
    "anomalies": {"leak": 6},
}
NUMBERS = (0, -1, 1, 2**31, 2**63, 2**70, 10**400, 0.5, -0.0, 1e308, 1e-320)
TEXTS = ("", "normal", "\x1b[31mred", "a\x00b", "../../etc", "x" * 100_000, "\ud800", "é\u202e")
VALUES = (
    *NUMBERS,
    *TEXTS,
    None,
    True,
    False,
    [],
    {},
    [[]],
    {"name": "nearest"},
    [None] * 3,
    {"": ""},
)


@functools.cache
def made(name: str) -> Path:
    """A saved detector of the method, quickly trained, on a table with columns of every kind."""
    rng = np.random.default_rng(0)
    table, odd = rows(rng, 90), np.arange(90) >= 84
    folder = Path(HOME.name) / name
    labels = np.where(odd, "leak", "normal")
    Bundle(
        Detector(quick(METHODS[name]), calibration=0.2, random_state=0).fit(table, labels),
        {"rows": 90},
    ).save(folder)
    return folder


def rows(rng: Rng, n: int) -> pa.Table:
    return pa.table(
        {
            "a": rng.normal(size=n),
            "b": np.exp(3 * rng.normal(size=n)),
            "c": rng.choice(["x", "y", "z"], n),
            "flag": rng.random(n) < 0.4,
            "gaps": pa.array([None if x < -1 else x for x in rng.normal(size=n)]),
        }
    )


def ready(seed: int) -> None:
    """The detector that the case starts from."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made(NAMES[seed % len(NAMES)])
    ready.name = NAMES[seed % len(NAMES)]  # type: ignore[attr-defined]


def case(rng: Rng, folder: Path) -> None:
    """A changed copy is refused, as BundleError, or it scores and can be shown."""
    warnings.simplefilter("ignore")
    name = ready.name  # type: ignore[attr-defined]
    copy = shutil.copytree(made(name), folder / "copy")
    change = CHANGES[int(rng.integers(len(CHANGES)))]
    try:
        told = change(copy, rng)
        opened(copy, rng)
    except BaseException as error:
        error.add_note(f"{name}, {change.__name__}: {told if 'told' in locals() else '?'}")
        raise


def opened(copy: Path, rng: Rng) -> None:
    try:
        bundle = Bundle.load(copy)
    except BundleError:
        return
    shown(bundle)
    try:
        scores = bundle.detector.anomaly_score(rows(rng, 8))
        pvalues = bundle.detector.pvalue(rows(rng, 8))
    except UnseenError:
        return
    check_sound(scores, pvalues)


def shown(bundle: Bundle) -> None:
    """What `unseen info` prints of it has no control characters."""
    page = Printer(file=io.StringIO(), width=100, markup=False, emoji=False, highlight=False)
    page.print(inspection.contents(bundle))
    text = page.file.getvalue()  # type: ignore[attr-defined]
    if signs := sorted({repr(sign) for sign in text if not sign.isprintable() and sign != "\n"}):
        raise Wrong(f"info prints control characters: {signs}")


# Changes: each tells what it did.


def field(copy: Path, rng: Rng) -> str:
    """A value somewhere in bundle.json becomes another."""
    plain = json.loads((copy / JSON).read_text())
    place, key = spot(plain, rng)
    before, place[key] = place[key], VALUES[int(rng.integers(len(VALUES)))]
    rehash(copy, plain)
    return f"{key!r}: {brief(before)} -> {brief(place[key])}"


def method_field(copy: Path, rng: Rng) -> str:
    """A field of the method, or of one inside it, becomes another value of its type, or not."""
    plain = json.loads((copy / JSON).read_text())
    place: Any = plain["method"]
    while inside := [
        v for v in place.values() if isinstance(v, dict) or (isinstance(v, list) and v)
    ]:
        if rng.random() < 0.3:
            break
        place = inside[int(rng.integers(len(inside)))]
        place = place[0] if isinstance(place, list) else place
        if not isinstance(place, dict):
            place = plain["method"]
            break
    key = sorted(place)[int(rng.integers(len(place)))]
    before, place[key] = (
        place[key],
        (*NUMBERS, *VALUES)[int(rng.integers(len(NUMBERS) + len(VALUES)))],
    )
    rehash(copy, plain)
    return f"method {key!r}: {brief(before)} -> {brief(place[key])}"


def missing(copy: Path, rng: Rng) -> str:
    """A field is gone, or there is one more."""
    plain = json.loads((copy / JSON).read_text())
    place, key = spot(plain, rng)
    if rng.random() < 0.5 and isinstance(place, dict):
        place["surplus"] = VALUES[int(rng.integers(len(VALUES)))]
        key = "surplus"
    else:
        del place[key]
    rehash(copy, plain)
    return f"{key!r} added or gone"


def nested(copy: Path, rng: Rng) -> str:
    """A value is nested very deep, or the method in itself."""
    plain = json.loads((copy / JSON).read_text())
    depth = int(rng.choice([10, 100, 900, 100_000]))
    if rng.random() < 0.5:
        for _ in range(min(depth, 900)):
            plain["method"] = {
                "name": str(rng.choice(["ensemble", "comet", "maml", "ahl", "kka"])),
                "base": plain["method"],
            }
        rehash(copy, plain)
        return f"method {depth} deep"
    text = (
        (copy / JSON)
        .read_text()
        .replace('"facts": {', '"facts": {"deep": ' + "[" * depth + "]" * depth + ",", 1)
    )
    (copy / JSON).write_text(text)
    return f"facts {depth} deep"


def tensor(copy: Path, rng: Rng) -> str:
    """A tensor has other values, another shape or type, another name, or is gone, or there is one
    more.
    """
    tensors = load((copy / TENSORS).read_bytes())
    name = sorted(tensors)[int(rng.integers(len(tensors)))]
    how = TENSOR_CHANGES[int(rng.integers(len(TENSOR_CHANGES)))]
    how(tensors, name, rng)
    (copy / TENSORS).write_bytes(
        save({key: np.ascontiguousarray(value) for key, value in tensors.items()})
    )
    rehash(copy)
    return f"{how.__name__} of {name}"


def value_of_tensor(tensors: Tensors, name: str, rng: Rng) -> None:
    values = tensors[name].copy().reshape(-1)
    if len(values):
        at = rng.integers(len(values), size=int(rng.choice([1, len(values)])))
        odd = [np.nan, np.inf, -np.inf, 1e38, -1.0, 2**31, 0.0, -(2**40)]
        with np.errstate(all="ignore"):
            values[at] = np.array(rng.choice(odd)).astype(values.dtype)
    tensors[name] = values.reshape(tensors[name].shape)


def shape_of_tensor(tensors: Tensors, name: str, rng: Rng) -> None:
    values = tensors[name]
    shapes = [
        values[..., None],
        values.reshape(-1),
        values[:0] if values.ndim else values[None],
        np.stack([values] * 2),
    ]
    tensors[name] = shapes[int(rng.integers(len(shapes)))]


def type_of_tensor(tensors: Tensors, name: str, rng: Rng) -> None:
    kind = str(rng.choice(["float64", "float16", "int64", "int8", "bool", "uint8", "float32"]))
    with np.errstate(all="ignore"):
        tensors[name] = np.nan_to_num(tensors[name]).astype(kind)


def name_of_tensor(tensors: Tensors, name: str, rng: Rng) -> None:
    other = str(
        rng.choice(
            [
                "0.scorer.surplus",
                "surplus",
                "1.calibration",
                "0.peaks",
                "0.held_out",
                "00.calibration",
                "",
            ]
        )
    )
    tensors[other] = tensors[name] if rng.random() < 0.5 else tensors.pop(name)


def order_of_tensor(tensors: Tensors, name: str, rng: Rng) -> None:
    tensors[name] = rng.permutation(tensors[name]) if tensors[name].ndim else tensors[name] * 0


def lack_of_tensor(tensors: Tensors, name: str, rng: Rng) -> None:
    del tensors[name]


def flipped(copy: Path, rng: Rng) -> str:
    """Bits of a file flip, hashed anew, or not."""
    file = copy / str(rng.choice([JSON, TENSORS]))
    data = bytearray(file.read_bytes())
    for at in rng.integers(len(data), size=int(rng.choice([1, 3, 30]))):
        data[at] ^= 1 << int(rng.integers(8))
    file.write_bytes(data)
    if file.name == TENSORS and rng.random() < 0.8:
        rehash(copy)
    elif file.name == JSON and rng.random() < 0.8:
        try:
            rehash(copy, json.loads(data))
        except (ValueError, TypeError, AttributeError):
            return "bits of the JSON, unreadable"
    return f"bits of {file.name}"


def header(copy: Path, rng: Rng) -> str:
    """The length that the tensors' file tells of its header, or an offset in it, becomes
    another.
    """
    data = (copy / TENSORS).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    if rng.random() < 0.3:
        new = int(
            rng.choice(np.array([0, 1, length - 1, length + 1, 2**31, 2**63 - 1], dtype=np.int64))
        )
        (copy / TENSORS).write_bytes(struct.pack("<Q", new) + data[8:])
    else:
        entries = json.loads(data[8 : 8 + length])
        name = sorted(entries)[int(rng.integers(len(entries)))]
        entries[name]["data_offsets"] = [int(i) for i in rng.choice([0, 4, 8, 2**20, 2**62], 2)]
        if rng.random() < 0.5:
            entries[name]["shape"] = [
                int(i) for i in rng.choice([0, 1, 2**31, 2**62], int(rng.integers(0, 40)))
            ]
        text = json.dumps(entries).encode()
        (copy / TENSORS).write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    rehash(copy)
    return "header of the tensors"


def cut(copy: Path, rng: Rng) -> str:
    """A file ends early, is empty, or goes on."""
    file = copy / str(rng.choice([JSON, TENSORS]))
    data = file.read_bytes()
    end = int(rng.choice([0, 1, 7, 8, 9, len(data) // 2, len(data) - 1]))
    file.write_bytes(data[:end] if rng.random() < 0.7 else data + data[:end])
    if file.name == TENSORS:
        rehash(copy)
    return f"{file.name} cut at {end}"


def other_file(copy: Path, rng: Rng) -> str:
    """A file is a folder, a pipe, a device, a link to one, or is not there."""
    file = copy / str(rng.choice([JSON, TENSORS]))
    file.unlink()
    kind = str(rng.choice(["folder", "pipe", "zero", "loop", "missing", "socket folder"]))
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "zero":
        file.symlink_to("/dev/zero")
    elif kind == "loop":
        file.symlink_to(file)
    return f"{file.name} is a {kind}"


CHANGES: tuple[Callable[[Path, Rng], str], ...] = (
    *(field, field, field, method_field, method_field, missing, nested, tensor, tensor, tensor),
    *(flipped, flipped, header, cut, other_file),
)
TENSOR_CHANGES: tuple[Callable[[Tensors, str, Rng], None], ...] = (
    *(
        value_of_tensor,
        value_of_tensor,
        shape_of_tensor,
        type_of_tensor,
        name_of_tensor,
        order_of_tensor,
    ),
    lack_of_tensor,
)


def spot(plain: Any, rng: Rng) -> tuple[Any, Any]:
    """A place somewhere in nested values: what holds it, and its key there."""
    place, key = plain, "facts"
    while isinstance(place, dict | list) and place:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        keys = [each for each in keys if each not in ("sha256", "format", "tensors")] or keys
        holder, key = place, keys[int(rng.integers(len(keys)))]
        place = holder[key]
        if rng.random() < 0.1:
            break
    return holder, key


def rehash(copy: Path, plain: Any = None) -> None:
    """Make bundle.json say the hashes of what is there now, as whoever changed it could."""
    plain = json.loads((copy / JSON).read_text()) if plain is None else plain
    plain.pop("sha256", None)
    plain["tensors"] = hashlib.sha256((copy / TENSORS).read_bytes()).hexdigest()
    (copy / JSON).write_text(
        json.dumps(plain | {"sha256": hashlib.sha256(canonical(plain)).hexdigest()})
    )


def brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
