"""The values that flow between modules: samples in, a scorer out, and a Method that turns one into
the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.errors import DataError

NORMAL = 0
UNLABELLED = -1


@dataclass(frozen=True, slots=True)
class Samples:
    """A data set, a mini-batch, a support or a query set: one type, no conversions.

    Parameters
    ----------
    x : Tensor
        Rows (n, *f), float32, finite.
    y : Tensor
        Labels (n,), int64: 0 normal, 1.. anomaly class, -1 unlabelled.
    group : Tensor
        Domains (n,), int64: all 0 when there is one.
    weight : Tensor
        Weights of the rows (n,), float32, in [0, 1].
    mask : Tensor or None
        Of images, the share of each cell of a map that is defect (n, h, w), -1 where nobody said;
        None for rows.
    resaved : Tensor or None
        Of images that train, each once more, as another program saved it (n, *f); `both` has the
        normal ones as rows.

    >>> data = Samples.of(torch.zeros(3, 2), torch.tensor([0, 0, 1]))
    >>> len(data), len(data.normals), data.classes
    (3, 2, [1])
    """

    x: Tensor
    y: Tensor
    group: Tensor
    weight: Tensor
    mask: Tensor | None = None
    resaved: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("y", "group", "weight"):
            shape = tuple(getattr(self, name).shape)
            if shape != (len(self.x),):
                raise DataError(
                    f"{name} must have shape ({len(self.x)},), one entry per row of x, got {shape}"
                )
        if self.mask is not None and (len(self.mask), *self.mask.shape[1:]) != (
            len(self.x),
            *self.x.shape[2:],
        ):
            shape = tuple(self.mask.shape)
            raise DataError(
                f"mask must have a value for each cell of x {tuple(self.x.shape)}, got shape "
                f"{shape}"
            )
        if self.resaved is not None and self.resaved.shape != self.x.shape:
            raise DataError(
                f"resaved must have the shape of x, {tuple(self.x.shape)}, got "
                f"{tuple(self.resaved.shape)}"
            )

    @classmethod
    def of(
        cls,
        x: Tensor,
        y: Tensor | None = None,
        group: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Samples:
        """Samples with the usual defaults: all normal, one group, weight 1; x is checked to be
        finite once, here.
        """
        if not torch.isfinite(x).all():
            raise DataError(
                "x must be finite: encode missing and infinite values first (Schema.encode does)"
            )
        zeros = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        return cls(
            x.float(),
            zeros if y is None else y.long(),
            zeros if group is None else group.long(),
            torch.ones(len(x), device=x.device),
            mask,
        )

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Tensor | slice) -> Samples:
        mask, resaved = (None if of is None else of[rows] for of in (self.mask, self.resaved))
        return Samples(
            self.x[rows], self.y[rows], self.group[rows], self.weight[rows], mask, resaved
        )

    @property
    def both(self) -> Samples:
        """The images and, behind them, the normal ones once more as another program saved them,
        where there are such.

        What a method splits it splits before: a picture must not judge what learned from its like.
        """
        if self.resaved is None:
            return self
        good = self.y <= NORMAL
        mask = None if self.mask is None else torch.cat([self.mask, self.mask[good]])
        y, group, weight = (torch.cat([of, of[good]]) for of in (self.y, self.group, self.weight))
        return Samples(torch.cat([self.x, self.resaved[good]]), y, group, weight, mask)

    @property
    def normals(self) -> Samples:
        """Rows that training may take for normal: labelled normal, or unlabelled."""
        return self[self.y <= NORMAL]

    @property
    def anomalies(self) -> Samples:
        """Rows labelled with an anomaly class."""
        return self[self.y > NORMAL]

    @property
    def classes(self) -> list[int]:
        """The anomaly classes that occur, ascending."""
        return [int(c) for c in torch.unique(self.y[self.y > NORMAL])]

    def to(self, device: torch.device) -> Samples:
        mask, resaved = (None if of is None else of.to(device) for of in (self.mask, self.resaved))
        x, y, group, weight = (of.to(device) for of in (self.x, self.y, self.group, self.weight))
        return Samples(x, y, group, weight, mask, resaved)


@dataclass(frozen=True, slots=True)
class Episode:
    """One task of meta-learning: learn from some rows, be judged on others.

    Parameters
    ----------
    support : Samples
        Rows to learn from: normals and, where they are shown, anomalies.
    query : Samples
        Rows to be judged on: normals, and anomalies of a class that the support lacks, as far as
        there is one to hide.
    """

    support: Samples
    query: Samples


def silent(step: int, values: dict[str, float]) -> None:
    """A log that keeps nothing."""


@dataclass(frozen=True)
class Run:
    """What a training run may use beside the data.

    Parameters
    ----------
    generator : torch.Generator
        The one source of randomness.
    device : torch.device
        What training computes on.
    log : callable
        Is told the number of a step and its values by name, such as a loss; by default it keeps
        nothing.
    logarithms : Tensor or None
        Of columns that are encoded as signed logarithms, their centre and spread before they were
        standardised (d, 2); NaN for other columns. None: no column is one.
    """

    generator: torch.Generator
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    log: Callable[[int, dict[str, float]], None] = silent
    logarithms: Tensor | None = None

    def seed(self) -> int:
        """A fresh integer seed, for libraries that take no generator."""
        return int(torch.randint(2**31 - 1, (), generator=self.generator))


@dataclass(frozen=True)
class Labelled:
    """Rows to learn from as a source has them, with what it knows of each.

    Parameters
    ----------
    rows : Table, array or Maps
        The rows (n), without columns of labels and domains.
    y : sequence or None
        Labels (n,), as `Detector.fit` takes them.
    groups : sequence or None
        Domains (n,), as `Detector.fit` takes them.
    keys : Table or None
        What tells the rows apart (n), where somebody asks.
    facts : dict
        What is worth keeping with a detector that learns from them, as JSON holds it.
    blocks : sequence or None
        Blocks (n,), as `Detector.fit` takes them.
    """

    rows: Any
    y: Any
    groups: Any
    keys: Any
    facts: dict[str, Any]
    blocks: Any = None


@dataclass(frozen=True)
class Batch:
    """Some rows to score, a block of a source.

    Parameters
    ----------
    rows : Table, Maps or None
        Those that can be scored (n); None for files of which none is read.
    keys : Table
        What tells all of them apart (k), those that cannot be scored, too.
    used : array
        Place of each of the rows in `keys` (n,), from 0.
    where : str
        The source and the place in it, for messages.
    groups : sequence or None
        Domains of the rows that can be scored (n,), where they are judged by domain.
    """

    rows: Any
    keys: Any
    used: NDArray[np.int64]
    where: str
    groups: Any = None


class Source(Protocol):
    """Where rows come from: a file, a data frame in memory, or a folder of images.

    `noun` is what a user calls its rows, `name` what it is called in messages.
    """

    @property
    def noun(self) -> str: ...
    @property
    def name(self) -> str: ...

    def labelled(self) -> Labelled:
        """All of it, to learn from."""

    def normals(self) -> Labelled:
        """Normal rows of another domain, to move to."""

    def to_evaluate(self, *, tests: bool = False) -> Labelled:
        """All of it, to evaluate on, or with `tests` to test on; each row has a label."""

    def batches(self, encoder: Encoder) -> Iterator[Batch]:
        """All of it, in order, a few rows at a time."""

    def places(self, keys: Any, rows: Any) -> dict[str, Any]:
        """What tells a user where rows with these numbers (k,) and keys are, beside the keys."""

    def count(self) -> int | None:
        """How many rows there are; None where only reading all of them would tell."""


class Encoder(Protocol):
    """What makes samples of what users have, rows of a table or images; nothing above asks which of
    the two.

    `noun` is what a user calls its rows; `shape` that of a sample; `inputs` names what training
    showed, and `needed` what rows to score must have; `logarithms` as in `Run`. `rows` are what
    `admit` returned; `y`, `kind` and `group` (n,) are integers as in `Samples`.
    """

    @property
    def noun(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def needed(self) -> tuple[str, ...]: ...
    @property
    def logarithms(self) -> NDArray[np.float32] | None: ...

    def admit(self, X: Any, *, learns: bool = False) -> Any:
        """Rows from whatever holds such; DataError for rows of another sort. `learns`: to train
        on.
        """

    def shown(self, rows: Any) -> Mapping[str, Any]:
        """What a reader is shown of rows, by name: the columns that are used, or names of
        images.
        """

    def labels(self, rows: Any) -> Any:
        """What rows tell of their labels by themselves, None where they tell nothing."""

    def relearn(self, rows: Any, *, normals: NDArray[np.bool_] | None = None) -> Encoder:
        """The same, with all that is learned learned anew from these rows only."""

    def counted(self, rows: Any, *, normals: NDArray[np.bool_] | None = None) -> Encoder:
        """The same, with what is commonplace counted anew: in the training rows without their
        copies.
        """

    def limited(
        self, x: NDArray[np.float32], normals: NDArray[np.bool_], before: Any = None
    ) -> Encoder:
        """The same, to which encoded rows (n, *f), some of them normal (n,), show how far columns
        of few values go, as those that `before`, the encoder of an earlier training, knew did.
        """

    def widened(self, rows: Any) -> Encoder:
        """The same, to which what these rows show is nothing new."""

    def encode(self, rows: Any) -> NDArray[np.float32]:
        """Finite numbers: (n, *f)."""

    def samples(self, rows: Any, y: NDArray[np.int64], group: NDArray[np.int64]) -> Samples:
        """Encoded rows with their labels, and all else that training may use."""

    def copies(self, rows: Any, kind: NDArray[np.int64], repeats: str | None) -> NDArray[np.int64]:
        """For each row the number of the row that stands for it, itself where it counts; copies
        agree in `kind`.
        """

    def repeated(self, rows: Any, kind: NDArray[np.int64], counts: NDArray[np.int64]) -> int:
        """How many of the rows that count are the same as another one of them."""

    def near_copies(
        self, rows: Any, kind: NDArray[np.int64], normals: NDArray[np.int64]
    ) -> str | None:
        """Where normal rows differ that are nearly copies, in words; None without any."""

    def unprecedented(self, rows: Any, once: Any = None) -> NDArray[np.float64]:
        """How much each row shows that training never did, 0 where nothing: (n,). It is logged with
        `once`.
        """

    def beyond(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """In how many columns of few values encoded rows lie far from all that training showed: (n,
        *f) -> (n,).
        """

    def placer(self, rows: Any) -> Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """What puts scores of cells (n, h', w') at the size of each image; Unsupported where rows
        have no cells.
        """

    def reads(self) -> object:
        """What two encoders must agree in to read the same rows."""

    def described(self) -> list[tuple[str, str]]:
        """Lines for a reader: a name and a text each."""

    def columns_by_kind(self) -> list[tuple[str, str]]:
        """Names of columns by their kind, in words; none of images."""

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""


class Method(Protocol):
    """A frozen dataclass of hyper-parameters that builds and trains a scorer: a module, (n, *f) ->
    (n,), high = anomalous.
    """

    @property
    def uses_labels(self) -> bool:
        """Whether labelled anomalies change what is learned: a constant of a method, or as the
        method inside has it.
        """

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """An untrained scorer for rows of this shape."""

    def train(self, scorer: Any, data: Samples, run: Run) -> None:
        """Train in place what `build` returned."""


@runtime_checkable
class Trainable(Method, Protocol):
    """A method trained by gradient descent, in parts that a training strategy (CoMet, MAML, AHL)
    can put together anew.

    Its own `train` is `loops.descend`: prepare once, then `steps` steps of the optimiser over the
    stream."""

    @property
    def steps(self) -> int:
        """Steps of the optimiser."""

    def prepare(self, scorer: Any, data: Samples, run: Run) -> None:
        """What is settled before the first step, such as a whitening or a centre; refuses data it
        cannot learn from.
        """

    def stream(self, data: Samples, run: Run) -> Iterator[Samples]:
        """Mini-batches without end; a row keeps the weight that it has in `data`, and what is made
        from it too.
        """

    def optimiser(self, scorer: Any) -> torch.optim.Optimizer:
        """A fresh optimiser of the parameters that training owns."""

    def loss(self, scorer: Any, batch: Samples, run: Run) -> Tensor:
        """Loss of each row: (n,), never reduced, so that rows can be weighted."""


def ability(of: object, name: str) -> Any:
    """What a method or a scorer can do beyond what each must, such as "adapt", "update" or "map";
    None if it cannot.

    >>> ability(torch.nn.Identity(), "map") is None
    True
    """
    return getattr(of, name, None)


@dataclass(frozen=True)
class CrossFitted:
    """Scores of normal rows, each by what did not learn from it.

    Parameters
    ----------
    rows : Tensor
        Numbers of these rows in the data (m,), int64, each once.
    scores : Tensor
        Their scores (m,), on the scale of the scorer that learned from all rows.
    peaks : Tensor or None
        Of images, the highest score of a cell in each (m,); None without a map.
    """

    rows: Tensor
    scores: Tensor
    peaks: Tensor | None = None


class SelfCalibrating(Method, Protocol):
    """A method that, while it trains, scores each normal row by what did not learn from it.

    A detector calibrates by these scores where normal rows are few, so that it trains once and
    scores a row once. That p-values hold is then measured, not proven.
    """

    def train_calibrated(self, scorer: Any, data: Samples, run: Run) -> Callable[[], CrossFitted]:
        """Train in place as `train` does, to the same scorer; what is returned scores the normal
        rows of the data.
        """


class Adaptable(Method, Protocol):
    """A method that moves to a domain that it has never seen, from a few rows of it.

    Where it has an attribute `adapts_anew`, and this is true, nothing learned before is kept.
    """

    def adapt(self, scorer: Any, support: Samples, run: Run) -> nn.Module:
        """A new scorer for the domain that `support` shows; `scorer` stays as it is."""


class Updatable(Method, Protocol):
    """A method that learns on from further rows, of kinds that it knows and of new ones, and keeps
    what it learned.
    """

    def update(self, scorer: Any, data: Samples, run: Run) -> None:
        """Learn from new rows in place; codes of classes mean what they meant, and there may be new
        ones.
        """
