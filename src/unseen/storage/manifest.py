"""The text beside the tensors of a saved detector: what it says, and whether it is still what was
written.

Hashes tell an accident from a whole copy; they do not tell who wrote it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from unseen._version import __version__
from unseen.data.columns import Kind
from unseen.errors import BundleError, DataError
from unseen.io.paths import regular

FORMAT = 2
JSON, TENSORS, SHOWN = "bundle.json", "tensors.safetensors", "references.arrow"
MOST = 64 << 20  # bytes of bundle.json: a thousand columns of fifty levels take about 10 MB
DEEPEST = 100  # lists and objects in one another
AGAIN = "copy the folder again from where it was saved, or fit and save again"


def _each_once(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("a name occurs twice")
    return names


Names = Annotated[list[str], AfterValidator(_each_once)]
Share = Annotated[float, Field(gt=0, lt=1)]
Folds = Annotated[int, Field(ge=2)]


class Settings(BaseModel):
    """How the detector was asked to learn, beside its method: parameters of `Detector`.

    Parameters
    ----------
    normal : str
        The label of normal rows.
    kinds : dict of str to str or None
        Kinds of columns that overrule the inferred ones.
    calibration : float, int or None
        Share of the normals held out, above 0 and below 1, or number of folds, at least 2.
    random_state : int or None
        The seed, from 0 to 2^32 - 1; None also for a generator of numpy.
    tail : bool
        Whether a model goes on below 1 / (m + 1).
    repeats : {"keep", "once"} or None
        How rows that occur more than once count.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    normal: str
    kinds: dict[str, Kind] | None
    calibration: Folds | Share | None
    random_state: Annotated[int, Field(ge=0, lt=2**32)] | None
    tail: bool = False
    repeats: Literal["keep", "once"] | None = None


class Manifest(BaseModel):
    """What bundle.json holds.

    Parameters
    ----------
    format : {2}
        Number of the format.
    facts : dict
        What is said about the making of the detector.
    method : dict
        Name or import path of the method, and its fields.
    detector : Settings
        How the detector was asked to learn.
    classes : list of str
        Names of the anomaly classes, in the order of their codes, each once.
    groups : list of str
        Names of the domains, likewise.
    columns : dict
        What encodes rows: a schema, or how images are seen.
    members : list of dict
        Likewise for each trained scorer, at least one.
    tensors : str
        SHA-256 of the file of tensors.
    references : str or None
        SHA-256 of the file of training rows that stay; None where an earlier release kept none.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    format: Literal[2] = 2
    facts: dict[str, Any]
    method: dict[str, Any]
    detector: Settings
    classes: Names
    groups: Names = []
    columns: dict[str, Any]
    members: Annotated[list[dict[str, Any]], Field(min_length=1)]
    tensors: str  # the hash of the other file
    references: str | None = None

    def text(self) -> bytes:
        """bundle.json, with a hash of all its other content."""
        try:
            plain = parsed(_json_text(self.model_dump()).encode())
        except (TypeError, ValueError, RecursionError) as error:
            raise DataError(
                f"facts of a saved detector must be plain JSON values: {error}"
            ) from error
        return _json_text(
            plain | {"sha256": digest(canonical(plain))}, indent=1, ensure_ascii=False
        ).encode(errors="surrogatepass")

    @classmethod
    def read(cls, file: Path) -> Manifest:
        """bundle.json, checked: of a known format, unchanged, and complete."""
        try:
            plain = parsed(_manifest_bytes(file))
        except (ValueError, RecursionError) as error:
            raise BundleError(
                f"{file}: expected JSON, but it cannot be read ({error}); {AGAIN}"
            ) from error
        _check_format(file, plain)
        recorded = plain.pop("sha256", None)
        compare(file, found=digest(canonical(plain)), recorded=recorded)
        try:
            return cls.model_validate(plain)
        except ValidationError as error:
            raise BundleError(
                f"{file}: expected the fields of format {FORMAT}, found {error}; {AGAIN}"
            ) from error


def _check_format(file: Path, plain: object) -> None:
    found = plain.get("format") if isinstance(plain, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise BundleError(
            f"{file}: format {found} is newer than {FORMAT}, the newest that unseen {__version__} "
            "reads; upgrade unseen"
        )
    if isinstance(found, int) and 0 < found < FORMAT:
        raise BundleError(
            f"{file}: format {found} is that of an earlier release, and this one reads format "
            f"{FORMAT}: fit and save again, or load it with the release that saved it"
        )
    if found != FORMAT:
        raise BundleError(
            f"{file}: expected a saved detector of format {FORMAT}, found format {found!r}; {AGAIN}"
        )


def canonical(plain: object) -> bytes:
    """One spelling for one content.

    >>> canonical({"b": np.float64(0.5), "a": [1, None]})
    b'{"a":[1,null],"b":0.5}'
    """
    return _json_text(plain, sort_keys=True, separators=(",", ":")).encode()


def _json_text(plain: object, **style: Any) -> str:
    return json.dumps(plain, default=_number, allow_nan=False, **style)


def _number(value: object) -> Any:
    """numpy's numbers as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} is a {type(value).__name__}")


def parsed(data: bytes) -> Any:
    """Plain values from JSON in UTF-8; ValueError for what another reader might take otherwise, or
    not at all.

    >>> parsed(b'{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ValueError: key 'a' occurs twice
    """
    text = data.decode(errors="surrogatepass")  # half characters, which names of files may have
    plain = json.loads(
        text, parse_constant=_refused, parse_float=_finite, object_pairs_hook=_unique_pairs
    )
    level, depth = [plain], 0
    while level:
        if depth > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} deep")
        level, depth = [inside for each in level for inside in _values_inside(each)], depth + 1
    return plain


def _values_inside(plain: object) -> Iterable[Any]:
    return plain.values() if isinstance(plain, dict) else plain if isinstance(plain, list) else ()


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float:
    if not math.isfinite(found := float(text)):
        raise ValueError(f"{text} is too large for a number")
    return found


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key!r} occurs twice")
        found[key] = value
    return found


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def compare(file: Path, *, found: str, recorded: object) -> None:
    if found != recorded:
        raise BundleError(
            f"{file}: changed since it was saved (expected sha256 {recorded}, found {found}); "
            f"{AGAIN}"
        )


def _manifest_bytes(file: Path) -> bytes:
    """All bytes of bundle.json, or a BundleError."""
    with readable(file):
        return regular(file, most=MOST)


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """What the system refuses to read, as a BundleError."""
    try:
        yield
    except FileNotFoundError as error:
        raise BundleError(
            f"{file}: missing; a saved detector holds {JSON}, {TENSORS} and {SHOWN}; {AGAIN}"
        ) from error
    except OSError as error:
        raise BundleError(
            f"{file}: cannot be read ({error.strerror}); check what it is and who may read it"
        ) from error
