"""Bundle: a trained detector as a folder of JSON and tensors, to be read, checked and moved; nothing is pickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from
from safetensors.torch import save as bytes_of
from torch import Tensor, nn

import unseen
from unseen import methods
from unseen.atomic import Making
from unseen.data.schema import Schema
from unseen.data.split import Rows
from unseen.detector import Detector
from unseen.errors import BundleError, UnseenError
from unseen.manifest import JSON, TENSORS, Manifest, Settings, compare, content, digest
from unseen.members import Member
from unseen.paths import new_path
from unseen.pictures import Pictures
from unseen.types import Method

# what building and filling a scorer may raise when fields and tensors do not belong together
MISFITS = (UnseenError, SafetensorError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Bundle:
    """A fitted detector, and facts about its making that JSON can hold: data, versions, an evaluation if one was run.

    >>> import tempfile
    >>> detector = Detector(methods.Mahalanobis(), random_state=0).fit([[float(i % 7), i % 5] for i in range(100)])
    >>> folder = Path(tempfile.mkdtemp()) / "detector"
    >>> Bundle(detector, {"source": "two counters"}).save(folder)
    >>> Bundle.load(folder).score([[3.0, 2.0], [90.0, -90.0]])["verdict"].to_pylist()
    ['normal', 'anomaly']
    """

    detector: Detector
    facts: dict[str, Any]

    def save(self, folder: str | Path) -> None:
        """Write a new folder; when anything fails on the way, none is left."""
        new_path(folder)
        tensors = bytes_of(state_of(self.detector))
        text = described(self, digest(tensors)).text()
        with Making() as made:
            new = made.folder(folder)
            new.write(TENSORS, tensors)
            new.write(JSON, text)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read and check a folder that `save` wrote; the detector is on the CPU, wherever it was trained."""
        place = Path(folder)
        if not place.is_dir():
            found = "a file" if place.exists() else "nothing"
            raise BundleError(f"{place}: expected the folder of a saved detector, found {found}; check the spelling")
        manifest = Manifest.read(place / JSON)
        tensors = content(place / TENSORS)
        compare(place / TENSORS, found=digest(tensors), said=manifest.tensors)
        try:
            return cls(rebuilt(manifest, tensors_from(tensors)), manifest.facts)
        except (
            UnseenError,
            SafetensorError,
            ArithmeticError,
            LookupError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            raise BundleError(
                f"{place}: its parts make no detector in unseen {unseen.__version__} ({error}); it was saved by unseen "
                f"{manifest.facts.get('unseen')}: load it with that release, or fit and save again"
            ) from error

    def score(self, table: Any, *, alpha: float = 0.05) -> pa.Table:
        """`score`, `pvalue` and `verdict` of each row: "anomaly" where the p-value is at most alpha, else "normal"."""
        return with_verdict(self.judged(table), self.detector.cut(np.zeros(0), alpha=alpha, fdr=None))

    def judged(self, table: Any) -> pa.Table:
        """`score` and `pvalue` of each row. There may be no rows; columns are checked all the same."""
        given = self.detector.admitted(table)
        if len(given):
            scores = self.detector.anomaly_score(given)
        else:
            scores = np.zeros(len(self.detector.schema_.encode(given)))
        return pa.table({"score": scores, "pvalue": self.detector.conformal_of().pvalue(scores)})


def with_verdict(judged: pa.Table, cut: float) -> pa.Table:
    """The table with a column `verdict`, "anomaly" where `pvalue` is at most `cut`."""
    flagged = judged["pvalue"].to_numpy() <= cut
    return judged.append_column("verdict", pa.array(np.where(flagged, "anomaly", "normal"), pa.string()))


def described(bundle: Bundle, tensors: str) -> Manifest:
    """Everything about a bundle that is not a tensor; facts that are known already, as of a loaded bundle, stay."""
    detector, seed = bundle.detector, bundle.detector.random_state
    made = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "unseen": unseen.__version__,
        "torch": str(torch.__version__),
    }
    settings = Settings.model_construct(
        normal=str(detector.normal),
        kinds=None if detector.kinds is None else dict(detector.kinds),
        calibration=detector.calibration,
        random_state=None if isinstance(seed, np.random.RandomState) else seed,
        tail=detector.tail,
    )
    return Manifest.model_construct(
        facts=made | bundle.facts,
        method=methods.to_json(detector.chosen()),
        detector=settings,
        classes=list(detector.classes_),
        groups=list(detector.groups_),
        columns=detector.schema_.to_json(),
        members=[member.schema.to_json() for member in detector.members_],
        tensors=tensors,
    )


def state_of(detector: Detector) -> dict[str, Tensor]:
    """Everything that the members learned: "0.scorer.*", "0.calibration", "0.held", "1.scorer.*", ..."""
    detector.check_fitted()
    state: dict[str, Tensor] = {}
    for k, member in enumerate(detector.members_):
        learned = member.scorer.state_dict().items()
        state |= {f"{k}.scorer.{name}": tensor.detach().cpu().contiguous().clone() for name, tensor in learned}
        state[f"{k}.calibration"] = torch.from_numpy(member.calibration.copy())
        if member.peaks is not None:
            state[f"{k}.peaks"] = torch.from_numpy(member.peaks.copy())
        if member.held is not None:
            state[f"{k}.held"] = torch.from_numpy(member.held.astype(np.int64))
    return state


def rebuilt(manifest: Manifest, tensors: Mapping[str, Tensor]) -> Detector:
    """The detector that the manifest describes, with what its members learned."""
    method = methods.from_json(manifest.method)
    detector = Detector(method, **manifest.detector.model_dump())
    detector.schema_ = schema_from(manifest.columns)
    if isinstance(detector.schema_, Pictures):
        detector.features = detector.schema_.features
    detector.classes_ = tuple(manifest.classes)
    detector.groups_ = tuple(manifest.groups)
    unnamed = tuple(f"x{j}" for j in range(len(detector.schema_.inputs)))  # as a matrix has them
    if isinstance(detector.schema_, Schema) and detector.schema_.inputs != unnamed:
        detector.name_features(detector.schema_.inputs)
    schemas = [schema_from(plain) for plain in manifest.members]
    return detector.assemble(tuple(trained(method, schema, tensors, f"{k}.") for k, schema in enumerate(schemas)))


def schema_from(plain: dict[str, Any]) -> Schema | Pictures:
    """The schema of a table or of images."""
    return Pictures.from_json(plain) if "features" in plain else Schema.from_json(plain)


def trained(method: Method, schema: Schema | Pictures, tensors: Mapping[str, Tensor], prefix: str) -> Member:
    own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    calibration = own.pop("calibration").numpy().astype(np.float64)
    held = own.pop("held", None)  # of detectors that an earlier release saved there is none
    peaks = own.pop("peaks", None)
    rows = None if held is None else rows_of(held, len(calibration))
    state = {name.removeprefix("scorer."): tensor for name, tensor in own.items()}
    heights = None if peaks is None else peaks.numpy().astype(np.float64)
    return Member(schema, scorer_of(method, schema.shape, state), calibration, rows, heights)


def rows_of(held: Tensor, count: int) -> Rows:
    """Row numbers of the calibration rows, checked."""
    if held.dtype != torch.int64 or held.shape != (count,) or held.min() < 0 or len(held.unique()) < count:
        raise BundleError(f"tensor 'held': expected {count} row numbers, found {held.dtype} of {tuple(held.shape)}")
    return held.numpy()


def scorer_of(method: Method, shape: tuple[int, ...], state: dict[str, Tensor]) -> nn.Module:
    """The method's scorer in this state, tried on a row: buffers of a wrong size may fit one by one, not together."""
    with torch.device("meta"):  # takes no memory, whatever the fields ask for
        planned = method.build(shape).state_dict()
    misfit = [name for name in planned if name in state and planned[name].dtype != state[name].dtype]
    if misfit:
        kinds = f"expected {planned[misfit[0]].dtype}, found {state[misfit[0]].dtype}"
        raise BundleError(f"tensor {misfit[0]!r}: {kinds}")
    asked, held = (sum(tensor.numel() for tensor in each.values()) for each in (planned, state))
    if asked > held:
        raise BundleError(f"the method's fields ask for at least {asked:,} numbers, the file holds {held:,}")
    scorer = method.build(shape)
    scorer.load_state_dict(state)
    scorer.eval()
    with torch.no_grad():
        found = tuple(scorer(torch.zeros(1, *shape)).shape)
    if found != (1,):
        raise BundleError(f"one row was given scores of shape {found}")
    return scorer
