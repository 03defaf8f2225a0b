"""What a detector computes from encoded rows, as one module that a graph can be drawn of."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.detector.conformal import DIGITS, LEAST, Conformal, tie_width
from unseen.detector.domains import LEAST as ENOUGH
from unseen.detector.domains import conformal_of
from unseen.detector.members import STEP, Member
from unseen.parts.exporting import counted_below
from unseen.types import Encoder, ability


class JudgeGraph(nn.Module):
    """Score and p-value of encoded rows, as `Detector.judged` gives them: (n, *f) for each
    encoding, (n,) unprecedented, (n,) domain -> (n,), (n,).

    Parameters
    ----------
    detector : Detector
        A fitted one.
    """

    def __init__(self, detector: Any) -> None:
        super().__init__()
        members, known = detector.members_, encodings(detector)
        self.encoding = [
            next(name for name, encoder in known.items() if encoder == member.encoder)
            for member in members
        ]
        self.members = nn.ModuleList(_MemberGraph(member) for member in members)
        self.beside = _BesideGraph([m.calibration for m in members], detector.conformal_)
        self.by_domain = nn.ModuleDict()
        for code, parts in domains_of(detector):
            self.by_domain[str(code)] = _BesideGraph(parts, conformal_of(parts, tail=detector.tail))
        self.names = input_names(detector)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        given = dict(zip(self.names, inputs, strict=True))
        each = [
            member(given[name], given.get("unprecedented"))
            for member, name in zip(self.members, self.encoding, strict=True)
        ]
        score, pvalue = self.beside(each)
        for code, beside in self.by_domain.items():
            pvalue = torch.where(given["domain"] == int(code), beside(each)[1], pvalue)
        return score, pvalue


def encodings(detector: Any) -> dict[str, Encoder]:
    """What encodes rows, by the name of the input that takes them. Folds have an encoding each, but
    for images, of which an encoder learns nothing.
    """
    found: list[Encoder] = []
    for member in detector.members_:
        if member.encoder not in found:
            found.append(member.encoder)
    names = [f"x{k}" for k in range(len(found))] if len(found) > 1 else ["x"]
    return dict(zip(names, found, strict=True))


def input_names(detector: Any) -> tuple[str, ...]:
    """What the graph takes, in its order."""
    return (
        *encodings(detector),
        *(["unprecedented"] if detector.schema_.noun == "rows" else []),
        *(["domain"] if domains_of(detector) else []),
    )


def domains_of(detector: Any) -> list[tuple[int, list[NDArray[np.float64]]]]:
    """Each domain with p-values of its own, and the calibration scores of its normals by each
    member.
    """
    members = detector.members_
    if any(member.group is None for member in members):
        return []
    found = [
        (code, [member.calibration[member.group == code] for member in members])
        for code in range(len(detector.groups_))
    ]
    return [
        (code, parts)
        for code, parts in found
        if min(map(len, parts)) and sum(map(len, parts)) >= ENOUGH
    ]


class _MemberGraph(nn.Module):
    """Scores of encoded rows by one member, raised by what is unprecedented in them: (n, *f), (n,)
    -> (n,), float64.
    """

    bounds: Tensor

    def __init__(self, member: Member) -> None:
        super().__init__()
        self.scorer = copy.deepcopy(member.scorer).cpu().eval()
        limits = ability(member.encoder, "limits") or ()
        self.bounded = [j for j, each in enumerate(limits) if each is not None]
        bounds = np.array([limits[j] for j in self.bounded], dtype=np.float32).reshape(-1, 2)
        self.register_buffer("bounds", torch.from_numpy(bounds))
        middle, high = np.quantile(member.calibration, [0.5, 0.9])
        low, self.top = (float(member.calibration[k]) for k in (0, -1))
        self.middle = float(middle)
        self.spread = float(max(high - middle, 1e-3 * (self.top - low))) or 1.0
        self.above = float(np.nextafter(self.top, np.inf))

    def forward(self, x: Tensor, unprecedented: Tensor | None) -> Tensor:
        score = self.scorer(x).double()
        if unprecedented is None:
            return score
        amount = unprecedented
        if self.bounded:
            part, bounds = x[:, self.bounded], self.bounds
            amount = amount + ((part < bounds[:, 0]) | (part > bounds[:, 1])).sum(dim=1).double()
        own = _fraction((score - self.middle) / self.spread)
        beyond = score.clamp_min(self.top) + STEP * self.spread * (amount + own)
        return torch.where(amount > 0, beyond.clamp_min(self.above), score)


class _BesideGraph(nn.Module):
    """One score and its p-value out of members' scores of the same rows: K times (n,) -> (n,),
    (n,).
    """

    ordered: Tensor

    def __init__(self, parts: list[NDArray[np.float64]], conformal: Conformal) -> None:
        super().__init__()
        self.tail = conformal.tail
        self.register_buffer("ordered", torch.from_numpy(conformal.scores + conformal.alike))
        self.several = len(parts) > 1
        self.units = []
        for k, calibration in enumerate(parts if self.several else ()):
            self.register_buffer(f"fold{k}", torch.from_numpy(calibration + tie_width(calibration)))
            middle, high = np.quantile(calibration, [0.5, 0.9])
            self.units.append((float(middle), float(max(high - middle, 1e-12))))

    def forward(self, each: list[Tensor]) -> tuple[Tensor, Tensor]:
        score = self.outranked(each) if self.several else each[0]
        m = len(self.ordered)
        above = m - _count_below(self.ordered, score)
        pvalue = (1 + above).double() / (m + 1)
        if self.tail is not None:
            pvalue = torch.where(above == 0, torch.minimum(pvalue, self.beyond(score)), pvalue)
        return score, pvalue

    def outranked(self, each: list[Tensor]) -> Tensor:
        rank = sum(_count_below(getattr(self, f"fold{k}"), score) for k, score in enumerate(each))
        deviations = [
            (s - middle) / unit for s, (middle, unit) in zip(each, self.units, strict=True)
        ]
        return rank + _fraction(torch.stack(deviations).mean(dim=0))

    def beyond(self, score: Tensor) -> Tensor:
        """The p-value by the tail, `Tail.pvalue`."""
        tail = self.tail
        assert tail is not None
        if tail.ranked:
            t = 2 * (score - tail.ranked) - 1
            score = t / (1 - t.abs()).clamp_min(1e-12)
        excess = (score - tail.start).clamp_min(0)
        p = tail.beyond * (1 + tail.shape * excess / tail.scale) ** (-1 / tail.shape)
        p = p.clamp_min(LEAST)
        unit = 10.0 ** ((p.log() / math.log(10)).floor() - (DIGITS - 1))
        return ((p / unit - 1e-9).ceil() * unit).clamp_min(LEAST)


def _count_below(ordered: Tensor, values: Tensor) -> Tensor:
    return counted_below(ordered[None], values[None])[0]


def _fraction(deviation: Tensor) -> Tensor:
    return 0.5 + 0.5 * deviation / (1 + deviation.abs())
