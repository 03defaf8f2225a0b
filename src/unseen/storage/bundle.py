"""Bundle: a trained detector as a folder of JSON and tensors, to be read, checked and moved;
nothing is pickled.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import save as bytes_of
from torch import Tensor

from unseen._version import __version__
from unseen.data.schema import Schema
from unseen.data.split import take
from unseen.detector.detector import Detector
from unseen.detector.members import Member
from unseen.detector.policy import Policy
from unseen.detector.simpler import simpler_than
from unseen.errors import BundleError, DataError
from unseen.io.atomic import Making
from unseen.io.paths import new_path
from unseen.methods.catalogue import from_json, to_json
from unseen.methods.foreign import imported, paths_in, untrusted
from unseen.storage.facts import Checked, Count, of_form
from unseen.storage.manifest import JSON, SHOWN, TENSORS, Manifest, Settings, digest
from unseen.storage.references import fitting, read_references, saved
from unseen.storage.restore import State, read_tensors, scorer_of
from unseen.types import Encoder, Labelled, Method, ability
from unseen.vision.encoder import Vision
from unseen.wording import option


@dataclass(frozen=True)
class Bundle:
    """A fitted detector, and facts about its making.

    Parameters
    ----------
    detector : Detector
        A fitted one.
    facts : dict, optional
        What JSON can hold, by name: data, versions, an evaluation if one was run.

    >>> import tempfile
    >>> detector = Detector("mahalanobis", random_state=0).fit(
    ...     [[float(i % 7), i % 5] for i in range(100)]
    ... )
    >>> folder = Path(tempfile.mkdtemp()) / "detector"
    >>> Bundle(detector, {"source": "two counters"}).save(folder)
    >>> Bundle.load(folder).score([[3.0, 2.0], [90.0, -90.0]])["verdict"].to_pylist()
    ['normal', 'anomaly']
    """

    detector: Detector
    facts: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: str | Path) -> None:
        """Write a new folder; when anything fails on the way, none is left.

        Parameters
        ----------
        folder : str or Path
            The folder to make.

        Raises
        ------
        DataError
            Where something has that name already or cannot be written, for facts that JSON cannot
            hold, and for a method that no other program can import.
        NotFitted
            Where the detector has not been fitted.
        Unsupported
            For a backbone of your own.
        """
        new_path(folder)
        parts = _bytes_by_name(self)
        with Making() as making:
            new = making.folder(folder)
            for name, data in parts.items():
                new.write(name, data)

    @cached_property
    def _created(self) -> str:
        """When it was first asked for what is written: a second later that is the same."""
        return datetime.now(UTC).isoformat(timespec="seconds")

    @property
    def digest(self) -> str:
        """SHA-256 of the bundle.json that saving this writes: it holds the hashes of all else."""
        return digest(_bytes_by_name(self)[JSON])

    @classmethod
    def load(cls, folder: str | Path, *, trust: Collection[str] = ()) -> Self:
        """Read and check a folder that `save` wrote; the detector is on the CPU, wherever it was
        trained.

        Parameters
        ----------
        folder : str or Path
            The folder of a saved detector.
        trust : tuple of str
            Import paths, such as "mypackage.mine:Mine", of methods of other packages that loading
            may import. Importing one runs its code: name none that you would not run. Without any,
            loading runs no code but `unseen`'s.

        Returns
        -------
        Bundle
            The detector and the facts that were saved.

        Raises
        ------
        BundleError
            Where parts are missing, changed or of another format, and for a method of another
            package that `trust` does not name, or that cannot be imported.
        DataError
            Where `trust` is no tuple of import paths.
        """
        place = Path(folder)
        if not any(os.path.lexists(place / name) for name in (JSON, TENSORS)):
            found = "nothing"
            if os.path.exists(place):
                found = f"no {JSON} in it" if os.path.isdir(place) else "a file"
            raise BundleError(
                f"{place}: expected the folder of a saved detector, found {found}; check the "
                "spelling"
            )
        manifest = Manifest.read(place / JSON)
        _check_trust(place, manifest.method, trust)
        tensors = read_tensors(place / TENSORS, recorded=manifest.tensors)
        recorded = manifest.references
        shown = None if recorded is None else read_references(place / SHOWN, recorded=recorded)
        try:
            detector = _rebuilt(manifest, tensors, trust)
            detector.blocks_ = of_form(Count, manifest.facts.get("blocks")) or 0
            if shown is not None:
                detector.references_ = fitting(shown, detector.schema_, len(detector.classes_))
            return cls(detector, manifest.facts)
        except Exception as error:  # whatever a file of unknown origin leads to
            release = manifest.facts.get("unseen")
            other = "" if release == __version__ else f"load it with unseen {release}, or "
            raise BundleError(
                f"{place}: its parts make no detector in unseen {__version__} ({error}): {other}"
                "fit and save again"
            ) from error

    def with_tail(self, tail: bool) -> Self:
        """The same with a model of p-values below 1 / (m + 1), if `tail`.

        Parameters
        ----------
        tail : bool
            Whether to add one; False leaves one that is there.

        Returns
        -------
        Bundle
            Itself, its detector changed in place.
        """
        if tail and not self.detector.tail:
            self.detector.set_params(tail=True).assemble(self.detector.members_)
        return self

    def adapted(self, detector: Detector, data: Labelled) -> Self:
        """The bundle of a detector that adapted.

        Parameters
        ----------
        detector : Detector
            What `Detector.adapt` made of the one here.
        data : Labelled
            What it adapted to.

        Returns
        -------
        Bundle
            A new one, with the facts here and those of the data, without what was measured of the
            detector here: the evaluation, and which method would do.
        """
        known = {
            n: fact for n, fact in self.facts.items() if n not in ("simpler", "blocks", "checked")
        }
        facts = {"source": data.facts["source"], "rows": len(data.rows)}
        return type(self)(detector, {**known, "adapted": facts, "evaluation": []})

    def recalibrated(self, detector: Detector, data: Labelled) -> Self:
        """The bundle of a detector with renewed p-values.

        Parameters
        ----------
        detector : Detector
            What `Detector.recalibrate` made of the one here.
        data : Labelled
            The recent rows.

        Returns
        -------
        Bundle
            A new one, with the facts here and those of the recent rows. Scores rank as before, so
            an evaluation stays.
        """
        facts = {"source": data.facts["source"], "rows": len(data.rows)}
        return type(self)(detector, {**self.facts, "recalibrated": facts})

    def checked(self, rows: Any, normal: Any) -> Self:
        """The bundle of a detector whose calibration rows were checked.

        Parameters
        ----------
        rows, normal
            As in `Detector.checked`.

        Returns
        -------
        Bundle
            A new one, whose facts say what was checked; this one stays as it is.

        Raises
        ------
        NotFitted, DataError, Unsupported
            As in `Detector.checked`.
        """
        new = self.detector.checked(rows, normal)
        before, after = (
            sum(len(member.calibration) for member in each.members_)
            for each in (self.detector, new)
        )
        known = of_form(Checked, self.facts.get("checked")) or Checked(
            rows=0, anomalies=0, left_out=0
        )
        facts = {
            "rows": known.rows + len(rows),
            "anomalies": known.anomalies + int(len(rows) - np.sum(normal)),
            "left_out": known.left_out + before - after,
        }
        return type(self)(new, {**self.facts, "checked": facts})

    def score(self, X: Any, *, alpha: float = 0.05) -> pa.Table:
        """Score, p-value and verdict of each row.

        Parameters
        ----------
        X : data frame, array (n, columns), Images or Maps
            Rows or images like those of training. There may be no rows; columns are checked all the
            same.
        alpha : float
            The share of normal rows that may be flagged.

        Returns
        -------
        pyarrow.Table
            Columns `score`, `pvalue` and `verdict`, a row for each of X (n): "anomaly" where the
            p-value is at most alpha, else "normal".

        Raises
        ------
        NotFitted
            For a detector that was never fitted.
        DataError
            For an alpha that is no share between 0 and 1, and for rows of another sort than those
            of training.
        """
        self.detector.check_fitted()
        policy, rows = Policy.alpha(alpha), self.detector.schema_.admit(X)
        self.detector.check_reach(policy)
        encoded = self.detector.schema_.encode(take(rows, np.arange(0)))
        scores = self.detector.anomaly_score(rows) if len(rows) else np.zeros(len(encoded))
        pvalues = self.detector.conformal_.pvalue(scores)
        flagged = pvalues <= policy.threshold(pvalues)
        verdict = pa.array(np.where(flagged, "anomaly", "normal"), pa.string())
        return pa.table({"score": scores, "pvalue": pvalues, "verdict": verdict})


def _bytes_by_name(bundle: Bundle) -> dict[str, bytes]:
    """What the folder holds, by name; bundle.json last, as it names the others."""
    found = {TENSORS: bytes_of(_state_of(bundle.detector))}
    if (shown := saved(getattr(bundle.detector, "references_", None))) is not None:
        found[SHOWN] = shown
    hashes = {name: digest(data) for name, data in found.items()}
    return found | {JSON: _manifest(bundle, hashes[TENSORS], hashes.get(SHOWN)).text()}


def _manifest(bundle: Bundle, tensors: str, shown: str | None) -> Manifest:
    """Everything about a bundle that is not a tensor; facts that are known already, as of a loaded
    bundle, stay.
    """
    detector, seed = bundle.detector, bundle.detector.random_state
    making: dict[str, Any] = {
        "created": bundle._created,
        "unseen": __version__,
        "torch": str(torch.__version__),
    }
    if (name := simpler_than(detector)) is not None:
        making["simpler"] = name
    if getattr(detector, "blocks_", 0):
        making["blocks"] = detector.blocks_
    settings = Settings.model_construct(
        normal=str(detector.normal),
        kinds=None if detector.kinds is None else dict(detector.kinds),
        calibration=detector.calibration,
        random_state=None if isinstance(seed, np.random.RandomState) else seed,
        tail=detector.tail,
        repeats=detector.repeats,
    )
    return Manifest.model_construct(
        facts=making | bundle.facts,
        method=to_json(detector.chosen()),
        detector=settings,
        classes=list(detector.classes_),
        groups=list(detector.groups_),
        columns=detector.schema_.to_json(),
        members=[member.encoder.to_json() for member in detector.members_],
        tensors=tensors,
        references=shown,
    )


def tensors_digest(detector: Detector) -> str:
    """The sha256 of the tensors that a fitted detector is saved with: that of the file in its
    folder.
    """
    return digest(bytes_of(_state_of(detector)))


def _state_of(detector: Detector) -> dict[str, Tensor]:
    """What the members learned: "0.scorer.*", "0.calibration", "0.held_out", "1.scorer.*", ..."""
    detector.check_fitted()
    state: dict[str, Tensor] = {}
    for k, member in enumerate(detector.members_):
        learned = member.scorer.state_dict().items()
        state |= {
            f"{k}.scorer.{name}": tensor.detach().cpu().contiguous().clone()
            for name, tensor in learned
        }
        state[f"{k}.calibration"] = torch.from_numpy(member.calibration.copy())
        if member.peaks is not None:
            state[f"{k}.peaks"] = torch.from_numpy(member.peaks.copy())
        if member.held_out is not None:
            state[f"{k}.held_out"] = torch.from_numpy(member.held_out.astype(np.int64))
        if member.in_training is not None:
            state[f"{k}.in_training"] = torch.from_numpy(member.in_training.copy())
        if member.hidden is not None:
            state[f"{k}.hidden"] = torch.from_numpy(member.hidden.copy())
        if member.group is not None:
            state[f"{k}.group"] = torch.from_numpy(member.group.astype(np.int64))
    return state


def _check_trust(place: Path, method: dict[str, Any], trust: Collection[str]) -> None:
    """BundleError unless all methods of other packages are named in `trust`, and can be
    imported.
    """
    if others := untrusted(method, trust):
        raise BundleError(
            f"{place}: it was trained by a method of another package, {' and '.join(others)}, and "
            "importing that runs its code; if you trust it, load with "
            f"{option('trust', (*trust, *others))}"
        )
    for path in paths_in(method):
        try:
            imported(path)
        except DataError as error:
            raise BundleError(f"{place}: {error}") from error


def _rebuilt(
    manifest: Manifest, tensors: Mapping[str, Tensor], trust: Collection[str] = ()
) -> Detector:
    """The detector that the manifest describes, with what its members learned."""
    method = from_json(manifest.method, trust=trust)
    detector = Detector(method, **manifest.detector.model_dump())
    detector.schema_ = _encoder_from(manifest.columns)
    detector.features = (
        getattr(detector.schema_, "features", None) if len(detector.schema_.shape) > 1 else None
    )
    detector.classes_ = tuple(manifest.classes)
    detector.groups_ = tuple(manifest.groups)
    inputs = detector.schema_.inputs
    # as of a matrix
    if len(detector.schema_.shape) == 1 and inputs != tuple(f"x{j}" for j in range(len(inputs))):
        detector.name_features(inputs)
    schemas = [_encoder_from(plain) for plain in manifest.members]
    if any(schema.reads() != detector.schema_.reads() for schema in schemas):
        raise BundleError("a member reads other columns than the detector, or in another order")
    state = State(tensors)
    members = tuple(
        _member(method, schema, state.part(f"{k}."), len(detector.classes_), len(manifest.groups))
        for k, schema in enumerate(schemas)
    )
    state.check_empty()
    return detector.assemble(members)


def _encoder_from(plain: dict[str, Any]) -> Encoder:
    """What encodes rows of a table or images."""
    return Vision.from_json(plain) if "features" in plain else Schema.from_json(plain)


def _member(method: Method, schema: Encoder, state: State, classes: int, domains: int) -> Member:
    """A member in its state, of which nothing is left."""
    calibration = state.sorted("calibration")
    # earlier releases kept none
    held_out = state.rows("held_out", count=len(calibration)) if "held_out" in state.left else None
    scorer = scorer_of(method, schema.shape, state.part("scorer.").left)
    mapped = ability(scorer, "map") is not None and "peaks" in state.left
    peaks = state.sorted("peaks", count=len(calibration)) if mapped else None
    several = len(calibration)
    own = state.scores("in_training", count=several) if "in_training" in state.left else None
    hidden = state.hidden(classes) if "hidden" in state.left else None
    group = state.codes("group", count=several, below=domains) if "group" in state.left else None
    state.check_empty()
    return Member(schema, scorer, calibration, held_out, peaks, own, hidden, group)
