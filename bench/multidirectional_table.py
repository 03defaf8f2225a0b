"""What each part of `MultiDirectional` adds, and what the paper's literal recipe reaches, under the open-set protocol.

python -m bench.multidirectional_table                       # all variants, six sets, 5 seeds
python -m bench.multidirectional_table --sets digits --seeds 2
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from bench import show, spread
from bench.sets import SETS, identical
from unseen.detector.detector import Detector
from unseen.evaluation.choices import Protocol
from unseen.evaluation.draws import draw_rows
from unseen.evaluation.metrics import over_classes
from unseen.evaluation.protocol import one_run
from unseen.methods.multidirectional import MultiDirectional
from unseen.methods.multidirectional_literal import MultiDirectionalLiteral
from unseen.parts.described import DescribedScorer
from unseen.types import Method, Run, Samples
from unseen.vision.layout import labelled


class Silenced(DescribedScorer):
    """The scorer with a part of its columns left out."""

    def __init__(self, d: int, part: str) -> None:
        super().__init__(d)
        self.part = part

    def standardise(self, normals: Tensor, position: float) -> None:
        super().standardise(normals, position)
        q = self.deviation.width
        self.trust[{"description": slice(0, q), "closeness": slice(q, q + 2)}[self.part]] = 0


@dataclass(frozen=True)
class Without:
    """The whole method on a silenced scorer."""

    part: str
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return Silenced(*shape, part=self.part)

    def train(self, scorer: Silenced, data: Samples, run: Run) -> None:
        MultiDirectional().train(scorer, data, run)


WHOLE = "whole"
VARIANTS: dict[str, Method] = {
    WHOLE: MultiDirectional(),
    "no description": Without("description"),
    "no closeness": Without("closeness"),
    "no position": MultiDirectional(position=0.0),
    "no pseudo-anomalies": MultiDirectional(cut=0.0),
    "no class hidden": MultiDirectional(seen_class_weight=1.0),
    "hidden classes alone": MultiDirectional(seen_class_weight=0.0),
    "a tenth of the ridge": MultiDirectional(ridge=0.03),
    "literal recipe": MultiDirectionalLiteral(),
}
ROLES = ("unseen", "seen")
Figures = dict[str, dict[str, dict[str, list[float]]]]  # set, variant, role -> AUROC of each seed


def main() -> None:
    """Evaluate all variants on the same rows; figures are mean AUROC ± sd over seeds."""
    options = argparse.ArgumentParser(prog="python -m bench.multidirectional_table", description=main.__doc__)
    options.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    options.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    options.add_argument("--seeds", type=int, default=Protocol.seeds)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--json", type=Path, help="file for the figures of each seed")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    logging.getLogger("unseen").setLevel(logging.ERROR)  # each fit would list its constant columns
    found: Figures = {}
    for name in chosen.sets:
        found[name] = one_set(name, chosen.variants, chosen.seeds)
        if chosen.json:
            chosen.json.write_text(json.dumps(found, indent=1))
    print()
    for role in ROLES:
        rows = [line(variant, role, found) for variant in chosen.variants]
        show(f"AUROC on {role} classes, {chosen.seeds} seeds: mean ± sd", ["variant", *found, "mean of sets"], rows)
    others = [variant for variant in chosen.variants if variant != WHOLE]
    if len(others) < len(chosen.variants):
        title = "Whole method less variant, mean ± standard error, and draws (set x seed) where the whole is better"
        columns = ["variant", *(f"{role}{what}" for role in ROLES for what in ("", ", better"))]
        show(title, columns, [against(variant, found) for variant in others])


def one_set(name: str, variants: list[str], seeds: int) -> dict[str, dict[str, list[float]]]:
    """AUROC of all variants on one data set: each seed's rows are the same for all."""
    source = SETS[name]
    train, test = source.tables()
    table, codes, names, _ = labelled(train, source.label, "normal")
    tested, answers, names = (
        (table, codes, names) if test is None else labelled(test, source.label, "normal", names)[:3]
    )
    alike = identical(table) if test is None else None
    found: dict[str, dict[str, list[float]]] = {variant: {role: [] for role in ROLES} for variant in variants}
    for seed in range(seeds):
        draw = draw_rows(codes, answers, Protocol(), np.random.default_rng(seed), alike)
        for variant in variants:
            detector = Detector(VARIANTS[variant], random_state=seed)
            classes = one_run(detector, table, None, tested, answers, draw, names)["classes"]
            for role in ROLES:
                figures = over_classes(classes, role)
                found[variant][role].append(figures["auroc"] if figures else float("nan"))
            print(".", end="", flush=True)
    return found


def line(variant: str, role: str, found: Figures) -> list[str]:
    """A variant's figures set by set, then the mean over sets, whose spread is over seeds."""
    each = np.array([of_set[variant][role] for of_set in found.values()])  # (sets, seeds)
    return [variant, *(spread(seeds) for seeds in each), spread(each.mean(axis=0))]


def against(variant: str, found: Figures) -> list[str]:
    """How much better the whole method is than the variant, draw by draw."""
    row = [variant]
    for role in ROLES:
        gain = np.concatenate([np.subtract(of_set[WHOLE][role], of_set[variant][role]) for of_set in found.values()])
        error = gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else 0.0
        row += [f"{gain.mean():+.4f} ± {error:.4f}", f"{(gain > 0).sum()} of {len(gain)}"]
    return row


if __name__ == "__main__":
    main()
