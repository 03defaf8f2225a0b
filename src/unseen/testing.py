"""The contract that every method keeps, as named checks: call `check_method(Mine())` in your tests.

Each check is a function of a `Trial`, a method and small made-up data, and its docstring says what
it expects.
"""

from __future__ import annotations

import dataclasses
import inspect
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unseen.errors import DataError, Unsupported
from unseen.methods.catalogue import from_json, method_named, takes_images, to_json
from unseen.methods.foreign import paths_in
from unseen.names import resembling
from unseen.parts.loops import minimise
from unseen.parts.nets import seeded
from unseen.parts.scoring import CHUNK, scores
from unseen.types import Method, Run, Samples, Trainable, ability

SEED = 3
FAR = 9.0  # standard deviations of the made-up normals
PASSED = "passed"


def check_method(method: Method | str, *, skip: Mapping[str, str] | None = None) -> dict[str, str]:
    """Run every check of CHECKS on a method, with small made-up data; the first that fails ends it.

    The data are 120 normal rows and 8 labelled anomalies of two classes in 6 columns; for a method
    of images, maps of 3 channels. A method that refuses to learn without labels is checked with
    them. Give it few steps, small networks and small forests: the contract is not about accuracy.

    Parameters
    ----------
    method : method or str
        The method, its name, or its import path, such as "mypackage.mine:Mine".
    skip : mapping of str to str, optional
        Checks that are not run: their names, and for each the reason.

    Returns
    -------
    dict of str to str
        What came of each check by its name: "passed", "skipped: " and the reason, or
        "does not apply: " and why.

    Raises
    ------
    AssertionError
        Where a check fails: its name, the method, what was expected and what was found.
    DataError
        For a name in `skip` that no check has, and for a name without a reason.

    >>> from unseen.methods import Mahalanobis
    >>> found = check_method(Mahalanobis(), skip={"adapts": "only one domain is met"})
    >>> [found[name] for name in ("same_seed", "loss", "adapts")]
    ['passed', 'does not apply: it has no loss', 'skipped: only one domain is met']
    """
    skip = {} if skip is None else skip
    names = [check.__name__ for check in CHECKS]
    for name, reason in skip.items():
        if name not in names:
            known = ", ".join(names)
            raise DataError(
                f"skip: no check {name!r}{resembling(name, names)}; the checks are {known}"
            )
        if not isinstance(reason, str) or not reason.strip():
            raise DataError(
                f"skip: expected the reason for which {name!r} is not run, got {reason!r}"
            )
    trial = Trial(method_named(method) if isinstance(method, str) else method)
    return {
        name: f"skipped: {skip[name]}" if name in skip else _outcome(check, trial)
        for name, check in zip(names, CHECKS, strict=True)
    }


@dataclass(frozen=True)
class Trial:
    """A method, the data that it is tried on, and what it learned from them, once."""

    method: Any

    @cached_property
    def data(self) -> Samples:
        return toy_maps() if takes_images(self.method) else toy_rows()

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.x.shape[1:])

    @cached_property
    def learned(self) -> tuple[nn.Module, list[str]]:
        """The trained scorer, and the names of what training changed beside it."""
        data = self.data
        before = _surroundings(data)
        scorer = trained(self.method, data)
        return scorer, [
            name for name, state in _surroundings(data).items() if state != before[name]
        ]

    @property
    def scorer(self) -> nn.Module:
        return self.learned[0]

    @cached_property
    def scores(self) -> Tensor:
        """Of all rows: (n,)."""
        return scored(self.scorer, self.data.x)

    @cached_property
    def unlabelled(self) -> nn.Module | DataError:
        """The scorer that learned from the normal rows alone, or the error of a refusal."""
        try:
            return trained(self.method, self.data.normals)
        except DataError as error:
            return error


def frozen_dataclass(trial: Trial) -> None:
    """A method is a frozen dataclass, with `uses_labels` true or false, and `build` and `train`."""
    kind = type(trial.method)
    _expect(dataclasses.is_dataclass(kind), f"{kind.__name__} is no dataclass")
    _expect(
        kind.__dataclass_params__.frozen, f"{kind.__name__} is not frozen: @dataclass(frozen=True)"
    )
    for name in "build", "train":
        _expect(callable(getattr(trial.method, name, None)), f"it has no {name}")
    labels = getattr(trial.method, "uses_labels", None)
    _expect(isinstance(labels, bool), f"uses_labels is {labels!r}")


def data_untouched(trial: Trial) -> None:
    """Training leaves its data as they were."""
    changed = [name for name in trial.learned[1] if not name.startswith("global")]
    _expect(not changed, f"training changed {', '.join(changed)}")


def generators_untouched(trial: Trial) -> None:
    """Training draws from `run.generator` alone, and leaves global generators as they were."""
    changed = [name for name in trial.learned[1] if name.startswith("global")]
    _expect(not changed, f"training touched the {', the '.join(changed)}")


def finite_scores(trial: Trial) -> None:
    """A scorer maps rows (n, d) to finite scores (n,), also of rows far from all that it saw."""
    n = len(trial.data)
    _expect(trial.scores.shape == (n,), f"scores of shape {tuple(trial.scores.shape)} for {n} rows")
    _expect(trial.scores.is_floating_point(), f"scores of type {trial.scores.dtype}")
    for what, found in ("training", trial.scores), ("far", scored(trial.scorer, _far(trial))):
        _expect(found.isfinite().all(), f"scores of {what} rows are not finite")


def rows_alone(trial: Trial) -> None:
    """The score of a row does not depend on the rows beside it, nor on their order."""
    x = trial.data.x
    alone = torch.cat([scored(trial.scorer, x[i : i + 1]) for i in range(5)])
    _expect_close(alone, trial.scores[:5], "a row alone scores otherwise than among others")
    _expect_close(
        scored(trial.scorer, x.flip(0)),
        trial.scores.flip(0),
        "in another order rows score otherwise",
    )


def equal_rows(trial: Trial) -> None:
    """Equal rows score the same to the last bit: alone, in any batch, in any order."""
    check_equal_rows(trial.scorer, trial.data.x)


def higher_is_worse(trial: Trial) -> None:
    """Anomalies that training showed score higher than normal rows, by their medians."""
    shown, normal = (trial.scores[of].median() for of in (trial.data.y > 0, trial.data.y == 0))
    _expect(shown > normal, f"anomalies score {shown:.4g}, normal rows {normal:.4g}")


def same_seed(trial: Trial) -> None:
    """The same seed gives the same scores, to the last bit."""
    again = scored(trained(trial.method, trial.data), trial.data.x)
    _expect(
        torch.equal(again, trial.scores),
        f"{int((again != trial.scores).sum())} of {len(again)} scores differ",
    )


def reloaded(trial: Trial) -> None:
    """A fresh scorer with the tensors of a trained one scores the same, to the last bit."""
    state = {name: tensor.clone() for name, tensor in trial.scorer.state_dict().items()}
    # as loading does, which learns how large a scorer is before there is one
    with torch.device("meta"):
        planned = trial.method.build(trial.shape).state_dict()
    _expect(
        planned.keys() == state.keys(),
        f"training added or removed {sorted(planned.keys() ^ state.keys())}",
    )
    types = [name for name in state if state[name].dtype != planned[name].dtype]
    _expect(not types, f"training changed the type of {types}")
    fresh = trial.method.build(trial.shape)
    fresh.load_state_dict(state)
    found = scored(fresh.eval(), trial.data.x)
    _expect(
        torch.equal(found, trial.scores),
        "it scores otherwise: register what is learned as buffers or parameters",
    )


def finite_tensors(trial: Trial) -> None:
    """The tensors of a trained scorer are finite, but for those that a module names in `may_be_nan`
    or `may_be_infinite`.
    """
    for module in trial.scorer.modules():
        own = {
            **dict(module.named_buffers(recurse=False)),
            **dict(module.named_parameters(recurse=False)),
        }
        for name, tensor in own.items():
            where = f"{type(module).__name__}.{name}"
            _expect(
                name in getattr(module, "may_be_nan", ()) or not tensor.isnan().any(),
                f"NaN in {where}",
            )
            _expect(
                name in getattr(module, "may_be_infinite", ()) or not tensor.isinf().any(),
                f"infinity in {where}",
            )


def saved_fields(trial: Trial) -> None:
    """A method is the same again when its fields were saved as JSON: plain values, or methods."""
    spec = to_json(trial.method)
    again = from_json(spec, trust=paths_in(spec))
    _expect(
        again == trial.method, f"it comes back as {again!r:.200}; tuples must be annotated as such"
    )


def uses_labels(trial: Trial) -> None:
    """`uses_labels` says whether labelled anomalies change what is learned."""
    method, data = trial.method, trial.data
    if isinstance(trial.unlabelled, DataError) and not method.uses_labels:
        raise AssertionError(
            f"uses_labels is False, yet without labels it refuses to learn ({trial.unlabelled})"
        )
    sign = torch.where(data.y > 0, -1.0, 1.0).view(-1, *[1] * len(trial.shape))
    elsewhere = trained(method, dataclasses.replace(data, x=data.x * sign))
    same = torch.equal(scored(elsewhere, data.x), trial.scores)
    change = "the same" if same else "other scores"
    _expect(
        same is not method.uses_labels,
        f"uses_labels is {method.uses_labels}, and other anomalies give {change}",
    )


def far_rows(trial: Trial) -> None:
    """Without labels rows far out score higher than normal ones; with them, where a method refuses
    to learn without, rows that go on where the anomalies went.
    """
    normals, anomalies = trial.data.normals.x, trial.data.anomalies.x
    if isinstance(trial.unlabelled, DataError):
        scorer, far = trial.scorer, normals.mean(dim=0) + 2 * (anomalies - normals.mean(dim=0))
    else:
        scorer, far = trial.unlabelled, _far(trial)
    least, normal = scored(scorer, far).min(), scored(scorer, normals).median()
    _expect(
        least > normal,
        f"the least of the far rows scores {least:.4g}, the median of the normal ones {normal:.4g}",
    )


def loss(trial: Trial) -> str | None:
    """`loss` is (n,), one value a row that depends on its label, and moves the parameters."""
    method, data = trial.method, trial.data
    if ability(method, "loss") is None:
        return "it has no loss"
    scorer, run = seeded(lambda: method.build(trial.shape), 1), _run(0)
    # not where all outputs are equal
    for weight in islice((p for p in scorer.parameters() if p.ndim >= 2), 1):
        nn.init.normal_(weight, generator=torch.Generator().manual_seed(0))
    found = method.loss(scorer, data, run)
    _expect(
        found.shape == (len(data),),
        f"shape {tuple(found.shape)} for {len(data)} rows: never reduce it",
    )
    order = torch.arange(len(data) - 1, -1, -1)
    _expect_close(
        method.loss(scorer, data[order], run),
        found[order],
        "in another order rows have another loss",
    )
    if method.uses_labels:
        flipped = dataclasses.replace(data, y=(data.y == 0).long())
        _expect(
            not torch.allclose(method.loss(scorer, flipped, run), found),
            "the labels change nothing",
        )
    moved = torch.autograd.grad(
        found[0], [p for p in scorer.parameters() if p.requires_grad], allow_unused=True
    )
    _expect(
        any(g is not None and g.abs().sum() > 0 for g in moved), "no gradient reaches any parameter"
    )
    return None


def parts_of_training(trial: Trial) -> str | None:
    """`train` is `prepare`, then `steps` steps of `optimiser` on `loss` over `stream`, no more."""
    method, data = trial.method, trial.data
    if not isinstance(method, Trainable):
        return "it lacks prepare, stream, optimiser or loss"
    again, run = seeded(lambda: method.build(trial.shape), SEED), _run()
    method.prepare(again, data, run)
    optimiser, stream = method.optimiser(again), method.stream(data, run)
    minimise(
        lambda batch: method.loss(again, batch, run), optimiser, stream, run, steps=method.steps
    )
    _expect(
        torch.equal(scored(again.eval(), data.x), trial.scores), "the parts alone give other scores"
    )
    fresh = seeded(lambda: method.build(trial.shape), SEED)
    method.prepare(fresh, data, _run())
    owned = [p for group in method.optimiser(fresh).param_groups for p in group["params"]]
    batch = next(method.stream(data, _run()))
    gradients = torch.autograd.grad(
        method.loss(fresh, batch, _run()).sum(), owned, allow_unused=True
    )
    _expect(
        all(g is not None for g in gradients),
        "a parameter that the optimiser owns gets no gradient",
    )
    return None


def adapts(trial: Trial) -> str | None:
    """`adapt` makes a new scorer by which the new domain scores low, and the old one stays."""
    method, scorer = trial.method, trial.scorer
    if ability(method, "adapt") is None:
        return "it has no adapt"
    normals, third = trial.data.normals.x, len(trial.data.normals) // 3
    try:
        moved = method.adapt(scorer, Samples.of(normals[:third] + 3), _run()).eval()
    except Unsupported as error:
        return f"it cannot adapt with these fields ({error})"
    _expect(
        torch.equal(scored(scorer, trial.data.x), trial.scores),
        "adapt changed the scorer that it was given",
    )
    new, other = (scored(moved, normals[third : 2 * third] + shift).median() for shift in (3, -3))
    _expect(new < other, f"the new domain scores {new:.4g}, another one {other:.4g}")
    return None


def calibrates(trial: Trial) -> str | None:
    """`train_calibrated` trains as `train` does; what it returns scores normal rows, each once."""
    method, data = trial.method, trial.data
    if ability(method, "train_calibrated") is None:
        return "it has no train_calibrated"
    scorer = seeded(lambda: method.build(trial.shape), SEED)
    found = method.train_calibrated(scorer, data, _run())()
    _expect(torch.equal(scored(scorer.eval(), data.x), trial.scores), "train gives another scorer")
    rows, scores = found.rows, found.scores
    _expect(
        len(rows.unique()) == len(rows) and bool((data.y[rows] <= 0).all()),
        f"scores of {len(rows)} rows, {len(rows.unique())} different ones, "
        f"{int((data.y[rows] > 0).sum())} of them anomalies",
    )
    _expect(
        scores.shape == rows.shape and bool(scores.isfinite().all()),
        f"scores of shape {tuple(scores.shape)} for {len(rows)} rows, or not finite ones",
    )
    return None


Check = Callable[[Trial], str | None]  # a check that does not apply says why
CHECKS: tuple[Check, ...] = (
    frozen_dataclass,
    data_untouched,
    generators_untouched,
    finite_scores,
    rows_alone,
    equal_rows,
    higher_is_worse,
    same_seed,
    reloaded,
    finite_tensors,
    saved_fields,
    uses_labels,
    far_rows,
    loss,
    parts_of_training,
    adapts,
    calibrates,
)


def toy_rows(anomalies: int = 8, seed: int = 0) -> Samples:
    """120 normals around 0 in 6 dimensions, and anomalies of two classes along two axes."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(120 + anomalies, 6, generator=g)
    y = torch.zeros(120 + anomalies, dtype=torch.int64)
    y[120:] = torch.arange(anomalies) % 2 + 1
    x[120:, 0] += 4 * (y[120:] == 1)
    x[120:, 1] += 4 * (y[120:] == 2)
    return Samples.of(x, y)


def toy_maps(
    normals: int = 32,
    anomalies: int = 8,
    seed: int = 0,
    classes: tuple[int, ...] = (1, 2),
    offset: float = 0.0,
) -> Samples:
    """Noise of 3 channels on 6 x 6 cells; images of class c have 2 x 2 cells shifted in channel c -
    1.
    """
    g = torch.Generator().manual_seed(seed)
    n = normals + anomalies
    x, mask = torch.randn(n, 3, 6, 6, generator=g) + offset, torch.full((n, 6, 6), -1.0)
    y = torch.zeros(n, dtype=torch.int64)
    y[normals:] = torch.tensor(classes).repeat(anomalies)[:anomalies]
    for i in range(normals, n):
        top, left = (2 * torch.randint(3, (2,), generator=g)).tolist()
        mask[i] = 0
        mask[i, top : top + 2, left : left + 2] = 1
        x[i, int(y[i]) - 1] += 6 * mask[i]
    return Samples.of(x, y, mask=mask)


def trained(method: Method, data: Samples, seed: int = SEED) -> nn.Module:
    """The scorer that a method trains on these data."""
    scorer = seeded(lambda: method.build(tuple(data.x.shape[1:])), seed)
    method.train(scorer, data, _run(seed))
    return scorer.eval()


@torch.no_grad()
def scored(scorer: nn.Module, x: Tensor) -> Tensor:
    """Scores without gradients: (n, *f) -> (n,)."""
    found: Tensor = scorer(x)
    return found


def check_equal_rows(scorer: nn.Module, x: Tensor) -> None:
    """AssertionError unless equal rows (n, *f) score the same, whatever they are scored with."""
    cpu, n = torch.device("cpu"), len(x)
    # more than a block of rows; images are scored one by one
    copies = CHUNK // n + 2 if x.ndim == 2 else 2
    rows = x.repeat(copies, *[1] * (x.ndim - 1))
    whole = scores(scorer, rows, cpu)
    _expect(
        torch.equal(whole.view(copies, n), whole[:n].expand(copies, n)),
        "copies of a row score otherwise",
    )
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    _expect(
        torch.equal(scores(scorer, rows[order], cpu), whole[order]),
        "in another order rows score otherwise",
    )
    for size in (1, 7, 63, 65):
        cut = torch.cat(
            [scores(scorer, part, cpu) for part in rows[: min(130, len(rows))].split(size)]
        )
        _expect(
            torch.equal(cut, whole[: len(cut)]),
            f"{size} rows at a time score otherwise than all at once",
        )


def _outcome(check: Check, trial: Trial) -> str:
    """What came of a check; AssertionError, with all that its reader needs, where it fails."""
    try:
        why = check(trial)
    except Exception as error:  # of a method of whose makers we know nothing
        expected = " ".join((inspect.getdoc(check) or "").split())
        found = (
            str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        )
        raise AssertionError(
            f"{trial.method!r:.200} fails the check {check.__name__!r}. Expected: {expected} "
            f"Found: {found}"
        ) from error
    return PASSED if why is None else f"does not apply: {why}"


def _expect(holds: bool | Tensor, found: str) -> None:
    if not holds:
        raise AssertionError(found)


def _expect_close(found: Tensor, expected: Tensor, what: str) -> None:
    _expect(
        found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-4, atol=1e-5),
        what,
    )


def _far(trial: Trial) -> Tensor:
    """Rows far from the normals, on either side: (2, *f)."""
    return torch.stack([torch.full(trial.shape, FAR), torch.full(trial.shape, -FAR)])


def _run(seed: int = SEED) -> Run:
    return Run(torch.Generator().manual_seed(seed))


def _surroundings(data: Samples) -> dict[str, object]:
    """All that training must leave as it is."""
    tensors = {name: getattr(data, name) for name in ("x", "y", "group", "weight", "mask")}
    return {
        **{
            name: tensor.numpy().tobytes() for name, tensor in tensors.items() if tensor is not None
        },
        "global generator of torch": torch.random.get_rng_state().numpy().tobytes(),
        "global generator of NumPy": str(np.random.get_state()),  # noqa: NPY002
        "global generator of Python": random.getstate(),
    }
