"""Bundle: a trained detector as a folder of JSON and tensors, which can be read, checked and moved; nothing is pickled.

`bundle.json` holds words and numbers, `tensors.safetensors` what the scorers learned. Hashes tell an accident from a
whole copy; they do not tell who wrote it.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from
from safetensors.torch import save as tensors_to
from torch import Tensor, nn

from unseen import __version__, methods
from unseen.data.schema import Schema
from unseen.data.tables import admit
from unseen.detector import Detector, Member
from unseen.errors import BundleError, DataError, UnseenError
from unseen.types import Method

FORMAT = 1
JSON, TENSORS = "bundle.json", "tensors.safetensors"
MOST = 64 << 20  # bytes of bundle.json: a thousand columns of fifty levels take about 5 MB
AGAIN = "copy the folder again from where it was saved, or fit and save again"


@dataclass(frozen=True)
class Bundle:
    """A fitted detector, and facts about its making that JSON can hold: data, versions, an evaluation if one was run.

    >>> import tempfile
    >>> detector = Detector(methods.Mahalanobis(), random_state=0).fit([[float(i % 7), i % 5] for i in range(100)])
    >>> folder = Path(tempfile.mkdtemp()) / "detector"
    >>> Bundle(detector, {"source": "sums"}).save(folder)
    >>> Bundle.load(folder).score([[3.0, 2.0], [90.0, -90.0]])["verdict"].to_pylist()
    ['normal', 'anomaly']
    """

    detector: Detector
    facts: dict[str, Any]

    def save(self, folder: str | Path) -> None:
        """Write a new folder; when anything fails on the way, none is left."""
        target = new_folder(folder)
        tensors = tensors_to(state_of(self.detector))
        words = manifest_of(self, {TENSORS: digest(tensors)})
        partial = target.with_name(f".{target.name}.partial-{secrets.token_hex(4)}")
        try:
            partial.mkdir()
            for name, content in {TENSORS: tensors, JSON: words}.items():
                write(partial / name, content)
            partial.rename(target)
        except OSError as error:
            raise DataError(
                f"{target}: it cannot be written ({error.strerror}), and nothing is left of it; free some space, or "
                "choose another place"
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read and check a folder that `save` wrote; the detector is on the CPU wherever it was trained."""
        place = Path(folder)
        if not place.is_dir():
            raise BundleError(f"{place}: expected the folder of a saved detector, found {'a file' if place.exists() else 'nothing'}")
        manifest = manifest_from(place / JSON, content(place / JSON, most=MOST))
        tensors = content(place / TENSORS)
        compare(place / TENSORS, digest(tensors), manifest.files[TENSORS])
        try:
            return cls(rebuilt(manifest, tensors_from(tensors)), manifest.facts)
        except (UnseenError, SafetensorError, TypeError, ValueError, RuntimeError, IndexError) as error:
            raise BundleError(
                f"{place}: its parts do not make a detector in unseen {__version__} ({error}); it was saved by "
                f"{manifest.facts.get('unseen')}: load it with that release, or fit and save again"
            ) from error

    def score(self, table: Any, *, alpha: float = 0.05) -> pa.Table:
        """A table of `score`, `pvalue` and `verdict`, "anomaly" or "normal", for each row; no row needs none."""
        cut = self.detector.cut(np.zeros(0), alpha=alpha, fdr=None)
        return with_verdict(self.judged(table), cut)

    def judged(self, table: Any) -> pa.Table:
        """A table of `score` and `pvalue` for each row; an empty table is checked for its columns all the same."""
        given = admit(table)
        rows = len(given)
        scores = self.detector.anomaly_score(given) if rows else self.detector.schema_.encode(given)[:, 0]
        pvalues = self.detector.conformal_of().pvalue(scores)
        return pa.table({"score": pa.array(scores, pa.float64()), "pvalue": pa.array(pvalues, pa.float64())})


def with_verdict(judged: pa.Table, cut: float) -> pa.Table:
    """The table and a column `verdict`: an anomaly where `pvalue` is at most `cut`."""
    flagged = judged["pvalue"].to_numpy() <= cut
    return judged.append_column("verdict", pa.array(np.where(flagged, "anomaly", "normal"), pa.string()))


def new_folder(folder: str | Path) -> Path:
    """The path, if a folder can be made there; worth asking before a long training."""
    path = Path(folder)
    if os.path.lexists(path):
        raise DataError(f"{path}: exists already and is left as it is; choose another name or remove it")
    if not path.parent.is_dir():
        raise DataError(f"{path}: there is no folder {path.parent}; create it first")
    return path


class Settings(BaseModel):
    """How the detector was asked to learn, beside its method."""

    model_config = ConfigDict(extra="forbid", strict=True)
    normal: str
    kinds: dict[str, str] | None
    calibration: float | int | None
    random_state: int | None


class Manifest(BaseModel):
    """What bundle.json holds. `members` are the schemas that the trained scorers read by, one for each fold."""

    model_config = ConfigDict(extra="forbid", strict=True)
    format: Literal[1]
    method: dict[str, Any]
    detector: Settings
    classes: list[str]
    columns: dict[str, Any]
    members: list[dict[str, Any]]
    facts: dict[str, Any]
    files: dict[Literal["tensors.safetensors"], str]
    sha256: str


def manifest_of(bundle: Bundle, files: dict[str, str]) -> bytes:
    """bundle.json, with a hash of all its other content."""
    detector = bundle.detector
    made = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "unseen": __version__,
        "torch": str(torch.__version__),
    }
    seed = detector.random_state
    plain = {
        "format": FORMAT,
        "facts": made | bundle.facts,
        "method": methods.to_json(methods.DEFAULT if detector.method is None else detector.method),
        "detector": {
            "normal": detector.normal,
            "kinds": None if detector.kinds is None else dict(detector.kinds),
            "calibration": detector.calibration,
            "random_state": None if isinstance(seed, np.random.RandomState) else seed,
        },
        "classes": list(detector.classes_),
        "columns": detector.schema_.to_json(),
        "members": [member.schema.to_json() for member in detector.members_],
        "files": files,
    }
    try:
        plain = json.loads(json.dumps(plain, default=number))
        return json.dumps(plain | {"sha256": digest(canonical(plain))}, indent=1, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise DataError(f"facts of a bundle must be plain JSON values: {error}") from error


def manifest_from(file: Path, text: bytes) -> Manifest:
    """bundle.json, checked: of a known format, unchanged, and complete."""
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{file}: expected JSON, but it cannot be read ({error}); {AGAIN}") from error
    found = plain.get("format") if isinstance(plain, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise BundleError(f"{file}: format {found} is newer than {FORMAT}, the newest that unseen {__version__} reads; upgrade unseen")
    if not isinstance(plain, dict) or found != FORMAT:
        raise BundleError(f"{file}: expected the description of a detector, format {FORMAT}, found {found!r}; {AGAIN}")
    said = plain.get("sha256")
    compare(file, digest(canonical({key: value for key, value in plain.items() if key != "sha256"})), said)
    try:
        return Manifest.model_validate(plain)
    except ValidationError as error:
        raise BundleError(f"{file}: expected the fields of format {FORMAT}: {error}; {AGAIN}") from error


def rebuilt(manifest: Manifest, tensors: dict[str, Tensor]) -> Detector:
    """The detector that the manifest describes, its scorers filled with the tensors."""
    method = methods.from_json(manifest.method)
    detector = Detector(method, **manifest.detector.model_dump())
    detector.schema_ = Schema.from_json(manifest.columns)
    detector.classes_ = tuple(manifest.classes)
    members = [
        Member(schema, scorer_of(method, schema.width, part(tensors, f"{k}.scorer.")), tensors[f"{k}.calibration"].numpy())
        for k, schema in enumerate(map(Schema.from_json, manifest.members))
    ]
    return detector.assemble(tuple(members))


def scorer_of(method: Method, width: int, state: dict[str, Tensor]) -> nn.Module:
    """The method's scorer with this state; tried on one row, for sizes that fit one by one but not together."""
    with torch.device("meta"):  # costs no memory, whatever the fields say
        planned = method.build((width,)).state_dict()
    wrong = [name for name in planned if name in state and planned[name].dtype != state[name].dtype]
    if planned.keys() != state.keys() or wrong:
        raise BundleError(f"tensors missing, unknown or of another type: {sorted(planned.keys() ^ state.keys()) + wrong}")
    if numbers_in(planned) > numbers_in(state):
        raise BundleError(f"the method's fields ask for {numbers_in(planned):,} numbers, the file holds {numbers_in(state):,}")
    scorer = method.build((width,))
    scorer.load_state_dict(state)
    scorer.eval()
    with torch.no_grad():
        shape = tuple(scorer(torch.zeros(1, width)).shape)
    if shape != (1,):
        raise BundleError(f"one row was given scores of shape {shape}, not (1,)")
    return scorer


def state_of(detector: Detector) -> dict[str, Tensor]:
    """Everything that the members learned: "0.scorer...", "0.calibration", "1.scorer...", ..."""
    detector.check_fitted()
    state = {}
    for k, member in enumerate(detector.members_):
        learned = member.scorer.state_dict().items()
        state |= {f"{k}.scorer.{name}": tensor.detach().cpu().clone().contiguous() for name, tensor in learned}
        state[f"{k}.calibration"] = torch.from_numpy(member.calibration.copy())
    return state


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def numbers_in(state: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() for tensor in state.values())


def number(value: Any) -> Any:
    """numpy's numbers as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r}")


def canonical(plain: Any) -> bytes:
    """One spelling for one content."""
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def compare(file: Path, found: str, said: object) -> None:
    if found != said:
        raise BundleError(f"{file}: changed since it was saved (expected sha256 {said}, found {found}); {AGAIN}")


def content(file: Path, most: int | None = None) -> bytes:
    """All bytes of a file of the bundle, or a BundleError."""
    try:
        size = file.stat().st_size
        if most is not None and size > most:
            raise BundleError(f"{file}: expected at most {most:,} bytes, found {size:,}; {AGAIN}")
        return file.read_bytes()
    except FileNotFoundError as error:
        raise BundleError(f"{file}: missing; a saved detector holds {JSON} and {TENSORS}; {AGAIN}") from error
    except OSError as error:
        raise BundleError(f"{file}: cannot be read ({error.strerror}); check its permissions") from error


def write(file: Path, data: bytes) -> None:
    """All bytes to the disk."""
    with file.open("xb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
