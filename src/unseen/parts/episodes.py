"""Streams of mini-batches and episodes: endless generators, every draw from the generator that is
given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from unseen.errors import DataError
from unseen.types import Episode, Samples


def enough_of_both(data: Samples, method: object, *, normals: int) -> None:
    """DataError that says which rows lack, of a method that learns from so many normal ones and a
    labelled anomaly.
    """
    given = len(data.normals), len(data.anomalies)
    if given[0] >= normals and given[1]:
        return
    few = "add normal rows, of which a detector holds some out to judge or calibrate"
    none = "label at least one anomaly, or use a method without labels"
    lacking = [few] * (given[0] < normals) + [none] * (not given[1])
    raise DataError(
        f"{type(method).__name__} needs {normals} normal rows and a labelled anomaly; it was given "
        f"{given[0]} and {given[1]}: {'; '.join(lacking)}"
    )


def draw(rows: int, size: int, generator: torch.Generator) -> Tensor:
    """`size` row numbers below `rows`, with replacement: (size,)."""
    return torch.randint(rows, (size,), generator=generator)


def at_most(data: Samples, most: int, generator: torch.Generator) -> Samples:
    """At most so many rows, drawn at random, none twice."""
    return data[torch.randperm(len(data), generator=generator)[:most].to(data.x.device)]


def together(*parts: Samples) -> Samples:
    """The rows of several sample sets, one after the other."""
    return Samples(
        torch.cat([p.x for p in parts]),
        torch.cat([p.y for p in parts]),
        torch.cat([p.group for p in parts]),
        torch.cat([p.weight for p in parts]),
        None
        if any(p.mask is None for p in parts)
        else torch.cat([p.mask for p in parts if p.mask is not None]),
    )


def random_batches(data: Samples, size: int, generator: torch.Generator) -> Iterator[Samples]:
    """Random batches of `size` rows, with replacement, without end."""
    while True:
        yield data[draw(len(data), size, generator).to(data.x.device)]


def balanced(data: Samples, size: int, generator: torch.Generator) -> Iterator[Samples]:
    """Batches of half normal rows, half anomalies, with replacement (Pang et al. 2019, algorithm
    1), without end.
    """
    normals = random_batches(data.normals, size // 2, generator)
    anomalies = random_batches(data.anomalies, size - size // 2, generator)
    while True:
        yield together(next(normals), next(anomalies))


def mixed(data: Samples, size: int, generator: torch.Generator) -> Iterator[Samples]:
    """Balanced batches where there are labelled anomalies, and batches of normal rows where there
    are none.
    """
    return (
        balanced(data, size, generator)
        if len(data.anomalies)
        else random_batches(data.normals, size, generator)
    )


class HeldOut(NamedTuple):
    """A split of labelled anomalies.

    Parameters
    ----------
    inside : Tensor
        Numbers of the rows to learn from (i,), int64.
    outside : Tensor
        Numbers of the rows to be judged on (o,), int64.
    known : bool
        Whether these are of classes that `inside` shows.
    """

    inside: Tensor
    outside: Tensor
    known: bool  # whether the rows held out are of classes that `inside` shows


def held_out_splits(
    anomalies: Samples, generator: torch.Generator, *, folds: int, most: int = 6
) -> list[HeldOut]:
    """Splits of labelled anomalies: whole classes, at most `most` of them, then `folds` parts of
    each class.

    With a single class nothing can be held out whole. It is then cut in half across its longest
    extent, and each half is held out in turn: the part that looks least like the rest stands in for
    a class that nobody has seen. Halves of fewer than 3 rows are no evidence; then only parts are
    held out. A single row cannot be held out: an empty list."""
    if len(anomalies) < 2:
        return []
    names = anomalies.y if len(anomalies.classes) > 1 else line_halves(anomalies.x)
    classes = names.unique()
    classes = classes[torch.randperm(len(classes), generator=generator).to(classes.device)[:most]]
    parts = stratified_folds(anomalies.y, folds, generator)
    whole = [(names, c, False) for c in classes.tolist()] if len(names.unique()) > 1 else []
    splits = whole + [(parts, f, True) for f in range(min(folds, len(anomalies)))]
    return [
        HeldOut((kind != c).nonzero()[:, 0], (kind == c).nonzero()[:, 0], known)
        for kind, c, known in splits
    ]


def hiding_and_showing(
    anomalies: Samples, generator: torch.Generator, *, known: float
) -> list[tuple[HeldOut, float]]:
    """Splits and their shares of the outer loss: one shows all classes, the others hide one class
    each.

    The first has the share `known`; there, each anomaly is to be hidden from itself, so a single
    one shows nothing."""
    every = torch.arange(len(anomalies), device=anomalies.x.device)
    hiding = [split for split in held_out_splits(anomalies, generator, folds=1) if not split.known]
    showing = HeldOut(every if len(every) > 1 else every[:0], every, known=True)
    left = (1 - known) / max(len(hiding), 1)
    return [(showing, known if hiding else 1.0), *((split, left) for split in hiding)]


def no_splits(anomalies: Samples, turns: int) -> list[HeldOut]:
    """What to do where no anomaly can be held out: learn from all of them, in so many turns."""
    everything = torch.arange(len(anomalies), device=anomalies.x.device)
    return [HeldOut(everything, everything[:0], known=False)] * turns


def line_halves(x: Tensor, least: int = 3) -> Tensor:
    """0 and 1 for the halves of the rows along the line through two far ends; all 0 when too few:
    (n, d) -> (n,).
    """
    half = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    if len(x) >= 2 * least:
        end = x[(x - x.mean(dim=0)).norm(dim=1).argmax()]
        other = x[(x - end).norm(dim=1).argmax()]
        half[((x - end) @ (other - end)).argsort()[len(x) // 2 :]] = 1
    return half


def parted(
    rows: Tensor, generator: torch.Generator, *, share: float = 0.7
) -> tuple[Tensor, Tensor]:
    """Random rows to learn from, and the others, at least one each; of a single row, or none, both
    are all: (n,).
    """
    if len(rows) < 2:
        return rows, rows
    shuffled = rows[torch.randperm(len(rows), generator=generator).to(rows.device)]
    cut = min(max(round(share * len(rows)), 1), len(rows) - 1)
    return shuffled[:cut], shuffled[cut:]


def task(data: Samples, size: int, generator: torch.Generator) -> tuple[Samples, Samples]:
    """Some normals, drawn by weight without replacement, and all anomalies; each side `parted`."""
    normal = data.y <= 0
    chance = (data.weight.clamp_min(1e-12) * normal).double().cpu()
    drawn = torch.multinomial(chance, min(size, int(normal.sum())), generator=generator)
    sides = [parted(rows, generator) for rows in (drawn, (~normal).nonzero()[:, 0].cpu())]
    shown, hidden = (torch.cat(part).to(data.x.device) for part in zip(*sides, strict=True))
    return data[shown], data[hidden]


def stratified_folds(y: Tensor, folds: int, generator: torch.Generator) -> Tensor:
    """Fold number of each row, every class spread evenly over the folds: (n,) -> (n,)."""
    shuffled = torch.randperm(len(y), generator=generator).to(y.device)
    order = shuffled[y[shuffled].argsort(stable=True)]
    fold = torch.empty_like(y)
    fold[order] = torch.arange(len(y), device=y.device) % folds
    return fold


def class_held_out(data: Samples, size: int, generator: torch.Generator) -> Iterator[Episode]:
    """Episodes of normals and anomalies whose query shows one anomaly class, the support the
    others, in rotation.

    With fewer than two classes support and query share the class: nothing can be held out.
    """
    normals, anomalies = data.normals, data.anomalies
    classes = data.classes
    while True:
        for hidden in torch.randperm(max(len(classes), 1), generator=generator).tolist():
            outside = (
                anomalies.y == classes[hidden]
                if len(classes) > 1
                else torch.ones_like(anomalies.y, dtype=torch.bool)
            )
            inside = ~outside if len(classes) > 1 else outside
            support = [
                next(random_batches(normals, size // 2, generator)),
                next(random_batches(anomalies[inside], size - size // 2, generator)),
            ]
            query = [
                next(random_batches(normals, size // 2, generator)),
                next(random_batches(anomalies[outside], size - size // 2, generator)),
            ]
            yield Episode(together(*support), together(*query))


def tasks(data: Samples, size: int, generator: torch.Generator) -> Iterator[Episode]:
    """Episodes of distinct rows whose query holds no row of the support, and an anomaly class that
    it lacks; no end.

    Support and query each have `size` normals, of one group where there are several, and at most as
    many anomalies. Of a single class one half is hidden, or if that is small, some rows; a single
    row is in both."""
    normals, anomalies = data.normals, data.anomalies
    kinds = [normals[normals.group == g] for g in normals.group.unique()]
    halves_of = [in_two(kind, size, generator) for kind in kinds]
    while True:
        for split in hiding(anomalies, generator):
            inside, outside = next(halves_of[int(draw(len(kinds), 1, generator))])
            shown, hidden = (
                at_most(anomalies[rows], size, generator) for rows in (split.inside, split.outside)
            )
            yield Episode(together(inside, shown), together(outside, hidden))


def hiding(anomalies: Samples, generator: torch.Generator) -> list[HeldOut]:
    """Ways to hide a class, or where there is none to hide some rows, or where there are none to
    show and ask all.
    """
    splits = held_out_splits(anomalies, generator, folds=2)
    every = torch.arange(len(anomalies), device=anomalies.x.device)
    return (
        [split for split in splits if not split.known]
        or splits
        or [HeldOut(every, every, known=True)]
    )


def in_two(
    data: Samples, size: int, generator: torch.Generator
) -> Iterator[tuple[Samples, Samples]]:
    """Two draws of `size` rows that share none: all rows in random order, before any comes again;
    one row is in both.

    >>> data = Samples.of(torch.arange(5.0)[:, None])
    >>> [len(part) for part in next(in_two(data, 10, torch.Generator()))]
    [2, 2]
    """
    half = max(1, min(size, len(data) // 2))
    while True:
        order = torch.randperm(len(data), generator=generator).to(data.x.device)
        if len(data) == 1:
            order = order.repeat(2)
        for rows in order[: len(order) // (2 * half) * 2 * half].split(2 * half):
            yield data[rows[:half]], data[rows[half:]]
