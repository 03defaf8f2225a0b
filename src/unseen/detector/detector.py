"""Detector: the one estimator. Any method in; scores, p-values and verdicts out."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.utils import check_random_state

from unseen.data.labels import (
    LEAST,
    calibrators,
    check_normals,
    doubt,
    encode_groups,
    encode_labels,
)
from unseen.data.news import NotedOnce
from unseen.data.split import Rows, take
from unseen.data.tables import named_in_text
from unseen.detector import heat
from unseen.detector.adapt import tell_far
from unseen.detector.advice import advised
from unseen.detector.audit import audited
from unseen.detector.blindspots import SHARE, BlindSpots, blind_spots_of
from unseen.detector.blocks import encode_blocks
from unseen.detector.chance import UnseenChance, good_turing
from unseen.detector.checking import members_after, rows_to_check
from unseen.detector.conformal import ROWS, Conformal, out_of_reach, outranked
from unseen.detector.devices import device_of
from unseen.detector.domains import by_domain, conformal_of, pvalues_by_domain
from unseen.detector.drift import Drift, Monitor
from unseen.detector.explaining import Judge, Training, check_explained, explained
from unseen.detector.folds import few, held_out
from unseen.detector.inputs import (
    counting_rows,
    doubt_columns,
    encoder_of,
    noun_of,
    own_labels,
    refuse,
    to_learn_from,
)
from unseen.detector.kinds import KnownKinds
from unseen.detector.looks import compared_looks, with_looks
from unseen.detector.members import Learning, Member, TrainingData, scores_of_each
from unseen.detector.moves import smallest_moves_of
from unseen.detector.places import explained_images
from unseen.detector.policy import Policy
from unseen.detector.recalibrate import check_share, recalibrated, renewed
from unseen.detector.references import References, kept_rows, references
from unseen.detector.separation import separation
from unseen.detector.settings import adaptable, method_of, parameters, with_parameters
from unseen.detector.verdicts import Verdicts, judged_kinds, kinds_of
from unseen.errors import DataError, FewNormals, NotFitted, Unsupported
from unseen.explain.places import ImageReasons
from unseen.explain.reasons import Reasons
from unseen.fields import check_fields
from unseen.methods.catalogue import METHODS, suited
from unseen.types import Encoder, Method, ability
from unseen.vision.features import Features
from unseen.wording import option

FLAGGED = Policy.alpha(0.05)  # of `predict`, to which scikit-learn gives no level


class Detector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Learns from normal rows and, if there are any, labelled anomalies; scores how anomalous new
    rows are.

    Parameters
    ----------
    method : method or str, optional
        What learns: an object, its name, or the import path of your own, as "mypackage.mine:Mine".
        None: the evidence stack, or the image stack.
    normal : str or number
        The label of normal rows, as y has it.
    kinds : mapping of str to str, optional
        Column name -> 'number', 'boolean', 'category' or 'text', where the inferred kind is wrong.
    calibration : float or int, optional
        Share of normals held out for p-values (float), or number of folds of a cross-conformal
        predictor (int). None takes a fifth from 1,000 normals on, of images from 200 on. Below, the
        default methods train once, and each normal row is scored by parts that did not learn from
        it: p-values are then measured to hold, not proven to. Other methods make 5 folds.
    device : str or torch.device
        'cpu', 'cuda', 'cuda:1', or 'auto'.
    random_state : int, optional
        Same seed, same scores.
    tail : bool
        p-values below 1 / (m + 1), by a model of how scores of normals go on beyond the highest of
        m held-out ones.
    features : Features, optional
        How images are seen, where `fit` is given some (`Images.read`).
    repeats : {"keep", "once"}, optional
        Of training rows that occur more than once, "keep" counts each and "once" one. None counts
        copies once, and rows that by their nature come again each time.

    >>> rng = np.random.default_rng(0)
    >>> X = np.r_[rng.normal(size=(200, 3)), rng.normal(3.0, 1.0, size=(10, 3))]
    >>> detector = Detector("mahalanobis", random_state=0).fit(X, ["normal"] * 200 + ["leak"] * 10)
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

    def fit(
        self, X: Any, y: Any = None, *, groups: Any = None, blocks: Any = None, **metadata: Any
    ) -> Self:
        """Learn from a data frame or array X (n, columns), or from images.

        Parameters
        ----------
        X : data frame, array (n, columns), Images or Maps
            Rows or images to learn from.
        y : sequence (n,), optional
            0 or `normal`'s name for normal rows, -1 or missing for unlabelled ones, anything else
            names an anomaly class. No y means all rows are taken for normal, and images for what
            their folders say.
        groups : sequence (n,), optional
            The domain of each row.
        blocks : sequence (n,) or int, optional
            What rows come from together, such as a run, a day or a machine; or into how many parts
            to cut the rows as they lie. p-values are then for rows of a block that training did not
            see: whole blocks are held out in up to 5 folds, and `calibration` must be None.
        **metadata
            What scikit-learn may pass beside these, such as sample_weight: is refused.

        Returns
        -------
        Detector
            Itself.

        Raises
        ------
        DataError
            For rows, labels and settings that nothing can be learned from, and for other metadata.
        Unsupported
            Where torch does not find the device, or an extra that images need is not installed.
        """
        refuse(metadata)
        self._check_settings()
        rows = to_learn_from(X, self.features)
        y = own_labels(rows) if y is None else y
        codes, names = encode_labels(y, rows=len(rows), normal=self.normal)
        group, domains = encode_groups(groups, rows=len(rows))
        block = encode_blocks(blocks, rows=len(rows))
        check_normals(codes, noun_of(rows))
        doubt(codes, names, y)
        doubt_columns(rows, codes)
        encoder = encoder_of(rows, codes <= 0, self.kinds)
        counts = self._counting(rows, encoder, codes)
        if len(counts) < len(codes):
            encoder = encoder.counted(take(rows, counts), normals=codes[counts] <= 0)
        learning, training = self._learning(encoder), TrainingData(rows, codes, group, counts)
        members = self._members(learning, encoder, training, block)
        if groups is not None:
            members = tuple(replace(each, group=group[each.held_out]) for each in members)
        self.schema_ = encoder
        self.classes_, self.groups_ = names, domains
        self.blocks_ = 0 if block is None else len(np.unique(block[members[0].held_out]))
        self.training_ = (rows, y)
        self.references_ = self._staying(members, rows, codes, counts, learning.seed)
        self.name_features(
            encoder.inputs if isinstance(rows, pa.Table) and named_in_text(X) else None
        )
        return self.assemble(members)

    @property
    def partial_fit(self) -> Callable[..., Self]:
        """Learn on from new rows, without the old ones: the first call is `fit`, later ones update.

        Columns keep the meaning that the first call gave them; classes and groups keep their codes,
        and new names are added. p-values are renewed on new normal rows held out: they hold for
        normal rows like those of this call.

        Parameters
        ----------
        X : data frame, array (n, columns), Images or Maps
            Rows or images to learn from.
        y, groups : sequence (n,), optional
            Labels and domains, as in `fit`.
        **metadata
            Is refused, as in `fit`.

        Returns
        -------
        Detector
            Itself.

        Raises
        ------
        Unsupported
            By this very name, so that `hasattr` tells, for a method that does not offer `update`.
        DataError
            For other columns than those of the first call, labels that nothing can be learned from,
            fewer normal rows than the detector has folds, and other metadata.
        """
        if ability(self.chosen(), "update") is None:
            able = ", ".join(name for name, method in METHODS.items() if ability(method, "update"))
            raise Unsupported(
                f"{type(self.chosen()).__name__} does not learn on from new rows; methods that "
                f"do: {able}. Take one of them, or fit anew on all rows"
            )
        return self._learn_on

    def _learn_on(self, X: Any, y: Any = None, *, groups: Any = None, **metadata: Any) -> Self:
        refuse(metadata)
        if not hasattr(self, "members_"):
            return self.fit(X, y, groups=groups)
        if getattr(self, "blocks_", 0):
            raise Unsupported(
                "this detector is calibrated by blocks, and new rows alone do not tell how blocks "
                "differ: fit anew on old and new rows together, with their blocks"
            )
        rows = self.schema_.admit(X)
        codes, names = encode_labels(y, rows=len(rows), normal=self.normal, known=self.classes_)
        group, domains = encode_groups(groups, rows=len(rows), known=self.groups_)
        self.schema_.encode(take(rows, np.arange(1)))  # refuses other columns
        check_normals(codes, self.schema_.noun)
        counts = self._counting(rows, self.schema_, codes)
        learning, training = self._learning(self.schema_), TrainingData(rows, codes, group, counts)
        rng, parts = np.random.default_rng(learning.seed), len(self.members_)
        folds = held_out(
            codes[counts], group[counts], rng, calibration=self.calibration, parts=parts
        )
        if len(folds) < parts:
            raise DataError(
                f"this detector was trained in {parts} folds, and {len(folds)} normal rows cannot "
                "be cut in as many: give more normal rows at a time"
            )
        each = zip(self.members_, folds, strict=True)
        members = tuple(
            learning.updated(member, training, counts[held_rows]) for member, held_rows in each
        )
        if groups is not None:
            members = tuple(replace(each, group=group[each.held_out]) for each in members)
        self.classes_, self.groups_ = names, domains
        self.training_ = (rows, y)
        self.references_ = self._staying(members, rows, codes, counts, learning.seed)
        return self.assemble(members)

    def adapt(self, X_normal: Any, y: Any = None) -> Detector:
        """A new detector for a domain that this one has never seen, from a few normal rows of it.

        Nothing is trained anew, and this detector stays as it is. The rows calibrate, too, each
        scored by what adapted on the others, so no p-value is below 1 / (m + 1).

        Parameters
        ----------
        X_normal : data frame, array (m, columns), Images or Maps
            Normal rows or images of the domain, at least 2, better 20.
        y : sequence (m,), optional
            Labels, as in `fit`, where some rows are no normal ones.

        Returns
        -------
        Detector
            A new one.

        Raises
        ------
        NotFitted
            Before `fit`.
        Unsupported
            For a method that cannot adapt; the message names those that can.
        DataError
            For fewer than 2 normal rows, and for rows of another sort than those of training.
        """
        self.check_fitted()
        adaptable(self.chosen())  # says now which methods can
        rows = self.schema_.admit(X_normal, learns=True)
        codes, names = encode_labels(y, rows=len(rows), normal=self.normal, known=self.classes_)
        counts = self._counting(rows, self.schema_, codes)
        calibrating = counts[calibrators(codes[counts])]
        if len(calibrating) < LEAST:
            raise DataError(
                f"adapt was given {len(calibrating)} normal {self.schema_.noun} of {len(rows)}, "
                f"and needs at least {LEAST}, better 20: each is scored by "
                "what adapted on the others, and m of them give no p-value below 1/(m + 1); add "
                f"normal {self.schema_.noun}"
            )
        training = TrainingData(rows, codes, np.zeros_like(codes), counts)
        new: Detector = clone(self)
        new.schema_, new.classes_, new.groups_ = self.schema_, names, self.groups_
        new.training_ = (rows, y)
        new.name_features(getattr(self, "feature_names_in_", None))
        learning = self._learning(self.schema_)
        member = learning.adapted(self.members_[0], training, calibrating)
        new.references_ = new._staying((member,), rows, codes, counts, learning.seed)
        tell_far(member.calibration, self.members_[0].calibration)
        return new.assemble((member,))

    def recalibrate(self, X_recent: Any, y: Any = None, *, anomalies: float = 0.0) -> Detector:
        """A new detector with p-values that hold for rows as they come now; nothing is trained.

        This detector stays as it is. Of the recent rows that score highest those are left out which
        the others do not account for, at most the share `anomalies`.

        Parameters
        ----------
        X_recent : data frame, array (m, columns), Images or Maps
            Rows or images taken for normal, at least 20, better 1,000.
        y : sequence (m,), optional
            Labels, as in `fit`, where some rows are known to be no normal ones.
        anomalies : float
            The share of anomalies that may be among them, from 0 to 0.2.

        Returns
        -------
        Detector
            A new one. Its normal `references_` are recent rows, and `audit_` has nothing to say.

        Raises
        ------
        NotFitted
            Before `fit`.
        DataError
            For fewer than 20 rows, a share that is none, and for rows of another sort than those of
            training.

        >>> rng = np.random.default_rng(0)
        >>> old = Detector("mahalanobis", random_state=0).fit(rng.normal(size=(2000, 3)))
        >>> new = old.recalibrate(1.5 * rng.normal(size=(1000, 3)))
        >>> fresh = 1.5 * rng.normal(size=(1000, 3))
        >>> [round(float(detector.detect(fresh, alpha=0.05).mean()), 1) for detector in (old, new)]
        [0.3, 0.0]
        """
        self.check_fitted()
        check_share(anomalies)
        rows = self.schema_.admit(X_recent)
        codes, names = encode_labels(y, rows=len(rows), normal=self.normal, known=self.classes_)
        counts = self._counting(rows, self.schema_, codes)
        calibrating = counts[calibrators(codes[counts])]
        seed = self._learning(self.schema_).seed
        rng, device = np.random.default_rng(seed), self.torch_device()
        members = recalibrated(self.members_, rows, calibrating, anomalies, device, rng)
        new: Detector = clone(self)
        new.schema_, new.classes_, new.groups_ = self.schema_, names, self.groups_
        new.name_features(getattr(self, "feature_names_in_", None))
        taken = np.concatenate([member.held_out for member in members])
        recent = new._staying(members, rows, np.zeros_like(codes), taken, seed)
        new.references_ = renewed(getattr(self, "references_", None), recent)
        return new.assemble(members)

    def drift(self, X: Any, *, level: float = 0.01, anomalies: float = 0.05) -> Drift:
        """Whether rows that look normal still come as in training, what moved, and since when.

        Parameters
        ----------
        X : data frame, array (n, columns), Images or Maps
            Rows or images in the order in which they came. Batches of a longer stream go to
            `monitor`.
        level : float
            The chance of an alarm without drift, at most.
        anomalies : float
            The share of anomalies that may be among them: more rows far out are drift, too.

        Returns
        -------
        Drift
            Its `drifted` is the verdict, and `in_words()` are sentences.

        Raises
        ------
        NotFitted
            Before `fit`.
        DataError
            For no rows, rows of another sort than those of training, fewer than 20 calibration
            rows, and a level or a share that is none.
        Unsupported
            For a table, by a detector that an earlier release saved without training rows.

        >>> rng = np.random.default_rng(0)
        >>> detector = Detector("mahalanobis", random_state=0).fit(rng.normal(size=(2000, 3)))
        >>> stream = rng.normal(size=(3000, 3))
        >>> detector.drift(stream).drifted
        False
        >>> stream[2000:, 1] += 1.5
        >>> found = detector.drift(stream)
        >>> found.drifted, [shift.column for shift in found.moved], abs(found.since - 2001) < 50
        (True, ['x1'], True)
        """
        monitor = self.monitor(level=level, anomalies=anomalies)
        monitor.see(X)
        return monitor.report()

    def monitor(self, *, level: float = 0.01, anomalies: float = 0.05) -> Monitor:
        """What watches a stream that comes in batches, by `see(batch)` and `report()`.

        Parameters
        ----------
        level : float
            The chance of an alarm without drift, at most, over the whole stream.
        anomalies : float
            As in `drift`.

        Returns
        -------
        Monitor
            One that has seen nothing yet; its memory does not grow with what it sees.

        Raises
        ------
        NotFitted, DataError, Unsupported
            As in `drift`.
        """
        self.check_fitted()
        shown = getattr(self, "references_", None)
        device = self.torch_device()
        return Monitor(self.members_[0], self.schema_, shown, device, level, anomalies)

    def name_features(self, names: Sequence[str] | None) -> None:
        """scikit-learn's `feature_names_in_`, which there is after data frames alone.

        Parameters
        ----------
        names : sequence of str or None
            Names of the columns; None takes the attribute away.
        """
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def assemble(self, members: tuple[Member, ...]) -> Self:
        """Take over trained members; what a fit ends with, and the loading of a saved detector
        consists of.

        Parameters
        ----------
        members : tuple of Member
            One for each fold, or a single one; `schema_` must be there already.

        Returns
        -------
        Detector
            Itself.
        """
        self.members_ = members
        self.n_features_in_ = len(self.schema_.inputs)
        scores = [member.calibration for member in members]
        count = sum(map(len, scores))
        tail = self.tail and _enough(count)
        self.conformal_ = (
            Conformal.fit(scores[0], tail=tail)
            if len(scores) == 1
            else Conformal.across(scores, tail=tail)
        )
        self.offset_ = -self.conformal_.threshold(max(FLAGGED.level, 1 / (count + 1)))
        return self

    def anomaly_score(self, X: Any, *, once: NotedOnce | None = None) -> NDArray[np.float64]:
        """How anomalous each row is. Everything else derives from it.

        Parameters
        ----------
        X : data frame, array (n, columns), Images or Maps
            Rows or images like those of training.
        once : NotedOnce, optional
            What was said already of earlier batches of the same rows, and is not said again.

        Returns
        -------
        array
            Scores (n,), higher = worse.

        Raises
        ------
        NotFitted
            Before `fit`.
        DataError
            For no rows, rows of another sort than those of training, and scores that are not
            finite.
        """
        return self._combined(self._scores_of_each(X, once or NotedOnce()))

    def _scores_of_each(self, X: Any, once: NotedOnce) -> list[NDArray[np.float64]]:
        """Finite scores of rows by each member, (n,) each."""
        self.check_fitted()
        each = scores_of_each(self.members_, X, self.torch_device(), once)
        for found in each:
            _check_finite(found, self.chosen())
        return each

    def _combined(self, each: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        """One score of each row: (n,)."""
        return (
            each[0] if len(each) == 1 else outranked([m.calibration for m in self.members_], each)
        )

    def pvalue(self, X: Any, *, groups: Any = None) -> NDArray[np.float64]:
        """Chance that a normal row scores at least as high.

        Parameters
        ----------
        X : data frame, array (n, columns), Images or Maps
            Rows or images like those of training.
        groups : sequence (n,), optional
            The domain of each row: a row is then judged beside calibration normals of its own
            domain. Rows of one that training did not show, or with fewer than 19 of them, are
            judged beside all, which is logged.

        Returns
        -------
        array
            Conformal p-values (n,), at least 1 / (m + 1) without `tail`.

        Raises
        ------
        NotFitted
            Before `fit`.
        DataError
            For no rows, rows of another sort than those of training, scores that are not finite,
            and groups that do not name the domain of each row.
        Unsupported
            For groups where `fit` was given none, or an earlier release saved the detector.

        >>> rng = np.random.default_rng(0)
        >>> X, line = np.r_[rng.normal(size=300), rng.normal(0, 9, 300)][:, None], ["a", "b"] * 300
        >>> detector = Detector("mahalanobis", random_state=0).fit(X, groups=sorted(line))
        >>> detector.pvalue([[8.0], [8.0]], groups=["a", "b"]).round(1)
        array([0. , 0.4])
        """
        return self.judged(X, groups=groups, once=NotedOnce())[1]

    def judged(
        self, X: Any, *, groups: Any = None, once: NotedOnce
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores and p-values of rows.

        Parameters
        ----------
        X, groups
            As in `pvalue`.
        once : NotedOnce
            What was said already of earlier batches of the same rows, and is not said again.

        Returns
        -------
        array, array
            Scores and p-values (n,).

        Raises
        ------
        NotFitted, DataError, Unsupported
            As in `pvalue`.
        """
        each = self._scores_of_each(X, once)
        scores = self._combined(each)
        pvalues = self.conformal_.pvalue(scores)
        if groups is not None:
            pvalues = pvalues_by_domain(
                self.members_, self.groups_, each, groups, pvalues, tail=self.tail, once=once
            )
        return scores, pvalues

    def detect(
        self,
        X: Any,
        *,
        alpha: float | None = None,
        fdr: float | None = None,
        policy: Policy | None = None,
        groups: Any = None,
    ) -> NDArray[np.bool_]:
        """Which rows to raise an alarm for. Give one of three; none needs a refit.

        Parameters
        ----------
        X : data frame, array (n, columns), Images or Maps
            Rows or images like those of training.
        alpha : float, optional
            The share of normal rows that may be flagged.
        fdr : float, optional
            The share of the alarms, among these rows, that may be false (Benjamini-Hochberg).
        policy : Policy, optional
            Any policy, such as `Policy.per_day(20, traffic=100_000)` or `Policy.cost(50, 1)`.
        groups : sequence (n,), optional
            The domain of each row, as in `pvalue`.

        Returns
        -------
        array
            Whether each row is an alarm (n,), bool.

        Raises
        ------
        NotFitted
            Before `fit`.
        DataError
            Unless exactly one policy is given, with a share between 0 and 1, exclusive; for rows,
            as in `pvalue`.
        Unsupported
            For groups, as in `pvalue`.
        """
        policy = Policy.of(alpha, fdr, policy)
        pvalues = self.pvalue(X, groups=groups)
        self.check_reach(policy)
        return pvalues <= policy.threshold(pvalues)

    def check_reach(self, policy: Policy) -> None:
        """Warn (`FewNormals`) where no p-value can be as small as the policy asks for.

        Parameters
        ----------
        policy : Policy
            Which p-values are to raise an alarm.

        Raises
        ------
        NotFitted
            Before `fit`.
        """
        self.check_fitted()
        if (said := out_of_reach(policy, self.conformal_)) is not None:
            warnings.warn(said, FewNormals, stacklevel=3)

    def explain(
        self, X: Any, top: int = 3, *, alpha: float = 0.05, groups: Any = None
    ) -> list[Reasons] | list[ImageReasons]:
        """Why rows have their scores: which columns raise them, and what would make the rows
        unremarkable; of images, which places are hot, and what in training is most alike.

        Each row is compared with the normal row of training that is most alike, of those with p >
        alpha; or, where more than five columns would have to go back to that, with another near by
        to which at most five have to. A column's share is its Shapley value (Shapley 1953) by
        antithetic permutations (Mitchell et al. 2022): what its value adds to the score in place of
        that normal's, on average over orders in which the columns that matter take their values,
        all other columns first.

        Parameters
        ----------
        X : data frame, array (n, columns), Images or Maps
            Rows or images like those of training.
        top : int
            The most columns, or places, to name, 3 by default.
        alpha : float
            Rows with a p-value above it are unremarkable.
        groups : sequence (n,), optional
            The domain of each row, as in `pvalue`: its p-values are those of its own domain, and
            so are those of the normal rows that it may be compared with.

        Returns
        -------
        list of Reasons or of ImageReasons
            One for each row or image (n): see `unseen.explain.reasons.Reasons` and
            `unseen.explain.places.ImageReasons`. `str` of one is what a reader is told, `to_json`
            its plain values.

        Raises
        ------
        NotFitted
            Before `fit`.
        DataError
            For no rows, rows of another sort than those of training, and a number of columns, or a
            level, that is none.
        Unsupported
            For a detector that an earlier release saved; for groups, as in `pvalue`.

        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(200, 3)).round(1)
        >>> detector = Detector("mahalanobis", random_state=0).fit(X)
        >>> [why] = detector.explain([[0.0, 9.0, 0.5]])
        >>> why.columns[0].column, why.change.columns[0].column
        ('x1', 'x1')
        """
        self.check_fitted()
        check_explained(self.schema_, getattr(self, "references_", None))
        judge = Judge(
            self.members_,
            self.conformal_,
            self.torch_device(),
            [member.calibration for member in self.members_],
        )
        if groups is None:
            return self._explained(judge, X, top, alpha)
        rows = self.schema_.admit(X)
        found: dict[int, Any] = {}
        for own, parts in by_domain(self.members_, self.groups_, groups, len(rows), NotedOnce()):
            beside = judge
            if parts is not None:
                conformal = conformal_of(parts, tail=self.tail)
                beside = replace(judge, conformal=conformal, among=parts)
            places = np.flatnonzero(own)
            each = self._explained(beside, take(rows, places), top, alpha)
            found |= dict(zip(places.tolist(), each, strict=True))
        return [found[place] for place in range(len(rows))]

    def _explained(
        self, judge: Judge, X: Any, top: int, alpha: float
    ) -> list[Reasons] | list[ImageReasons]:
        """Reasons of rows that all are judged in one way."""
        known, names = kept_rows(self), [str(self.normal), *map(str, self.classes_)]
        if self.schema_.noun != "rows":
            return explained_images(judge, known, names, X, top=top, alpha=alpha)
        made_of, last = (known, *self.members_), getattr(self, "_beside", None)
        if last is None or list(map(id, last[0])) != list(map(id, made_of)):
            last = made_of, Training(self.members_, judge.device, known, names)
            self._beside = last  # serves the next rows, too
        return explained(judge, last[1], X, top=top, alpha=alpha)

    def verdict(self, X: Any, alpha: float = 0.05) -> Verdicts:
        """Which rows are normal, of a known kind, of a new one, or may be either; with evidence.

        An alarm is compared with the labelled anomalies that stay with the detector, by pieces of
        evidence that are weighed by how well they told each class from the others when it was held
        out. That is learned on the first call, by any method, in a few seconds.

        Parameters
        ----------
        X : data frame, array (n, columns), Images or Maps
            Rows or images like those of training. Images are compared by their hottest cells.
        alpha : float
            The share of normal rows that may be flagged.

        Returns
        -------
        Verdicts
            Kinds, p-values of normal and of each class, and novelty. Without labelled anomalies
            each alarm is of a new kind; where fewer than 3 of them have another one of their class
            it is unsure.

        Raises
        ------
        NotFitted
            Before `fit`.
        Unsupported
            For a detector that an earlier release saved.
        DataError
            For an alpha that is no such share; for rows, as in `anomaly_score`.

        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(220, 3))
        >>> X[200:210, 0] += 9  # leaks
        >>> X[210:, 1] += 9  # cracks
        >>> y = ["normal"] * 200 + ["leak"] * 10 + ["crack"] * 10
        >>> detector = Detector("mahalanobis", random_state=0).fit(X, y)
        >>> detector.verdict([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0], [0.0, 0.0, -9.0]]).kind.tolist()
        ['normal', 'leak', 'new kind']
        """
        policy = Policy.alpha(alpha)
        pvalue = self.pvalue(X)
        self.check_reach(policy)
        return self.kinds_of_rows(X, pvalue, pvalue <= policy.level)

    def kinds_of_rows(
        self, X: Any, pvalue: NDArray[np.float64], flagged: NDArray[np.bool_]
    ) -> Verdicts:
        """`verdict` on rows (n) whose p-values (n,) are known, and which of them are alarms
        (n,).
        """
        known = self.known_kinds()
        rows = self.schema_.admit(X)
        x = np.zeros((len(pvalue), 0), np.float32) if known is None else self.compared(rows)
        return judged_kinds(known, x, pvalue, flagged, tuple(self.classes_))

    def compared(self, rows: Any) -> NDArray[np.float32]:
        """Admitted rows (n) as they are compared with those that stay: (n, d)."""
        if self.schema_.noun == "rows":
            return self.schema_.encode(rows)
        return compared_looks(self.members_, kept_rows(self), rows, self.torch_device())

    def known_kinds(self) -> KnownKinds | None:
        """What labelled anomalies tell of the kinds of others, learned on the first call; None
        where none is labelled.
        """
        self.check_fitted()
        kept, known = kept_rows(self), getattr(self, "_known_kinds", None)
        if known is None or known[0] is not kept:  # not yet, or of an earlier fit
            self._known_kinds = known = (kept, kinds_of(self.schema_, kept))
        return known[1]

    def unseen_chance(self, level: float = 0.9) -> UnseenChance:
        """Chance that the next anomaly is of a kind without a label, from how many are labelled
        once.

        It holds where anomalies were labelled as they came, not where kinds were chosen. Rows that
        are copies count once. Of more labelled anomalies than stay with a detector (2,000, of wide
        rows fewer) it counts those that stay, which can only make the chance larger.

        Parameters
        ----------
        level : float
            How often the interval is to hold the chance.

        Returns
        -------
        UnseenChance
            Estimate and interval.

        Raises
        ------
        NotFitted
            Before `fit`.
        Unsupported
            For a detector that an earlier release saved.
        DataError
            Where no anomaly is labelled, and for a level that is no share between 0 and 1.
        """
        self.check_fitted()
        codes = kept_rows(self).codes
        return good_turing(np.unique(codes[codes > 0], return_counts=True)[1], level)

    def heat(self, X: Any) -> list[NDArray[np.float32]]:
        """How anomalous each place of an image is.

        For images, by a method that looks at cells, as the default does. Members are averaged. Maps
        have a scale of their own, the same for all images: see `heat_threshold`.

        Parameters
        ----------
        X : Images or Maps
            Images like those of training.

        Returns
        -------
        list of array
            Of every image a map of its size (height, width), higher = worse.

        Raises
        ------
        NotFitted
            Before `fit`.
        Unsupported
            For rows of a table, and by a method that judges images as a whole.
        DataError
            For anything but images, and for maps of another backbone.
        """
        self.check_fitted()
        return heat.heat_maps(
            self.members_, self.schema_, self.schema_.admit(X), self.torch_device()
        )

    def heat_threshold(self, alpha: float = 0.05) -> float:
        """The heat that the hottest cell of an image of a good part exceeds with a chance of about
        alpha.

        Parameters
        ----------
        alpha : float
            The chance, between 0 and 1, exclusive.

        Returns
        -------
        float
            A score of a cell.

        Raises
        ------
        NotFitted
            Before `fit`.
        DataError
            For an alpha that is no such chance.
        Unsupported
            Where there is no heat map.
        """
        self.check_fitted()
        return heat.heat_threshold(self.members_, alpha)

    def heat_range(self, alpha: float = 0.05) -> tuple[float, float, float]:
        """A scale for all heat maps, from the peaks of normal images.

        Parameters
        ----------
        alpha : float
            As in `heat_threshold`.

        Returns
        -------
        tuple of float
            Low, threshold and top, in rising order.

        Raises
        ------
        NotFitted, DataError, Unsupported
            As in `heat_threshold`.
        """
        self.check_fitted()
        return heat.heat_range(self.members_, alpha)

    @property
    def audit_(self) -> Any:
        """`audit` of the rows that `fit` was given, which stay with the detector until it is
        pickled or saved.
        """
        self.check_fitted()
        if not hasattr(self, "training_"):
            raise Unsupported(
                "the training rows are not kept with a saved detector: call audit(X, y) with them"
            )
        return self.audit(*self.training_)

    def audit(self, X: Any, y: Any = None) -> Any:
        """Which training rows that were taken for normal look least like it.

        Parameters
        ----------
        X : data frame, array (n, columns), Images or Maps
            What `fit` was given.
        y : sequence (n,), optional
            Likewise.

        Returns
        -------
        pyarrow.Table
            Columns `row`, `weight`, `score` and `label` of the rows that were taken for normal (k),
            lowest weight first. `row` counts from 0; `weight` is 1 up to a `score` of 1, and 1 /
            score beyond.

        Raises
        ------
        NotFitted
            Before `fit`.
        DataError
            For another table than the one of training.
        Unsupported
            For rows that the detector adapted to, and for one that an earlier release saved without
            the rows that it held out.
        """
        self.check_fitted()
        rows = self.schema_.admit(X, learns=True)
        y = self.schema_.labels(rows) if y is None else y
        codes, _ = encode_labels(y, rows=len(rows), normal=self.normal)
        stands = counting_rows(rows, self.schema_, codes, self.repeats)

        def score(member: Member, chosen: Rows) -> NDArray[np.float64]:
            return member.scores(take(rows, chosen), self.torch_device())

        return audited(self.members_, codes, str(self.normal), score, stands)

    def advise(self, X: Any, n: int = 10, y: Any = None) -> Any:
        """Which rows to label next.

        Half of them are likely anomalies: high scores that differ from one another. The others tell
        most of kinds that nobody has labelled: each stands for many rows that score high, and are
        far from labelled rows and from what is chosen. The same rows get the same advice.

        Parameters
        ----------
        X : data frame, array (m, columns), Images or Maps
            Rows or images like those of training.
        n : int
            How many to name; all, where there are fewer.
        y : sequence (m,), optional
            Labels, as in `fit`, of those that somebody has looked at; None for the others. Rows
            with a label are not asked about again, nor what is like them.

        Returns
        -------
        pyarrow.Table
            Columns `row`, which counts from 0, `score`, `pvalue` and `why`, "likely anomaly" or
            "unlike what is labelled", of the rows to label (n), those that tell most first.

        Raises
        ------
        NotFitted
            Before `fit`.
        DataError
            For an n below 1; where every row has a label; for rows, as in `anomaly_score`.

        >>> rng = np.random.default_rng(0)
        >>> detector = Detector("mahalanobis", random_state=0).fit(rng.normal(size=(200, 2)))
        >>> detector.advise([[0.0, 0.0], [9.0, 0.0], [9.1, 0.0], [0.0, 8.0]], n=2)[
        ...     "row"
        ... ].to_pylist()
        [2, 3]
        """
        self.check_fitted()
        return advised(self, X, n, y)

    def blind_spots(self, alpha: float | Policy = 0.05, share: float = SHARE) -> BlindSpots:
        """How much it is expected to find of a kind that nobody has labelled.

        Known classes tell it, each of which was held out as training weighed its evidence (of a
        single class its halves). Other methods than the stacks are trained again without each
        class, on the rows in `references_`; those that learn without labels judge them as they are.

        Parameters
        ----------
        alpha : float or Policy
            The share of normal rows that may be flagged, or the policy that raises alarms.
        share : float
            The share of rows of such kinds. `Policy.fdr` and `Policy.cost` hang on it: the fewer
            such rows there are, the smaller is the level that they come to.

        Returns
        -------
        BlindSpots
            `expected`, and `low` and `high`, the ends of a 90% interval; `classes` that were held
            out; the same `at` another level or policy; and what 1,000 rows bring (`catches`).

        Raises
        ------
        NotFitted
            Before `fit`.
        DataError
            For an alpha or a share that is not between 0 and 1, exclusive; a level below the
            smallest p-value that this detector, or held-out rows, can have; and a policy under
            which no such row raises an alarm.
        Unsupported
            Where too few anomalies are labelled to hold a class out, or nothing was kept.

        >>> rng = np.random.default_rng(0)
        >>> X = np.r_[rng.normal(size=(200, 3)), rng.normal(4.0, 1.0, size=(10, 3))]
        >>> detector = Detector("mahalanobis", random_state=0)
        >>> spots = detector.fit(X, ["normal"] * 200 + ["leak"] * 10).blind_spots()
        >>> spots.expected, spots.low, spots.high
        (0.88, 0.4, 1.0)
        """
        self.check_fitted()
        return blind_spots_of(self, alpha, share)

    def smallest_moves(self, alpha: float = 0.05) -> pa.Table:
        """Which deviations it cannot see: how far normal rows must move until they are flagged.

        A dozen normal rows in the middle of those in `references_` move along each column of
        numbers, and along the ten most related pairs, up to 1,000 times the usual range; they get
        each level of a category, and a gap in each column. Everything else stays as it is.

        Parameters
        ----------
        alpha : float
            The share of normal rows that may be flagged.

        Returns
        -------
        pyarrow.Table
            A row for each move, in the order of the columns: `what` moves, "bytes up", "bytes up,
            load down", "service = ftp" or "bytes missing"; its `column`, the first of a pair;
            `usual_range`, from the 5% to the 95% quantile of the normals, and `distance` after
            which most of the rows are flagged, both in the units of the column; `ranges`, that in
            usual ranges, infinite where most never are; and `caught`, the share that is flagged at
            all. Levels and gaps have no distance.

        Raises
        ------
        NotFitted
            Before `fit`.
        DataError
            For an alpha that is no share between 0 and 1, exclusive.
        Unsupported
            For images, and for a detector of an earlier release, which kept no rows.

        >>> rng = np.random.default_rng(0)
        >>> detector = Detector("mahalanobis", random_state=0).fit(rng.normal(size=(400, 2)))
        >>> moves = detector.smallest_moves()
        >>> moves["what"].to_pylist()[:3], moves["distance"][0].as_py() < 5
        (['x0 up', 'x0 down', 'x1 up'], True)
        """
        self.check_fitted()
        return smallest_moves_of(self, alpha)

    def to_check(self, n: int = 20) -> Any:
        """The calibration rows whose check wins most power back, where anomalies are among them.

        Parameters
        ----------
        n : int
            How many rows somebody can look at.

        Returns
        -------
        pyarrow.Table
            Columns `row`, its number in the training table, from 0, and `pvalue`, its p-value among
            the calibration rows, lowest first (n).

        Raises
        ------
        NotFitted
            Before `fit`.
        DataError
            Unless n is a whole number from 1.
        Unsupported
            For a detector that an earlier release saved without the rows that it held out.
        """
        self.check_fitted()
        return rows_to_check(self.members_, n)

    def checked(self, rows: Any, normal: Any) -> Detector:
        """A new detector whose p-values are sharper, from answers about calibration rows; nothing
        is trained, and this one stays as it is.

        Anomalies among the rows that were checked calibrate no longer, and of the rows around them
        that nobody checked as many as the answers let expect (`Detector.to_check`; after Bashari,
        Sesia & Romano 2025). p-values are then measured to hold, not proven to.

        Parameters
        ----------
        rows : sequence of int (k,)
            Numbers of training rows that `to_check` named, from 0.
        normal : sequence of bool (k,)
            Whether each of them is normal.

        Returns
        -------
        Detector
            A new one.

        Raises
        ------
        NotFitted
            Before `fit`.
        DataError
            For other rows, rows that are given twice or without an answer, and where no calibration
            row is left.
        Unsupported
            As in `to_check`.

        >>> rng = np.random.default_rng(0)
        >>> X = np.r_[rng.normal(size=(380, 2)), rng.normal(6.0, 1.0, size=(20, 2))]  # all "normal"
        >>> detector = Detector("mahalanobis", calibration=0.5, random_state=0).fit(X)
        >>> rows = detector.to_check(10)["row"].to_numpy()
        >>> sharper = detector.checked(rows, normal=rows < 380)
        >>> [each.pvalue([[6.0, 6.0]]).round(3).tolist() for each in (detector, sharper)]
        [[0.025], [0.005]]
        """
        self.check_fitted()
        numbers, answers = np.asarray(rows, dtype=np.int64), np.asarray(normal, dtype=bool)
        if numbers.ndim != 1 or numbers.shape != answers.shape or not len(numbers):
            raise DataError(
                "expected a row number and an answer for each row that was checked, got shapes "
                f"{numbers.shape} and {answers.shape}"
            )
        if len(np.unique(numbers)) < len(numbers):
            raise DataError("a row is answered twice: keep one answer of each row")
        new = copy.copy(self)
        return new.assemble(members_after(self.members_, numbers, answers))

    def __getstate__(self) -> Any:
        """All but the training rows, and what is learned from those that stay."""
        left = ("training_", "_known_kinds", "_beside")
        return {key: value for key, value in super().__getstate__().items() if key not in left}

    # scikit-learn's conventions, low = abnormal: signs flip here and nowhere else.
    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """scikit-learn's direction: the lower, the more abnormal.

        Parameters
        ----------
        X : data frame, array (n, columns), Images or Maps
            Rows or images like those of training.

        Returns
        -------
        array
            The negative of `anomaly_score` (n,).

        Raises
        ------
        NotFitted
            Before `fit`.
        DataError
            For no rows, rows of another sort than those of training, and scores that are not
            finite.
        """
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """scikit-learn's: negative for rows with a p-value of at most 0.05, and for no others.

        Parameters
        ----------
        X : data frame, array (n, columns), Images or Maps
            Rows or images like those of training.

        Returns
        -------
        array
            Signed distances to the threshold (n,).

        Raises
        ------
        NotFitted
            Before `fit`.
        DataError
            For no rows, rows of another sort than those of training, and scores that are not
            finite.
        """
        scores = self.anomaly_score(X)
        distance = -scores - self.offset_
        flagged = self.conformal_.pvalue(scores) <= FLAGGED.level
        return np.where(
            flagged, np.minimum(distance, -np.finfo(np.float64).tiny), np.maximum(distance, 0.0)
        )

    def predict(self, X: Any) -> NDArray[np.int64]:
        """scikit-learn's: -1 for rows with a p-value of at most 0.05, else 1.

        Parameters
        ----------
        X : data frame, array (n, columns), Images or Maps
            Rows or images like those of training.

        Returns
        -------
        array
            -1 or 1 for each row (n,), int64.

        Raises
        ------
        NotFitted
            Before `fit`.
        DataError
            For no rows, rows of another sort than those of training, and scores that are not
            finite.
        """
        return np.where(self.pvalue(X) <= FLAGGED.level, -1, 1)

    def score(self, X: Any, y: Any = None) -> float:
        """Chance that an anomaly scores higher than a normal row (ROC AUC).

        Anomalies count as one class, and unlabelled rows not at all.

        Parameters
        ----------
        X : data frame, array (n, columns), Images or Maps
            Rows or images like those of training.
        y : sequence (n,)
            Labels, as in `fit`.

        Returns
        -------
        float
            The chance, from 0 to 1.

        Raises
        ------
        NotFitted
            Before `fit`.
        DataError
            Unless y labels normal rows and anomalies; for rows, as in `anomaly_score`.
        """
        return separation(self.anomaly_score(X), y, self.normal)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name.

        Parameters
        ----------
        deep : bool
            Whether to give the method's fields, too, such as `method__margin`, and those inside
            them.

        Returns
        -------
        dict
            Values by the names of parameters.
        """
        params: dict[str, Any] = super().get_params(deep=False)
        if deep and params["method"] is not None:
            try:
                method = method_of(params["method"])
            except DataError:  # which fit will say
                return params
            params |= {f"method__{name}": value for name, value in parameters(method).items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Change parameters.

        Parameters
        ----------
        **params
            Values by the names of parameters; `method__margin=3` changes a field of the method,
            which there must be one of.

        Returns
        -------
        Detector
            Itself.

        Raises
        ------
        DataError
            For a field that the method does not have, or where there is no method.
        ValueError
            For a parameter that there is not, by scikit-learn.
        """
        fields = {
            name.removeprefix("method__"): params.pop(name)
            for name in list(params)
            if name.startswith("method__")
        }
        super().set_params(**params)
        if fields and self.method is None:
            raise DataError(
                f"method is None, the default of what fit is given, so {next(iter(fields))!r} is "
                "a field of none yet: set the method too, for example "
                f"method={next(iter(METHODS))!r}"
            )
        if fields:
            self.method = with_parameters(method_of(self.method), fields)
        return self

    def chosen(self, encoder: Encoder | None = None) -> Method:
        """The method that learns, suited to what is encoded: for images one that takes them.

        Parameters
        ----------
        encoder : Encoder, optional
            What encodes; that of a fitted detector without any.

        Returns
        -------
        Method
            The method itself, the default, or for images one for rows put on their patches.

        Raises
        ------
        DataError
            For a method that nobody knows, and for one for images where rows are encoded.
        """
        method = None if self.method is None else method_of(self.method)
        encoder = encoder or getattr(self, "schema_", None)
        return suited(method, () if encoder is None else encoder.shape)

    def torch_device(self) -> torch.device:
        """What the method computes on."""
        return device_of(self.device)

    def check_fitted(self) -> None:
        """NotFitted before `fit`."""
        if not hasattr(self, "members_"):
            raise NotFitted("This Detector instance is not fitted yet: call fit(X, y) first")

    def _check_settings(self) -> None:
        """Refuse what nobody knows before rows are read."""
        self.chosen(), self.torch_device()
        if not isinstance(self.tail, bool | np.bool_):
            raise DataError(f"tail must be True or False, got {self.tail!r}")

    def _staying(
        self,
        members: tuple[Member, ...],
        rows: Any,
        codes: NDArray[np.int64],
        counts: Rows,
        seed: int,
    ) -> References:
        """The rows that stay with these members; of images also how they look."""
        known = references(self.schema_, rows, codes, counts, seed)
        if self.schema_.noun == "rows":
            return known
        return with_looks(known, members, rows, self.torch_device(), seed)

    def _counting(self, rows: Any, encoder: Encoder, codes: NDArray[np.int64]) -> Rows:
        """Numbers of the rows that count: one of several copies (m,)."""
        stands = counting_rows(rows, encoder, codes, self.repeats, tell=True)
        counts = np.flatnonzero(stands == np.arange(len(codes)))
        if len(counts) < len(codes):
            check_normals(codes[counts], encoder.noun)
        return counts

    def _learning(self, encoder: Encoder) -> Learning:
        """How members come about in this call, from a seed of its own."""
        try:
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        except ValueError as error:
            raise DataError(
                f"{option('random_state')} must be a whole number from 0 to {2**32 - 1:,}, got "
                f"{self.random_state!r}"
            ) from error
        method = self.chosen(encoder)
        check_fields(method)
        return Learning(method, self.torch_device(), seed)

    def _members(
        self,
        learning: Learning,
        encoder: Encoder,
        data: TrainingData,
        block: NDArray[np.int64] | None,
    ) -> tuple[Member, ...]:
        """One that calibrates itself, where normals are few and the method can, or by blocks; else
        one of a split, or of each fold.
        """
        codes, images = data.codes[data.rows], len(encoder.shape) > 1
        if block is not None:
            if self.calibration is not None:
                raise DataError(
                    f"with blocks whole blocks calibrate, so calibration must be None, got "
                    f"{self.calibration!r}: leave out one of the two"
                )
            rng, rows = np.random.default_rng(learning.seed), data.rows[calibrators(codes)]
            return (learning.across_blocks(encoder, data, rows, block, rng),)
        able = ability(learning.method, "train_calibrated") is not None
        if self.calibration is None and able and few(codes, images=images):
            return (learning.calibrated(encoder, data, data.rows[calibrators(codes)]),)
        rng, group = np.random.default_rng(learning.seed), data.group[data.rows]
        folds = held_out(codes, group, rng, calibration=self.calibration, images=images)
        # Folds start from one seed: the more alike their scorers, the less cautious the p-values
        # need to be.
        return tuple(learning.trained(encoder, data, data.rows[held_rows]) for held_rows in folds)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags


def _check_finite(found: NDArray[np.float64], method: Method) -> None:
    """No p-value follows from a score that is no number."""
    infinite = np.flatnonzero(~np.isfinite(found))
    if len(infinite):
        raise DataError(
            f"{type(method).__name__} gave row {infinite[0] + 1} the score "
            f"{found[infinite[0]]}, where a finite number is expected, and "
            f"{len(infinite) - 1:,} other rows likewise: fit again, or take another method"
        )


def _enough(count: int) -> bool:
    """Whether so many calibration normals tell how scores go on beyond the highest; warns where
    they do not.
    """
    if count < ROWS:
        warnings.warn(
            f"{count} calibration normals (fewer than {ROWS}) do not show how scores go on beyond "
            f"them: p-values end at 1/{count + 1} as without {option('tail', True)}; add "
            "normal rows",
            FewNormals,
            stacklevel=3,
        )
    return count >= ROWS
