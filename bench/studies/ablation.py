"""What each part of a method adds, under the open-set protocol: of the default, or another.

python -m bench ablation                                   # the default, six sets, 5 seeds
python -m bench ablation --sets development --seeds 2      # sets to judge a change by
python -m bench ablation --sets development --seeds 1 --with autoencoder flow
python -m bench ablation --of multi-directional

`--with` tries methods as further evidence on raw features. Each variant is a method of its own,
fitted to the same draws.
"""

from dataclasses import replace
from typing import Any

import pandas as pd

from bench.data.sets import DEVELOPMENT, SETS
from bench.pages.text import gain, show, spread
from bench.runs import open_set
from bench.runs.command import finish, resumable
from bench.runs.entrants import LABEL_FREE, UNLABELLED, Ours, own_version
from bench.runs.store import STAMPS, Record, Store, schema
from unseen import Protocol, methods
from unseen.methods import DEFAULT, METHODS, EvidenceStack

GROUPS = {"development": list(DEVELOPMENT), "six": list(SETS)}
FIGURES = ("unseen_auroc", "seen_auroc", "unseen_tpr_at_5_fpr")
WHOLE_METHOD = "whole"
KEY = ("method", "variant", "set", "seed", "seen", "shots", "version")
SCHEMA = schema(
    text=["method", "variant", "set", "version", "error", *STAMPS],
    whole=["seed", "seen", "shots"],
    real=[*FIGURES, "fit_seconds"],
)


def without(field: str, piece: Any) -> EvidenceStack:
    """The default without a measure or a learner."""
    rest = tuple(other for other in getattr(DEFAULT, field) if other is not piece)
    return replace(DEFAULT, **{field: rest})


LABELS = tuple(name for name in DEFAULT.base_scores if name not in LABEL_FREE)
VIEWS = ("on_deviation_features", "on_raw_features", "on_both")
LEARNERS = [(view, one) for view in VIEWS for one in getattr(DEFAULT, view)]
STACK: dict[str, Any] = {
    WHOLE_METHOD: DEFAULT,
    **{f"without {name}": without("base_scores", name) for name in DEFAULT.base_scores},
    **{f"without {type(one).__name__.lower()} {f}": without(f, one) for f, one in LEARNERS},
    "without labels": EvidenceStack(base_scores=LABEL_FREE),
    "without labels, all equally": UNLABELLED,
    "with labels alone": replace(DEFAULT, base_scores=LABELS),
    "all equally": replace(
        DEFAULT, inverse_temperature=(0.0, 0.0), seen_class_weight=0.0, most_from_labels=1.0
    ),
    "no limit to what learned": replace(DEFAULT, most_from_labels=1.0),
    "unseen classes alone weigh": replace(DEFAULT, seen_class_weight=0.0),
    "seen classes alone weigh": replace(DEFAULT, seen_class_weight=1.0),
    "both equally sharp (10)": replace(DEFAULT, inverse_temperature=(10.0, 10.0)),
    **{f"{name} alone": EvidenceStack(base_scores=(name,)) for name in DEFAULT.base_scores},
}
DIRECTIONS = {
    WHOLE_METHOD: methods.MultiDirectional(),
    "no position": methods.MultiDirectional(position=0.0),
    "no pseudo-anomalies": methods.MultiDirectional(cut=0.0),
    "no class hidden": methods.MultiDirectional(seen_class_weight=1.0),
    "hidden classes alone": methods.MultiDirectional(seen_class_weight=0.0),
    "a tenth of the ridge": methods.MultiDirectional(ridge=0.03),
    "literal recipe": methods.MultiDirectionalLiteral(),
}
VARIANTS = {"evidence-stack": STACK, "multi-directional": DIRECTIONS}


def main() -> None:
    parser = resumable(__doc__, "ablation.parquet", limit=1200)
    add = parser.add_argument
    add("--of", choices=VARIANTS, default="evidence-stack")
    add("--sets", nargs="+", choices=[*GROUPS, *SETS, *DEVELOPMENT], default=["six"])
    add("--seeds", type=int, default=Protocol.seeds)
    add("--seen", type=int, default=Protocol.seen, help="anomaly classes with labels")
    add("--shots", type=int, default=Protocol.shots, help="labelled rows of each")
    add("--with", nargs="+", dest="tried", choices=sorted(METHODS), default=[])
    chosen = parser.parse_args()
    sets = dict.fromkeys(name for word in chosen.sets for name in GROUPS.get(word, [word]))
    tried = [WHOLE_METHOD, *(f"with {name}" for name in chosen.tried)]
    variants = tried if chosen.tried else list(VARIANTS[chosen.of])
    cell = (chosen.seen, chosen.shots, own_version())
    jobs = [
        dict(zip(KEY, (chosen.of, variant, data, seed, *cell), strict=True))
        for seed in range(chosen.seeds)
        for data in sets
        for variant in variants
    ]
    store = Store(chosen.out, SCHEMA, KEY)
    finish(store, jobs, one_run, chosen)
    wanted = {store.key_of(job) for job in jobs}
    tell(pd.DataFrame([r for r in store.records() if store.key_of(r) in wanted]), variants)


def one_run(job: Record) -> Record:
    variants, name = VARIANTS[job["method"]], job["variant"]
    tried = (*DEFAULT.on_raw_features, METHODS.get(name.removeprefix("with ")))
    method = variants.get(name) or replace(DEFAULT, on_raw_features=tried)
    protocol = Protocol(seen=job["seen"], shots=job["shots"])
    return open_set.run(Ours(method), job["set"], protocol, job["seed"])


def tell(runs: pd.DataFrame, variants: list[str]) -> None:
    """Means of sets ± sd over seeds, and what a variant gains beside the whole, draw by draw."""
    draws = runs.set_index(["variant", "set", "seed"])[list(FIGURES)]
    rows = []
    for variant in (v for v in variants if v in draws.index):
        one = draws.loc[variant]
        means = one.groupby(level="seed").mean()
        beside = (one - draws.loc[WHOLE_METHOD])[list(FIGURES[:2])]
        gains = ["", ""] if variant == WHOLE_METHOD else [gain(beside[name], 4) for name in beside]
        rows.append([variant, *(spread(means[name]) for name in FIGURES), *gains])
    gains = [f"{role}, beside whole" for role in ("unseen", "seen")]
    heads = ["variant", "unseen", "seen", "TPR at 5% FPR, unseen", *gains]
    show("Mean of sets ± sd over seeds; ± standard error, draws above 0", heads, rows)
