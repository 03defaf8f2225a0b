"""Detector: the one estimator. Any method in; scores, p-values and verdicts out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.utils import check_random_state

from unseen import methods
from unseen.adapt import adaptable
from unseen.audit import audited
from unseen.calibrate import ROWS, Conformal, benjamini_hochberg, check_level, outranked
from unseen.data.images import Images
from unseen.data.labels import LEAST, calibrators, check_normals, encode_groups, encode_labels
from unseen.data.schema import Schema
from unseen.data.split import Rows, hold_out, spread, take
from unseen.data.tables import admit
from unseen.errors import DataError, FewNormals, NotFitted, Unsupported
from unseen.members import Learning, Member, Told
from unseen.parts.features import Features
from unseen.parts.loops import one_thread
from unseen.pictures import Maps, Pictures
from unseen.types import Method

ENOUGH = 1000  # normals from which on one split is enough: a fifth of them, 200, resolves p-values to 0.005
ENOUGH_IMAGES = 200  # the same for images, of which nobody has thousands, and which take long to score five times
FOLDS = 5


class Detector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Learns from normal rows and, if there are any, labelled anomalies; scores how anomalous new rows are.

    `method`: what learns, by default the evidence stack. `normal`: the label of normal rows. `kinds`: column name ->
    'number', 'boolean', 'category' or 'text', where the inferred kind is wrong. `calibration`: share of normals held
    out for p-values (float), or number of folds of a cross-conformal predictor (int); None takes a fifth from 1,000
    normals on, and 5 folds below. `device`: 'cpu', 'cuda' or 'auto'. `random_state`: same seed, same scores. `tail`:
    p-values below 1 / (m + 1), by a model of how the scores of normals go on beyond the highest of m held-out ones.
    `features`: how images are seen, where `fit` is given some (`Images.read`).

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
        tail: bool = False,
        features: Features | None = None,
    ) -> None:
        self.method = method
        self.normal = normal
        self.kinds = kinds
        self.calibration = calibration
        self.device = device
        self.random_state = random_state
        self.tail = tail
        self.features = features

    def fit(self, X: Any, y: Any = None, *, groups: Any = None) -> Self:
        """Learn from a data frame or array X (n, columns), or from images.

        `y` (n,): 0 or `normal`'s name for normal rows, -1 or missing for unlabelled ones, anything else names an
        anomaly class; no y means all rows are taken for normal, and images for what their folders say. `groups` (n,):
        which kind of normal a row belongs to.
        """
        table = looked_at(X, self.features)
        if isinstance(table, Maps) and y is None:
            y = table.labels
        codes, names = encode_labels(y, rows=len(table), normal=self.normal)
        group, kinds = encode_groups(groups, rows=len(table))
        check_normals(codes)
        whole = self.schema_for(table, codes)
        learning, told = self.learning(whole), Told(table, codes, group)
        folds = self.held_out(codes, group, np.random.default_rng(learning.seed), images=isinstance(table, Maps))
        # Folds start from one seed: the more alike their scorers, the less cautious the p-values need to be.
        members = tuple(learning.trained(whole, told, held) for held in folds)
        self.schema_ = whole
        self.classes_, self.groups_ = names, kinds
        self.training_ = (table, y)
        return self.assemble(members)

    @property
    def partial_fit(self) -> Callable[..., Self]:
        """`learn_on`, of a method that offers `update`; else Unsupported, so that `hasattr` tells."""
        if not hasattr(self.chosen(), "update"):
            able = ", ".join(name for name, method in methods.METHODS.items() if hasattr(method, "update"))
            raise Unsupported(
                f"{type(self.chosen()).__name__} does not learn on from new rows; methods that do: {able}. Take one of "
                "them, or fit anew on all rows"
            )
        return self.learn_on

    def learn_on(self, X: Any, y: Any = None, *, groups: Any = None) -> Self:
        """Learn on from new rows (n, columns), without the old ones: the first call is `fit`, later ones update.

        Columns keep the meaning that the first call gave them; classes and groups keep their codes, and new names are
        added. p-values are renewed on new normal rows held out: they hold for normal rows like those of this call.
        """
        if not hasattr(self, "members_"):
            return self.fit(X, y, groups=groups)
        table = self.admitted(X)
        codes, names = encode_labels(y, rows=len(table), normal=self.normal, known=self.classes_)
        group, kinds = encode_groups(groups, rows=len(table), known=self.groups_)
        self.schema_.encode(take(table, np.arange(1)))  # refuses other columns
        check_normals(codes)
        learning, told = self.learning(self.schema_), Told(table, codes, group)
        folds = self.held_out(codes, group, np.random.default_rng(learning.seed), parts=len(self.members_))
        if len(folds) < len(self.members_):
            raise DataError(
                f"this detector was trained in {len(self.members_)} folds, and {len(folds)} normal rows cannot be cut "
                "in as many: give more normal rows at a time"
            )
        each = zip(self.members_, folds, strict=True)
        members = tuple(learning.updated(member, told, held) for member, held in each)
        self.classes_, self.groups_ = names, kinds
        self.training_ = (table, y)
        return self.assemble(members)

    def adapt(self, X_normal: Any, y: Any = None) -> Detector:
        """A new detector for a kind of normal that this one has never seen, from a few normal rows of it (m, columns).

        Nothing is trained anew, and this detector stays as it is. The rows calibrate, too, each scored by what adapted
        on the others, so no p-value is below 1 / (m + 1). `y` (m,), as in `fit`, where some rows are no normal ones.
        """
        self.check_fitted()
        adaptable(self.chosen())  # says now which methods can
        table = self.admitted(X_normal)
        codes, names = encode_labels(y, rows=len(table), normal=self.normal, known=self.classes_)
        calibrating = calibrators(codes)
        if len(calibrating) < LEAST:
            raise DataError(
                f"adapt was given {len(calibrating)} normal rows of {len(table)}, and needs at least {LEAST}, better "
                "20: each is scored by what adapted on the others, and m of them give no p-value below 1/(m + 1)"
            )
        told = Told(table, codes, np.zeros_like(codes))
        new: Detector = clone(self)
        new.schema_, new.classes_, new.groups_ = self.schema_, names, self.groups_
        new.training_ = (table, y)
        return new.assemble((self.learning(self.schema_).adapted(self.members_[0], told, calibrating),))

    def assemble(self, members: tuple[Member, ...]) -> Self:
        """Take over trained members; what a fit ends with, and the loading of a saved detector consists of."""
        self.members_ = members
        self.n_features_in_ = len(self.schema_.inputs)
        scores = [member.calibration for member in members]
        count = sum(map(len, scores))
        tail = self.tail and enough(count)
        self.conformal_ = (
            Conformal.fit(scores[0], tail=tail) if len(scores) == 1 else Conformal.across(scores, tail=tail)
        )
        self.offset_ = -self.conformal_.threshold(max(0.05, 1 / (count + 1)))
        return self

    def anomaly_score(self, X: Any) -> NDArray[np.float64]:
        """How anomalous each row is, higher = worse: (n,). Everything else derives from it."""
        self.check_fitted()
        table = self.admitted(X)
        if len(table) == 0:
            raise DataError(f"Found array with 0 sample(s) (shape={table.shape}) while a minimum of 1 is required.")
        each = [member.scores(table, self.torch_device()) for member in self.members_]
        return each[0] if len(each) == 1 else outranked([m.calibration for m in self.members_], each)

    def heat(self, X: Any) -> list[NDArray[np.float32]]:
        """How anomalous each place of an image is, higher = worse: of every image a map of its size (height, width).

        For images, by a method that looks at cells, as the default does. Members are averaged. Maps have a scale of
        their own, the same for all images: see `heat_threshold`.
        """
        self.check_fitted()
        table = self.admitted(X)
        if not isinstance(table, Maps) or not isinstance(self.schema_, Pictures):
            raise Unsupported("heat maps are for images: fit on Images.read(folder), and ask for the heat of images")
        each = [member.heat(table, self.torch_device()) for member in self.members_]
        return self.schema_.on_images(np.mean(each, axis=0), table.sizes)

    def heat_threshold(self, alpha: float = 0.05) -> float:
        """The heat that the hottest cell of an image of a good part exceeds with a chance of about alpha."""
        check_level("alpha", alpha)
        peaks = [member.peaks for member in self.members_ if member.peaks is not None]
        if not peaks:
            raise Unsupported("there is no heat map: this detector judges no single cells of images")
        return float(np.mean([np.quantile(found, 1 - alpha, method="higher") for found in peaks]))

    def heat_range(self, alpha: float = 0.05) -> tuple[float, float, float]:
        """Low, threshold and top of a scale for all heat maps: the usual peak of a good part, and thrice as far beyond.

        `threshold` is `heat_threshold`, and always above `low`; where all peaks are alike, by a hundredth.
        """
        threshold = self.heat_threshold(alpha)
        peaks = [member.peaks for member in self.members_ if member.peaks is not None]
        above = threshold - float(np.mean([np.median(found) for found in peaks]))
        step = above if above > 0 else max(abs(threshold), 1e-6) / 100
        return threshold - step, threshold, threshold + 3 * step

    def pvalue(self, X: Any) -> NDArray[np.float64]:
        """Chance that a normal row scores at least as high: (n,), conformal, at least 1 / (m + 1) without `tail`."""
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
        finest = self.conformal_of().finest
        if level < finest:
            warnings.warn(
                f"level {level} asked for, but with {len(self.conformal_.scores)} calibration normals no p-value is "
                f"below {finest:.2g}: nothing can be flagged. Train on more normals, ask for {finest:.2g} or more, "
                "or let a model go on where the normals end (tail=True)",
                FewNormals,
                stacklevel=3,
            )
        return level if alpha is not None else benjamini_hochberg(pvalues, level, counts)

    @property
    def audit_(self) -> Any:
        """`audit` of the rows that `fit` was given, which stay with the detector until it is pickled or saved."""
        self.check_fitted()
        if not hasattr(self, "training_"):
            raise Unsupported("the training rows are not kept with a saved detector: call audit(X, y) with them")
        return self.audit(*self.training_)

    def audit(self, X: Any, y: Any = None) -> Any:
        """Which training rows that were taken for normal look least like it: a table, lowest weight first.

        X, y: what `fit` was given. `row` counts from 0; `weight` is 1 up to a `score` of 1, and 1 / score beyond.
        """
        self.check_fitted()
        table = self.admitted(X)
        if isinstance(table, Maps) and y is None:
            y = table.labels
        codes, _ = encode_labels(y, rows=len(table), normal=self.normal)

        def score(member: Member, rows: Rows) -> NDArray[np.float64]:
            return member.scores(take(table, rows), self.torch_device())

        return audited(self.members_, codes, self.normal, score)

    def __getstate__(self) -> Any:
        """All but the training rows."""
        return {key: value for key, value in super().__getstate__().items() if key != "training_"}

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

    def held_out(
        self,
        codes: NDArray[np.int64],
        group: NDArray[np.int64],
        rng: np.random.Generator,
        *,
        parts: int | None = None,
        images: bool = False,
    ) -> list[Rows]:
        """Row numbers of the calibration normals: one array for a split, K for K folds; `parts` says which it is."""
        normals = calibrators(codes)
        asked = self.calibration
        if asked is None:
            split = len(normals) >= (ENOUGH_IMAGES if images else ENOUGH) if parts is None else parts == 1
            asked = 0.2 if split else FOLDS
        if isinstance(asked, float):
            check_level("calibration", asked)
            return [hold_out(normals, group, asked, rng)]
        if asked < 2:
            raise DataError(f"calibration must be a share between 0 and 1 or a number of folds >= 2, got {asked}")
        folds = min(asked, len(normals))
        part = spread(group[normals], folds, rng)
        return [normals[part == k] for k in range(folds)]

    def chosen(self, schema: Schema | Pictures | None = None) -> Method:
        """The method that learns: for images one that takes them, a method for rows on their patches."""
        method: Method | None = self.method
        if isinstance(schema or getattr(self, "schema_", None), Pictures):
            return methods.IMAGE_DEFAULT if method is None else methods.for_images(method)
        return methods.DEFAULT if method is None else method

    def admitted(self, X: Any) -> Any:
        """Maps of images, seen as those of training; of anything else a table or a matrix."""
        schema = getattr(self, "schema_", None)
        if isinstance(schema, Schema) and isinstance(X, Images | Maps):
            raise DataError("this detector was trained on a table: expected rows with its columns, got images")
        return looked_at(X, schema.features if isinstance(schema, Pictures) else self.features)

    def schema_for(self, table: Any, codes: NDArray[np.int64]) -> Schema | Pictures:
        """What the columns mean, or how images are seen."""
        if isinstance(table, Maps):
            d, h, w = table.x.shape[1:]
            return Pictures(table.features, (d, h, w))
        with one_thread():
            return Schema.infer(table, normals=codes <= 0, kinds=self.kinds)

    def learning(self, schema: Schema | Pictures) -> Learning:
        """How members come about in this call, from a seed of its own."""
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        method = self.chosen(schema)
        if isinstance(schema, Schema) and methods.takes_images(method):
            raise DataError(
                f"{type(method).__name__} is a method for images, and was given a table: give it Images.read(folder), "
                "or take a method for rows"
            )
        return Learning(method, self.torch_device(), seed)

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


def looked_at(X: Any, features: Features | None) -> Any:
    """Maps of images; of anything else a table or a matrix."""
    if isinstance(X, Images):
        return Maps.of(X, features)
    return X if isinstance(X, Maps) else admit(X)


def enough(count: int) -> bool:
    """Whether so many calibration normals tell how scores go on beyond the highest; warns where they do not."""
    if count < ROWS:
        warnings.warn(
            f"{count} calibration normals (fewer than {ROWS}) do not show how scores go on beyond them: p-values end "
            f"at {1 / (count + 1):.2g} as without tail; add normal rows",
            FewNormals,
            stacklevel=3,
        )
    return count >= ROWS
