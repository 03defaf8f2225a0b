"""What each piece of evidence and each idea of the outer level adds to the default, under the open-set protocol.

python -m bench.ablation                                     # six sets, 5 seeds: says, decides nothing
python -m bench.ablation --sets development --seeds 2        # other sets, to judge a change by
python -m bench.ablation --seen 1                            # labels of one class
python -m bench.ablation --sets development --seeds 1 --with autoencoder flow    # would these be worth having?

One training run serves all variants of a draw: they differ in what has a say, not in what was learned.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench import show, spread
from bench.development import DEVELOPMENT
from bench.sets import SETS, identical
from unseen.data.schema import Schema
from unseen.data.split import take
from unseen.evaluation.choices import Protocol
from unseen.evaluation.draws import Draw, draw_rows
from unseen.evaluation.metrics import figures, over_classes
from unseen.methods import DEFAULT, METHODS
from unseen.methods.evidence import EvidenceStack
from unseen.parts.confidence import weights
from unseen.parts.deviation import FREE
from unseen.parts.evidence import EvidenceScorer
from unseen.parts.nets import seeded
from unseen.parts.scoring import CHUNK
from unseen.types import Run, Samples
from unseen.vision.layout import labelled

WHOLE = "whole"
GROUPS = {"development": DEVELOPMENT, "six": SETS}
COLUMNS = ("unseen", "seen", "TPR at 5% FPR, unseen")
Weigh = Callable[[EvidenceScorer, list[str]], Tensor]  # weights (e,) of a trained stack, whose evidence has these names


def chosen_by(usable: Callable[[str], bool], **changes: Any) -> Weigh:
    """Weights (e,) of the stack with these fields changed, and of the evidence that is `usable` alone."""
    stack: EvidenceStack = dataclasses.replace(DEFAULT, **changes)

    def weigh(scorer: EvidenceScorer, names: list[str]) -> Tensor:
        kept = (scorer.weights > 0) & torch.tensor([usable(name) for name in names])
        found = torch.zeros_like(scorer.weights)
        if kept.any():
            found[kept] = weights(
                scorer.auroc[kept],
                scorer.learned[kept],
                inverse_temperature=stack.inverse_temperature,
                known=stack.known,
                most=stack.learned,
            )
        return found

    return weigh


def named(stack: EvidenceStack) -> list[str]:
    """The evidence of a stack, by name."""
    return [*stack.base_scores, *(f"{type(method).__name__.lower()} of {view}" for method, view in stack.learners)]


NAMES = named(DEFAULT)


def equally(scorer: EvidenceScorer, names: list[str]) -> Tensor:
    """The same weight for all evidence of the default: (e,)."""
    usable = ((scorer.weights > 0) & torch.tensor([name in NAMES for name in names])).float()
    return usable / usable.sum()


def free(name: str) -> bool:
    return name in FREE


def ours(name: str) -> bool:
    """Whether it is evidence of the default, not of what is tried beside it."""
    return name in NAMES


VARIANTS: dict[str, Weigh] = {
    WHOLE: chosen_by(ours),
    **{f"without {left}": chosen_by(lambda name, left=left: ours(name) and name != left) for left in NAMES},
    "without numbers and plain": chosen_by(
        lambda name: ours(name) and name not in ("nearest-numbers", "nearest-plain")
    ),
    "without both forests": chosen_by(lambda name: ours(name) and "forest" not in name),
    "without both logistics": chosen_by(lambda name: ours(name) and "logistic" not in name),
    "evidence without labels, by AUROC": chosen_by(free),
    "evidence without labels, equally": chosen_by(free, inverse_temperature=(0.0, 0.0)),
    "evidence with labels": chosen_by(lambda name: ours(name) and not free(name)),
    "all equally": equally,
    "no limit to what learned": chosen_by(ours, learned=1.0),
    "verdict on unknown classes alone": chosen_by(ours, known=0.0),
    "verdict on known classes alone": chosen_by(ours, known=1.0),
    "both verdicts equally sharp (10)": chosen_by(ours, inverse_temperature=(10.0, 10.0)),
    **{f"{alone} alone": chosen_by(lambda name, alone=alone: name == alone) for alone in NAMES},
}


def main() -> None:
    """Train the default once for each draw, and score with each variant's weights."""
    options = argparse.ArgumentParser(prog="python -m bench.ablation", description=main.__doc__)
    options.add_argument("--sets", nargs="+", choices=[*GROUPS, *SETS, *DEVELOPMENT], default=["six"])
    options.add_argument("--seeds", type=int, default=Protocol.seeds)
    options.add_argument("--seen", type=int, default=Protocol.seen, help="anomaly classes with labels")
    options.add_argument("--shots", type=int, default=Protocol.shots, help="labelled rows of each")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument(
        "--with", nargs="+", dest="tried", choices=sorted(METHODS), default=[], help="methods on rows to try beside it"
    )
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    logging.getLogger("unseen").setLevel(logging.ERROR)  # each fit would list its constant columns
    protocol = Protocol(seen=chosen.seen, shots=chosen.shots, seeds=chosen.seeds)
    names = list(dict.fromkeys(name for word in chosen.sets for name in GROUPS.get(word, [word])))
    variants = VARIANTS if not chosen.tried else tried(chosen.tried)
    stack = dataclasses.replace(
        DEFAULT, on_raw_features=(*DEFAULT.on_raw_features, *(METHODS[name] for name in chosen.tried))
    )
    found = np.array([one_set(name, protocol, stack, variants) for name in names])  # (sets, seeds, variants, columns)
    print()
    title = f"{protocol.seen} seen classes x {protocol.shots} rows, {len(names)} sets, {protocol.seeds} seeds"
    gains = [f"{column}: beside whole" for column in COLUMNS[:2]]
    rows = [line(variant, found[:, :, v], found[:, :, 0]) for v, variant in enumerate(variants)]
    show(f"{title}: mean of sets ± sd over seeds, ± standard error over draws", ["variant", *COLUMNS, *gains], rows)


def tried(names: list[str]) -> dict[str, Weigh]:
    """The default, and the default with each of these methods beside it, then with all of them."""
    kinds = {name: f"{type(METHODS[name]).__name__.lower()} of rows" for name in names}
    one_by_one = {
        f"with {name}": chosen_by(lambda evidence, kind=kind: ours(evidence) or evidence == kind)
        for name, kind in kinds.items()
    }
    return {WHOLE: chosen_by(ours), **one_by_one, "with all of these": chosen_by(lambda name: True)}


def one_set(name: str, protocol: Protocol, stack: EvidenceStack, variants: dict[str, Weigh]) -> NDArray[np.float64]:
    """Figures of all variants on each draw: (seeds, variants, columns)."""
    source = (DEVELOPMENT | SETS)[name]
    train, test = source.tables()
    table, codes, names, _ = labelled(train, source.label, "normal")
    tested, answers, names = (
        (table, codes, names) if test is None else labelled(test, source.label, "normal", names)[:3]
    )
    alike = identical(table) if test is None else None
    found = []
    for seed in range(protocol.seeds):
        draw = draw_rows(codes, answers, protocol, np.random.default_rng(seed), alike)
        scorer, x = trained(stack, take(table, draw.train), draw, take(tested, draw.test), seed)
        surprises, evidence = surprising(scorer, x), named(stack)
        scores = [(weigh(scorer, evidence) @ surprises).numpy() for weigh in variants.values()]
        found.append([judged(each, answers[draw.test], draw) for each in scores])
        print(".", end="", flush=True)
    return np.array(found)


def trained(stack: EvidenceStack, inside: Any, draw: Draw, test: Any, seed: int) -> tuple[EvidenceScorer, Tensor]:
    """A stack, trained on all rows of a draw, none held back for p-values; and the encoded test rows (n, d)."""
    schema = Schema.infer(inside, normals=draw.y <= 0)
    data = Samples.of(torch.from_numpy(schema.encode(inside)), torch.from_numpy(draw.y))
    run = Run(torch.Generator().manual_seed(seed), logarithms=torch.from_numpy(schema.logarithms))
    scorer = cast(EvidenceScorer, seeded(lambda: stack.build(tuple(data.x.shape[1:])), run.seed()))
    stack.train(scorer, data, run)
    return scorer.eval(), torch.from_numpy(schema.encode(test))


@torch.no_grad()
def surprising(scorer: EvidenceScorer, x: Tensor) -> Tensor:
    """Surprisal of each piece of evidence about each row: (n, d) -> (e, n)."""
    return torch.cat([scorer.surprise(scorer.evidence(rows, scorer.deviation(rows))) for rows in x.split(CHUNK)], dim=1)


def judged(scores: NDArray[np.float32], answers: NDArray[np.int64], draw: Draw) -> list[float]:
    """Macro-averages over classes: (columns,)."""
    normal = scores[answers == 0]
    classes = [
        {"role": "seen" if c in draw.seen else "unseen", **figures(normal, scores[answers == c])}
        for c in np.unique(answers[answers > 0]).tolist()
    ]
    unseen, seen = (over_classes(classes, role) or {} for role in ("unseen", "seen"))
    return [unseen.get("auroc", np.nan), seen.get("auroc", np.nan), unseen.get("tpr_at_5_fpr", np.nan)]


def line(variant: str, found: NDArray[np.float64], whole: NDArray[np.float64]) -> list[str]:
    """A variant's figures (sets, seeds, columns), and what the whole stack gains over it draw by draw."""
    row = [variant, *(spread(np.nanmean(found[:, :, c], axis=0).tolist()) for c in range(len(COLUMNS)))]
    for c in (0, 1):
        gain = (found - whole)[:, :, c].ravel()
        gain = gain[~np.isnan(gain)]
        error = gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else 0.0
        row.append("" if variant == WHOLE else f"{gain.mean():+.4f} ± {error:.4f}")
    return row


if __name__ == "__main__":
    main()
