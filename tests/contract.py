"""What every method must keep. A plug-in's author calls `check_method(MyMethod())` in a test of their own."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import pytest
import torch

from unseen.errors import DataError, Unsupported
from unseen.methods.catalogue import from_json, to_json
from unseen.methods.deepsad import DeepSAD
from unseen.methods.evidence import VIEWS
from unseen.parts.loops import minimise
from unseen.parts.nets import seeded
from unseen.parts.scoring import CHUNK, scores
from unseen.types import Method, Run, Samples, Trainable

FEWER = {"steps": 80, "episodes": 4, "inner_steps": 10, "outer_steps": 10, "tuning_steps": 20, "trees": 20, "batch": 64}


def quick(method: Any) -> Any:
    """The method with fewer steps and smaller forests, members likewise: the contract is not about accuracy."""
    fields = {f.name: getattr(method, f.name) for f in dataclasses.fields(method)}
    changes: dict[str, Any] = {k: min(v, fields[k]) for k, v in FEWER.items() if k in fields}
    for several in VIEWS.keys() & set(fields):
        changes[several] = tuple(quick(m) for m in fields[several])
    changes |= {name: quick(inside) for name, inside in fields.items() if dataclasses.is_dataclass(inside)}
    if "inner_steps" in fields and "steps" in changes:
        changes["steps"] = min(changes["steps"], 20)  # each takes inner steps of its own
    return dataclasses.replace(method, **changes)


def toy(anomalies: int = 8, seed: int = 0) -> Samples:
    """120 normals around 0 in 6 dimensions, and anomalies of two classes along two axes."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(120 + anomalies, 6, generator=g)
    y = torch.zeros(120 + anomalies, dtype=torch.int64)
    y[120:] = torch.arange(anomalies) % 2 + 1
    x[120:, 0] += 4 * (y[120:] == 1)
    x[120:, 1] += 4 * (y[120:] == 2)
    return Samples.of(x, y)


def trained(method: Method, data: Samples, seed: int = 3) -> torch.nn.Module:
    scorer = seeded(lambda: method.build(tuple(data.x.shape[1:])), seed)
    method.train(scorer, data, Run(torch.Generator().manual_seed(seed)))
    return scorer.eval()


@torch.no_grad()
def scored(scorer: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    return scorer(x)


def check_method(method: Method) -> None:
    """Every check below, on toy data."""
    data = toy()
    before = [t.clone() for t in (data.x, data.y, data.group, data.weight)]
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    scorer = trained(method, data)
    check_untouched(data, before, states)
    check_scores(scorer, data)
    check_equal_rows(scorer, data.x)
    check_reload(method, scorer, data)
    check_same_seed(method, scorer, data)
    check_json(method)
    check_without_anomalies(method)
    if hasattr(method, "loss"):
        check_loss(method, data)
    if hasattr(method, "stream"):
        check_parts(method, scorer, data)
    if hasattr(method, "adapt"):
        check_adapt(method, scorer, data)


def check_untouched(data: Samples, before: list[torch.Tensor], states: tuple[Any, Any, Any]) -> None:
    for now, then in zip((data.x, data.y, data.group, data.weight), before, strict=True):
        assert torch.equal(now, then), "training changed its data"
    assert torch.equal(torch.random.get_rng_state(), states[0]), "training touched torch's global generator"
    assert np.array_equal(np.random.get_state()[1], states[1]), "training touched NumPy's global generator"
    assert random.getstate() == states[2], "training touched Python's global generator"


def check_scores(scorer: torch.nn.Module, data: Samples) -> None:
    scores = scored(scorer, data.x)
    assert scores.shape == (len(data),)
    assert torch.isfinite(scores).all()
    alone = torch.cat([scored(scorer, data.x[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(alone, scores[:5], rtol=1e-4, atol=1e-5, msg="a row's score depends on its batch")
    order = torch.arange(len(data) - 1, -1, -1)
    torch.testing.assert_close(scored(scorer, data.x[order]), scores[order], rtol=1e-4, atol=1e-5)
    assert torch.isfinite(scored(scorer, torch.full((2, 6), 10.0))).all()
    shown = scores[data.y > 0].median()
    assert shown > scores[data.y == 0].median(), "anomalies that it was shown do not outrank normals"


def check_equal_rows(scorer: torch.nn.Module, x: torch.Tensor) -> None:
    """A row's score is the same to the last bit alone, in any batch, in any order and wherever the batch is cut."""
    cpu = torch.device("cpu")
    rows = x.repeat(CHUNK // len(x) + 2, 1)  # more than a block of rows
    whole = scores(scorer, rows, cpu)
    assert torch.equal(whole.view(-1, len(x)), whole[: len(x)].expand(len(rows) // len(x), -1)), "equal rows differ"
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    assert torch.equal(scores(scorer, rows[order], cpu), whole[order]), "a score depends on the order of the rows"
    for size in (1, 7, 63, 65):
        parts = torch.cat([scores(scorer, part, cpu) for part in rows[:130].split(size)])
        assert torch.equal(parts, whole[:130]), f"a score depends on the batch: {size} rows at a time"


def check_reload(method: Method, scorer: torch.nn.Module, data: Samples) -> None:
    empty = method.build((6,))
    empty.load_state_dict({k: v.clone() for k, v in scorer.state_dict().items()})
    assert torch.equal(scored(empty.eval(), data.x), scored(scorer, data.x)), "a reloaded scorer scores differently"


def check_same_seed(method: Method, scorer: torch.nn.Module, data: Samples) -> None:
    assert torch.equal(scored(trained(method, data), data.x), scored(scorer, data.x)), "same seed, other scores"


def check_json(method: Method) -> None:
    assert from_json(to_json(method)) == method


def check_without_anomalies(method: Any) -> None:
    """Far rows outrank normals; a method that refuses to learn without labels says so, and what it wraps may learn."""
    data = toy().normals
    try:
        scorer = trained(method, data)
    except DataError:
        if not method.uses_labels:
            raise
        if hasattr(method, "base") and isinstance(method.base, Trainable):
            check_without_anomalies(dataclasses.replace(method, base=quick(DeepSAD())))
        return
    far = torch.full((4, 6), 9.0) * torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None]
    assert scored(scorer, far).min() > scored(scorer, data.x).median(), "far-away rows do not outrank normals"


def check_loss(method: Any, data: Samples) -> None:
    scorer = seeded(lambda: method.build((6,)), 1)
    torch.nn.init.normal_(
        next(p for p in scorer.parameters() if p.ndim == 2), generator=torch.Generator().manual_seed(0)
    )
    run = Run(torch.Generator().manual_seed(0))
    loss = method.loss(scorer, data, run)
    assert loss.shape == (len(data),), "the loss must be (n,), never reduced"
    order = torch.arange(len(data) - 1, -1, -1)
    torch.testing.assert_close(method.loss(scorer, data[order], run), loss[order], rtol=1e-4, atol=1e-5)
    flipped = dataclasses.replace(data, y=(data.y == 0).long())
    assert not torch.allclose(method.loss(scorer, flipped, run), loss), "the labels do nothing"
    one_row = torch.autograd.grad(loss[0], [p for p in scorer.parameters() if p.requires_grad], allow_unused=True)
    assert any(g is not None and g.abs().sum() > 0 for g in one_row), "no gradient reaches any parameter"


def check_parts(method: Any, scorer: torch.nn.Module, data: Samples) -> None:
    """A Trainable's parts make up its `train`, and the optimiser moves all that the loss depends on."""
    again, run = seeded(lambda: method.build((6,)), 3), Run(torch.Generator().manual_seed(3))
    method.prepare(again, data, run)
    optimiser, stream = method.optimiser(again), method.stream(data, run)
    minimise(lambda batch: method.loss(again, batch, run), optimiser, stream, run, steps=method.steps)
    assert torch.equal(scored(again.eval(), data.x), scored(scorer, data.x)), "train is more than its parts"
    fresh = seeded(lambda: method.build((6,)), 3)
    method.prepare(fresh, data, Run(torch.Generator().manual_seed(3)))
    owned = [p for group in method.optimiser(fresh).param_groups for p in group["params"]]
    batch = next(method.stream(data, Run(torch.Generator().manual_seed(3))))
    for gradient in torch.autograd.grad(method.loss(fresh, batch, run).sum(), owned, allow_unused=True):
        assert gradient is not None, "a parameter that the optimiser owns gets no gradient"


def check_adapt(method: Any, scorer: torch.nn.Module, data: Samples) -> None:
    """A new scorer for another kind of normal; the old one stays as it is."""
    before, far = scored(scorer, data.x), torch.full((6,), 3.0)
    support = Samples.of(data.normals.x[:40] + far)
    try:
        moved = method.adapt(scorer, support, Run(torch.Generator().manual_seed(3))).eval()
    except Unsupported:  # by its fields
        return
    assert torch.equal(scored(scorer, data.x), before), "adapt changed the scorer that it was given"
    assert scored(moved, data.normals.x[40:80] + far).median() < scored(moved, data.normals.x[40:80] - far).median()


def parametrised(methods: dict[str, Method]) -> Any:
    return pytest.mark.parametrize("method", [quick(m) for m in methods.values()], ids=list(methods))
