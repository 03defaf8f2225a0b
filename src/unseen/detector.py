"""Detector: the one estimator. Any method in; scores, p-values and verdicts out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.utils import check_random_state
from torch import nn

from unseen import methods
from unseen.adapt import adaptable, moved
from unseen.calibrate import Conformal, benjamini_hochberg, check_level, outranked
from unseen.data.labels import LEAST, calibrators, check_normals, encode_groups, encode_labels
from unseen.data.schema import Schema
from unseen.data.split import Rows, hold_out, spread, take
from unseen.data.tables import admit
from unseen.errors import DataError, FewNormals, NotFitted, UnseenError, Unsupported
from unseen.parts.loops import one_thread
from unseen.parts.nets import seeded
from unseen.parts.scoring import scores
from unseen.types import Method, Run, Samples

ENOUGH = 1000  # normals from which on one split is enough: a fifth of them, 200, resolves p-values to 0.005
FOLDS = 5

log = logging.getLogger("unseen")


@dataclass(frozen=True)
class Member:
    """One trained scorer, the schema that its rows pass, and its scores of normals it did not see, sorted (m,)."""

    schema: Schema
    scorer: nn.Module
    calibration: NDArray[np.float64]


class Detector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Learns from normal rows and, if there are any, labelled anomalies; scores how anomalous new rows are.

    `method`: what learns, by default the evidence stack. `normal`: the label of normal rows. `kinds`: column name ->
    'number', 'boolean', 'category' or 'text', where the inferred kind is wrong. `calibration`: share of normals held
    out for p-values (float), or number of folds of a cross-conformal predictor (int); None takes a fifth from 1,000
    normals on, and 5 folds below. `device`: 'cpu', 'cuda' or 'auto'. `random_state`: same seed, same scores.

    >>> rng = np.random.default_rng(0)
    >>> X = np.r_[rng.normal(size=(200, 3)), rng.normal(3.0, 1.0, size=(10, 3))]
    >>> detector = Detector(methods.Mahalanobis(), random_state=0).fit(X, ["normal"] * 200 + ["leak"] * 10)
    >>> detector.detect([[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]], alpha=0.01)
    array([False,  True])
    """

    def __init__(
        self,
        method: Method | None = None,
        *,
        normal: str = "normal",
        kinds: Mapping[str, str] | None = None,
        calibration: float | int | None = None,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.method = method
        self.normal = normal
        self.kinds = kinds
        self.calibration = calibration
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, *, groups: Any = None) -> Self:
        """Learn from a data frame or array X (n, columns).

        `y` (n,): 0 or `normal`'s name for normal rows, -1 or missing for unlabelled ones, anything else names an
        anomaly class; no y means all rows are taken for normal. `groups` (n,): which kind of normal a row belongs to.
        """
        table = admit(X)
        codes, names = encode_labels(y, rows=len(table), normal=self.normal)
        group = encode_groups(groups, rows=len(table))
        check_normals(codes)
        with one_thread():
            whole = Schema.infer(table, normals=codes <= 0, kinds=self.kinds)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        folds = self.held_out(codes, group, np.random.default_rng(seed))
        # Folds start from one seed: the more alike their scorers, the less cautious the p-values need to be.
        members = tuple(self.train(whole, table, codes, group, held, seed) for held in folds)
        self.schema_ = whole
        self.classes_ = names
        return self.assemble(members)

    def adapt(self, X_normal: Any, y: Any = None) -> Detector:
        """A new detector for a kind of normal that this one has never seen, from a few normal rows of it (m, columns).

        Nothing is trained anew, and this detector stays as it is. The rows calibrate, too, each scored by what adapted
        on the others, so no p-value is below 1 / (m + 1). `y` (m,), as in `fit`, where some rows are no normal ones.
        """
        self.check_fitted()
        method, member, table = adaptable(self.used()), self.members_[0], admit(X_normal)
        codes, names = encode_labels(y, rows=len(table), normal=self.normal)
        calibrating = calibrators(codes)
        if len(calibrating) < LEAST:
            raise DataError(
                f"adapt was given {len(calibrating)} normal rows of {len(table)}, and needs at least {LEAST}, better "
                "20: each is scored by what adapted on the others, and m of them give no p-value below 1/(m + 1)"
            )
        known = tuple(dict.fromkeys((*self.classes_, *names)))
        codes = np.array([0, *(known.index(name) + 1 for name in names), -1])[codes]
        run = self.run(member.schema, int(check_random_state(self.random_state).randint(2**31 - 1)))
        support = Samples.of(torch.from_numpy(member.schema.encode(table)), torch.from_numpy(codes)).to(run.device)
        with one_thread():
            scorer, calibration = moved(method, member.scorer, support, calibrating, run)
        new: Detector = clone(self)
        new.schema_, new.classes_ = self.schema_, known
        return new.assemble((Member(member.schema, scorer, self.checked(calibration)),))

    def assemble(self, members: tuple[Member, ...]) -> Self:
        """Take over trained members; what a fit ends with, and the loading of a saved detector consists of."""
        self.members_ = members
        self.n_features_in_ = len(self.schema_.inputs)
        count = sum(len(m.calibration) for m in members)
        several = np.arange(1.0, count + 1)  # what outranked() measures against
        self.conformal_ = Conformal.fit(members[0].calibration if len(members) == 1 else several)
        self.offset_ = -self.conformal_.threshold(max(0.05, 1 / (count + 1)))
        return self

    def anomaly_score(self, X: Any) -> NDArray[np.float64]:
        """How anomalous each row is, higher = worse: (n,). Everything else derives from it."""
        self.check_fitted()
        table = admit(X)
        if len(table) == 0:
            raise DataError(f"Found array with 0 sample(s) (shape={table.shape}) while a minimum of 1 is required.")
        each = [self.scores(m.scorer, m.schema.encode(table)) for m in self.members_]
        return each[0] if len(each) == 1 else outranked([m.calibration for m in self.members_], each)

    def pvalue(self, X: Any) -> NDArray[np.float64]:
        """Chance that a normal row scores at least as high: (n,), conformal, no smaller than 1 / (m + 1)."""
        return self.conformal_of().pvalue(self.anomaly_score(X))

    def detect(self, X: Any, *, alpha: float | None = None, fdr: float | None = None) -> NDArray[np.bool_]:
        """Which rows to raise an alarm for: (n,). Give one of two policies; neither needs a refit.

        `alpha`: the share of normal rows that may be flagged. `fdr`: the share of the alarms, among these rows, that
        may be false (Benjamini-Hochberg).
        """
        if (alpha is None) == (fdr is None):
            raise DataError(
                "detect needs one policy: alpha=0.01 (share of normals flagged) or fdr=0.1 (share of false alarms)"
            )
        pvalues = self.pvalue(X)
        return pvalues <= self.cut(pvalues, alpha=alpha, fdr=fdr)

    def cut(
        self,
        pvalues: NDArray[np.float64],
        *,
        alpha: float | None,
        fdr: float | None,
        counts: NDArray[np.int64] | None = None,
    ) -> float:
        """The largest p-value that is an alarm under the policy; `counts` (n,) tell how often each occurs."""
        level = alpha if alpha is not None else fdr
        assert level is not None
        check_level("alpha" if alpha is not None else "fdr", level)
        finest = 1 / (len(self.conformal_of().scores) + 1)
        if level < finest:
            warnings.warn(
                f"level {level} asked for, but with {len(self.conformal_.scores)} calibration normals no p-value is "
                f"below {finest:.2g}: nothing can be flagged. Train on more normals, or ask for {finest:.2g} or more",
                FewNormals,
                stacklevel=3,
            )
        return level if alpha is not None else benjamini_hochberg(pvalues, level, counts)

    # scikit-learn's conventions, low = abnormal: signs flip here and nowhere else.
    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """scikit-learn's direction: the lower, the more abnormal (n,)."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """scikit-learn's: negative for rows with a p-value of at most 0.05 (n,)."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.int64]:
        """scikit-learn's: -1 for rows with a p-value of at most 0.05, else 1 (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def held_out(self, codes: NDArray[np.int64], group: NDArray[np.int64], rng: np.random.Generator) -> list[Rows]:
        """Row numbers of the calibration normals: one array for a split, K for K folds."""
        normals = calibrators(codes)
        asked = self.calibration
        if asked is None:
            asked = 0.2 if len(normals) >= ENOUGH else FOLDS
        if isinstance(asked, float):
            check_level("calibration", asked)
            return [hold_out(normals, group, asked, rng)]
        if asked < 2:
            raise DataError(f"calibration must be a share between 0 and 1 or a number of folds >= 2, got {asked}")
        folds = min(asked, len(normals))
        part = spread(group[normals], folds, rng)
        return [normals[part == k] for k in range(folds)]

    def train(
        self, whole: Schema, table: Any, codes: NDArray[np.int64], group: NDArray[np.int64], held: Rows, seed: int
    ) -> Member:
        """Train on all rows but those held out, which then calibrate; they shape neither schema nor scorer."""
        rows = np.setdiff1d(np.arange(len(table)), held)
        inside = take(table, rows)
        with one_thread():
            schema = whole.relearn(inside, normals=codes[rows] <= 0)
            x = torch.from_numpy(schema.encode(inside))
        y, g = torch.from_numpy(codes[rows]), torch.from_numpy(group[rows])
        method, run = self.used(), self.run(schema, seed)
        data = Samples.of(x, y, g).to(run.device)
        scorer = seeded(lambda: method.build(tuple(x.shape[1:])), run.seed()).to(run.device)
        with one_thread():
            method.train(scorer, data, run)
        scorer.eval()
        return Member(schema, scorer, self.checked(self.scores(scorer, schema.encode(take(table, held)))))

    def used(self) -> Method:
        return methods.DEFAULT if self.method is None else self.method

    def run(self, schema: Schema, seed: int) -> Run:
        """What a method may use beside the rows that this schema encodes."""
        device = self.torch_device()
        logarithms = torch.from_numpy(schema.logarithms).to(device)
        return Run(torch.Generator().manual_seed(seed), device, logged, logarithms)

    def checked(self, calibration: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores of held-out normals, sorted (m,)."""
        if not np.isfinite(calibration).all():
            name = type(self.used()).__name__
            raise UnseenError(f"{name} diverged: scores of normal rows are not finite; try another method")
        return np.sort(calibration)

    def scores(self, scorer: nn.Module, x: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(scores(scorer, torch.from_numpy(x), self.torch_device()).double().numpy())

    def torch_device(self) -> torch.device:
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise Unsupported(f"device {self.device!r}: torch finds no CUDA device here; use 'cpu', or 'auto'")
        return torch.device(self.device)

    def check_fitted(self) -> None:
        if not hasattr(self, "members_"):
            raise NotFitted("This Detector instance is not fitted yet: call fit(X, y) first")

    def conformal_of(self) -> Conformal:
        self.check_fitted()
        return self.conformal_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags


def logged(step: int, values: dict[str, float]) -> None:
    log.debug("step %d %s", step, values)
