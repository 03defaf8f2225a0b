"""Detector: the one estimator. Any method in; scores, p-values and verdicts out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.utils import check_random_state

from unseen import fields as ranges
from unseen import methods
from unseen.data.labels import LEAST, calibrators, check_normals, doubt, encode_groups, encode_labels
from unseen.data.schema import Schema
from unseen.data.split import Rows, take
from unseen.data.tables import named_in_text
from unseen.detector.adapt import adaptable
from unseen.detector.audit import audited
from unseen.detector.conformal import ROWS, Conformal, benjamini_hochberg, check_level, held_out, outranked
from unseen.detector.devices import device_of
from unseen.detector.heat import HeatMaps
from unseen.detector.inputs import admitted, refuse, schema_of, standing
from unseen.detector.members import Learning, Member, Told
from unseen.detector.settings import method_of, parameters, with_parameters
from unseen.errors import DataError, FewNormals, NotFitted, Unsupported
from unseen.evaluation.metrics import separation
from unseen.types import Method
from unseen.vision.encoder import Maps, Pictures
from unseen.vision.features import Features
from unseen.wording import option

log = logging.getLogger("unseen")
FLAGGED = 0.05  # the largest p-value of an outlier to `predict`, which scikit-learn gives no level


class Detector(HeatMaps, OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Learns from normal rows and, if there are any, labelled anomalies; scores how anomalous new rows are.

    `method`: what learns, an object or its name; None: the evidence stack, or the image stack. `normal`: the label of
    normal rows, as y has it. `kinds`: column name -> 'number', 'boolean', 'category' or 'text', where the inferred kind
    is wrong. `calibration`: share of normals held out for p-values (float), or number of folds of a cross-conformal
    predictor (int); None takes a fifth from 1,000 normals on, and 5 folds below. `device`: 'cpu', 'cuda', 'cuda:1',
    'auto', or a `torch.device`. `random_state`: same seed, same scores. `tail`:
    p-values below 1 / (m + 1), by a model of how the scores of normals go on beyond the highest of m held-out ones.
    `features`: how images are seen, where `fit` is given some (`Images.read`). `repeats`: of training rows that occur
    more than once, "keep" counts each and "once" one; None counts copies once, and rows that by their nature come again
    each time.

    >>> rng = np.random.default_rng(0)
    >>> X = np.r_[rng.normal(size=(200, 3)), rng.normal(3.0, 1.0, size=(10, 3))]
    >>> detector = Detector(methods.Mahalanobis(), random_state=0).fit(X, ["normal"] * 200 + ["leak"] * 10)
    >>> detector.detect([[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]], alpha=0.01)
    array([False,  True])
    """

    def __init__(
        self,
        method: Method | str | None = None,
        *,
        normal: str | float = "normal",
        kinds: Mapping[str, str] | None = None,
        calibration: float | int | None = None,
        device: str | torch.device = "cpu",
        random_state: int | np.random.RandomState | None = None,
        tail: bool = False,
        features: Features | None = None,
        repeats: Literal["keep", "once"] | None = None,
    ) -> None:
        self.method = method
        self.normal = normal
        self.kinds = kinds
        self.calibration = calibration
        self.device = device
        self.random_state = random_state
        self.tail = tail
        self.features = features
        self.repeats = repeats

    def fit(self, X: Any, y: Any = None, *, groups: Any = None, **metadata: Any) -> Self:
        """Learn from a data frame or array X (n, columns), or from images.

        `y` (n,): 0 or `normal`'s name for normal rows, -1 or missing for unlabelled ones, anything else names an
        anomaly class; no y means all rows are taken for normal, and images for what their folders say. `groups` (n,):
        which kind of normal a row belongs to. There is no other metadata: `sample_weight` is refused.
        """
        refuse(metadata)
        self.chosen(), self.torch_device()  # refuse what nobody knows before rows are read
        if not isinstance(self.tail, bool | np.bool_):
            raise DataError(f"tail must be True or False, got {self.tail!r}")
        table = admitted(X, None, self.features, learns=True)
        if isinstance(table, Maps) and y is None:
            y = table.labels
        codes, names = encode_labels(y, rows=len(table), normal=self.normal)
        group, kinds = encode_groups(groups, rows=len(table))
        check_normals(codes, named_as(table))
        doubt(codes, names, y)
        whole = schema_of(table, codes, self.kinds)
        rows = self.counting(table, whole, codes)
        if isinstance(whole, Schema) and len(rows) < len(codes):
            whole = whole.counted(take(table, rows), normals=codes[rows] <= 0)
        learning, told = self.learning(whole), Told(table, codes, group, rows)
        rng, images = np.random.default_rng(learning.seed), isinstance(table, Maps)
        folds = held_out(codes[rows], group[rows], rng, asked=self.calibration, images=images)
        # Folds start from one seed: the more alike their scorers, the less cautious the p-values need to be.
        members = tuple(learning.trained(whole, told, rows[held]) for held in folds)
        self.schema_ = whole
        self.classes_, self.groups_ = names, kinds
        self.training_ = (table, y)
        self.name_features(None if isinstance(table, np.ndarray | Maps) or not named_in_text(X) else whole.inputs)
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

    def learn_on(self, X: Any, y: Any = None, *, groups: Any = None, **metadata: Any) -> Self:
        """Learn on from new rows (n, columns), without the old ones: the first call is `fit`, later ones update.

        Columns keep the meaning that the first call gave them; classes and groups keep their codes, and new names are
        added. p-values are renewed on new normal rows held out: they hold for normal rows like those of this call.
        """
        refuse(metadata)
        if not hasattr(self, "members_"):
            return self.fit(X, y, groups=groups)
        table = self.admitted(X)
        codes, names = encode_labels(y, rows=len(table), normal=self.normal, known=self.classes_)
        group, kinds = encode_groups(groups, rows=len(table), known=self.groups_)
        self.schema_.encode(take(table, np.arange(1)))  # refuses other columns
        check_normals(codes, named_as(table))
        rows = self.counting(table, self.schema_, codes)
        learning, told = self.learning(self.schema_), Told(table, codes, group, rows)
        rng = np.random.default_rng(learning.seed)
        folds = held_out(codes[rows], group[rows], rng, asked=self.calibration, parts=len(self.members_))
        if len(folds) < len(self.members_):
            raise DataError(
                f"this detector was trained in {len(self.members_)} folds, and {len(folds)} normal rows cannot be cut "
                "in as many: give more normal rows at a time"
            )
        each = zip(self.members_, folds, strict=True)
        members = tuple(learning.updated(member, told, rows[held]) for member, held in each)
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
        table = self.admitted(X_normal, learns=True)
        codes, names = encode_labels(y, rows=len(table), normal=self.normal, known=self.classes_)
        rows = self.counting(table, self.schema_, codes)
        calibrating = rows[calibrators(codes[rows])]
        if len(calibrating) < LEAST:
            raise DataError(
                f"adapt was given {len(calibrating)} normal rows of {len(table)}, and needs at least {LEAST}, better "
                "20: each is scored by what adapted on the others, and m of them give no p-value below 1/(m + 1)"
            )
        told = Told(table, codes, np.zeros_like(codes), rows)
        new: Detector = clone(self)
        new.schema_, new.classes_, new.groups_ = self.schema_, names, self.groups_
        new.training_ = (table, y)
        new.name_features(getattr(self, "feature_names_in_", None))
        member = self.learning(self.schema_).adapted(self.members_[0], told, calibrating)
        tell_far(member.calibration, self.members_[0].calibration)
        return new.assemble((member,))

    def name_features(self, names: Sequence[str] | None) -> None:
        """scikit-learn's `feature_names_in_`, which there is after data frames alone."""
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

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
        unprecedented = self.members_[0].unprecedented(table)  # what all members know, from the whole training table
        each = [member.scores(table, self.torch_device(), unprecedented) for member in self.members_]
        for found in each:
            check_finite(found, self.chosen())
        return each[0] if len(each) == 1 else outranked([m.calibration for m in self.members_], each)

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
                f"detect needs one policy: {option('alpha', 0.01)} (share of normals flagged) or {option('fdr', 0.1)} "
                "(share of false alarms)"
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
                f"or let a model go on where the normals end ({option('tail', True)})",
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
        table = self.admitted(X, learns=True)
        if isinstance(table, Maps) and y is None:
            y = table.labels
        codes, _ = encode_labels(y, rows=len(table), normal=self.normal)
        stands = standing(table, self.schema_, codes, self.repeats)

        def score(member: Member, rows: Rows) -> NDArray[np.float64]:
            return member.scores(take(table, rows), self.torch_device())

        return audited(self.members_, codes, str(self.normal), score, stands)

    def __getstate__(self) -> Any:
        """All but the training rows."""
        return {key: value for key, value in super().__getstate__().items() if key != "training_"}

    # scikit-learn's conventions, low = abnormal: signs flip here and nowhere else.
    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """scikit-learn's direction: the lower, the more abnormal (n,)."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """scikit-learn's: negative for rows with a p-value of at most 0.05, and for no others (n,)."""
        scores = self.anomaly_score(X)
        distance = -scores - self.offset_
        flagged = self.conformal_.pvalue(scores) <= FLAGGED
        return np.where(flagged, np.minimum(distance, -np.finfo(np.float64).tiny), np.maximum(distance, 0.0))

    def predict(self, X: Any) -> NDArray[np.int64]:
        """scikit-learn's: -1 for rows with a p-value of at most 0.05, else 1 (n,)."""
        return np.where(self.pvalue(X) <= FLAGGED, -1, 1)

    def score(self, X: Any, y: Any = None) -> float:
        """Chance that an anomaly scores higher than a normal row (ROC AUC), of rows X with labels y as in `fit`.

        All anomaly classes count alike, and unlabelled rows not at all.
        """
        return separation(self.anomaly_score(X), y, self.normal)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; with `deep` also the method's fields, such as `method__margin`, and those inside them."""
        params: dict[str, Any] = super().get_params(deep=False)
        if deep and params["method"] is not None:
            try:
                method = method_of(params["method"])
            except DataError:  # which fit will say
                return params
            params |= {f"method__{name}": value for name, value in parameters(method).items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Change parameters; `method__margin=3` changes a field of the method, which there must be one of."""
        fields = {
            name.removeprefix("method__"): params.pop(name) for name in list(params) if name.startswith("method__")
        }
        super().set_params(**params)
        if fields and self.method is None:
            raise DataError(
                f"method is None, the default of what fit is given, so {next(iter(fields))!r} is a field of none "
                f"yet: set the method too, for example method={next(iter(methods.METHODS))!r}"
            )
        if fields:
            self.method = with_parameters(method_of(self.method), fields)
        return self

    def chosen(self, schema: Schema | Pictures | None = None) -> Method:
        """The method that learns: for images one that takes them, a method for rows on their patches."""
        method = None if self.method is None else method_of(self.method)
        if isinstance(schema or getattr(self, "schema_", None), Pictures):
            return methods.IMAGE_DEFAULT if method is None else methods.for_images(method)
        return methods.DEFAULT if method is None else method

    def admitted(self, X: Any, *, learns: bool = False) -> Any:
        """Maps of images, seen as those of training; of anything else a table or a matrix."""
        return admitted(X, getattr(self, "schema_", None), self.features, learns=learns)

    def counting(self, table: Any, schema: Schema | Pictures, codes: NDArray[np.int64]) -> Rows:
        """Numbers of the rows that count: one of several copies (m,)."""
        stands = standing(table, schema, codes, self.repeats, tell=True)
        rows = np.flatnonzero(stands == np.arange(len(codes)))
        if len(rows) < len(codes):
            check_normals(codes[rows], named_as(table))
        return rows

    def learning(self, schema: Schema | Pictures) -> Learning:
        """How members come about in this call, from a seed of its own."""
        seed = self.drawn_seed()
        method = self.chosen(schema)
        ranges.check(method)
        if isinstance(schema, Schema) and methods.takes_images(method):
            raise DataError(
                f"{type(method).__name__} is a method for images, and was given a table: give it Images.read(folder), "
                "or take a method for rows"
            )
        return Learning(method, self.torch_device(), seed)

    def drawn_seed(self) -> int:
        try:
            return int(check_random_state(self.random_state).randint(2**31 - 1))
        except ValueError as error:
            raise DataError(
                f"{option('random_state')} must be a whole number from 0 to {2**32 - 1:,}, got {self.random_state!r}"
            ) from error

    def torch_device(self) -> torch.device:
        return device_of(self.device)

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


def scorer(estimator: Any, X: Any, y: Any = None) -> float:
    """For scikit-learn's `scoring=`: the chance that an anomaly scores higher than a normal row (ROC AUC).

    scoring="roc_auc" takes the higher `decision_function` for the class 1, where scikit-learn's own outlier detectors,
    too, are low for anomalies: with labels 0 and 1 it is upside down. This is not, whatever the labels: those of
    `Detector.fit`. It takes pipelines, searches, and scikit-learn's own outlier detectors with the same labels.

    >>> from sklearn.model_selection import cross_val_score
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(400, 3)), np.repeat(["normal", "leak"], [360, 40])
    >>> X[y == "leak"] += 9
    >>> mixed = rng.permutation(400)
    >>> cross_val_score(Detector("mahalanobis"), X[mixed], y[mixed], scoring=scorer, cv=3).tolist()
    [1.0, 1.0, 1.0]
    """
    found = [each for each in (estimator, *estimator.get_params().values()) if isinstance(each, Detector)]
    return separation(-estimator.score_samples(X), y, found[0].normal if found else "normal")


def check_finite(found: NDArray[np.float64], method: Method) -> None:
    """No p-value follows from a score that is no number."""
    bad = np.flatnonzero(~np.isfinite(found))
    if len(bad):
        raise DataError(
            f"{type(method).__name__} gave row {bad[0] + 1} the score {found[bad[0]]}, where a finite number is "
            f"expected, and {len(bad) - 1:,} other rows likewise: fit again, or take another method"
        )


def tell_far(calibration: NDArray[np.float64], before: NDArray[np.float64]) -> None:
    """Warn where rows to adapt to score higher than all normal rows did before: what adapts did not follow them."""
    if np.median(calibration) > before[-1]:
        log.warning(
            "most of these normal rows score higher, even by what adapted to them, than every row that calibrated the "
            "detector before: only anomalies that lie farther out still can be found. Check that these rows are normal "
            "and in the units of the training rows, or fit anew on rows of this kind"
        )


def named_as(table: Any) -> str:
    return "images" if isinstance(table, Maps) else "rows"


def enough(count: int) -> bool:
    """Whether so many calibration normals tell how scores go on beyond the highest; warns where they do not."""
    if count < ROWS:
        warnings.warn(
            f"{count} calibration normals (fewer than {ROWS}) do not show how scores go on beyond them: p-values end "
            f"at {1 / (count + 1):.2g} as without {option('tail', True)}; add normal rows",
            FewNormals,
            stacklevel=3,
        )
    return count >= ROWS
