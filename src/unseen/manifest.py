"""The text beside the tensors of a saved detector: what it says, and whether it is still what was written.

Hashes tell an accident from a whole copy; they do not tell who wrote it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

import unseen
from unseen.errors import BundleError, DataError

FORMAT = 1
JSON, TENSORS = "bundle.json", "tensors.safetensors"
MOST = 64 << 20  # bytes of bundle.json: a thousand columns of fifty levels take about 10 MB
AGAIN = "copy the folder again from where it was saved, or fit and save again"


class Settings(BaseModel):
    """How the detector was asked to learn, beside its method."""

    model_config = ConfigDict(extra="forbid", strict=True)
    normal: str
    kinds: dict[str, str] | None
    calibration: float | int | None
    random_state: int | None
    tail: bool = False


class Manifest(BaseModel):
    """What bundle.json holds. `columns` is a schema; `members` are those that the trained scorers read by, one each."""

    model_config = ConfigDict(extra="forbid", strict=True)
    format: Literal[1] = 1
    facts: dict[str, Any]
    method: dict[str, Any]
    detector: Settings
    classes: list[str]
    groups: list[str] = []
    columns: dict[str, Any]
    members: list[dict[str, Any]]
    tensors: str  # the hash of the other file

    def text(self) -> bytes:
        """bundle.json, with a hash of all its other content."""
        try:
            plain = json.loads(spelled(self.model_dump()))
        except (TypeError, ValueError) as error:
            raise DataError(f"facts of a saved detector must be plain JSON values: {error}") from error
        return spelled(plain | {"sha256": digest(canonical(plain))}, indent=1, ensure_ascii=False).encode()

    @classmethod
    def read(cls, file: Path) -> Manifest:
        """bundle.json, checked: of a known format, unchanged, and complete."""
        try:
            plain = json.loads(content(file, most=MOST), parse_constant=refused)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{file}: expected JSON, but it cannot be read ({error}); {AGAIN}") from error
        check_format(file, plain)
        said = plain.pop("sha256", None)
        compare(file, found=digest(canonical(plain)), said=said)
        try:
            return cls.model_validate(plain)
        except ValidationError as error:
            raise BundleError(f"{file}: expected the fields of format {FORMAT}, found {error}; {AGAIN}") from error


def check_format(file: Path, plain: object) -> None:
    found = plain.get("format") if isinstance(plain, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise BundleError(
            f"{file}: format {found} is newer than {FORMAT}, the newest that unseen {unseen.__version__} reads; "
            "upgrade unseen"
        )
    if found != FORMAT:
        raise BundleError(f"{file}: expected a saved detector of format {FORMAT}, found format {found!r}; {AGAIN}")


def canonical(plain: object) -> bytes:
    """One spelling for one content.

    >>> canonical({"b": np.float64(0.5), "a": [1, None]})
    b'{"a":[1,null],"b":0.5}'
    """
    return spelled(plain, sort_keys=True, separators=(",", ":")).encode()


def spelled(plain: object, **style: Any) -> str:
    return json.dumps(plain, default=number, allow_nan=False, **style)


def number(value: object) -> Any:
    """numpy's numbers as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} is a {type(value).__name__}")


def refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def compare(file: Path, *, found: str, said: object) -> None:
    if found != said:
        raise BundleError(f"{file}: changed since it was saved (expected sha256 {said}, found {found}); {AGAIN}")


def content(file: Path, *, most: int | None = None) -> bytes:
    """All bytes of a file that was saved, or a BundleError."""
    try:
        size = file.stat().st_size
        if most is not None and size > most:
            raise BundleError(f"{file}: expected at most {most:,} bytes, found {size:,}; {AGAIN}")
        return file.read_bytes()
    except FileNotFoundError as error:
        raise BundleError(f"{file}: missing; a saved detector holds {JSON} and {TENSORS}; {AGAIN}") from error
    except OSError as error:
        raise BundleError(f"{file}: cannot be read ({error.strerror}); check what it is and who may read it") from error
