"""Policies on simulated batches, contaminated calibration, blocks that training never saw, and
p-values by labelled anomalies.

python -m bench policies                    # all of it, about an hour of one core
python -m bench policies --part batches     # a part of it
python -m bench policies --short            # a minute
"""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data import data_file
from bench.data.pool import CLASSES, Case, Trial, stems
from bench.data.sets import SETS
from bench.runs.command import options
from bench.runs.entrants import UNLABELLED
from unseen import Conformal, Detector, Policy, read_table
from unseen.detector.checking import kept_after, places_to_check

Array = NDArray[np.float64]
QS = (0.05, 0.1, 0.2)
CALIBRATING, NORMALS, ANOMALIES, CHECKED = 2000, 950, 50, 20
DIRT = (0.01, 0.05, 0.1)  # shares of anomalies among the calibration rows
POOL = 9000  # rows of a side that batches are drawn from
DRAWS = {"nsl_kdd": None, "shuttle": None, "nsl_kdd by protocol": "protocol_type"}
# column of blocks, normal rows a block that train, normal rows that make it a block, numbers of
# blocks that train
BLOCKS: dict[str, tuple[str, str, str, int, int, tuple[int, ...]]] = {
    "tep": ("tep/test.parquet", "fault", "run", 160, 100, (4, 8, 16)),
    "nsl_kdd": ("nsl_kdd/train.parquet", "family", "service", 400, 20, (8, 12, 16)),
    "unsw_nb15": ("unsw_nb15/flows.parquet", "attack_cat", "state", 1000, 100, (3,)),
}
ASIDE = {"run", "sample", "service", "state", "fault", "attack", "family", "attack_cat"}


PARTS = ("batches", "blocks", "integrative")


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument(
        "--sets", nargs="+", choices=BLOCKS, default=tuple(BLOCKS), help="of blocks"
    )
    parser.add_argument("--methods", nargs="+", default=("mahalanobis", "nearest", None))
    chosen = parser.parse_args()
    if chosen.short:
        chosen.batches, chosen.seeds, chosen.sets, chosen.methods = (
            50,
            2,
            ("tep",),
            ("mahalanobis",),
        )
    if "batches" in chosen.part:
        print_batches(chosen)
    if "blocks" in chosen.part:
        print_blocks(chosen.seeds, chosen.methods, chosen.sets)
    if "integrative" in chosen.part:
        print_integrative(2 if chosen.short else 4)


def print_batches(chosen: argparse.Namespace) -> None:
    print(f"\n{chosen.batches} batches of {NORMALS} normals and {ANOMALIES} anomalies")
    method = "mahalanobis" if chosen.short else None
    for name, column in DRAWS.items():
        normal, anomalous, domains = pools(name.split()[0], column, method)
        results = [
            batch(normal, anomalous, domains, np.random.default_rng([k, 15]))
            for k in range(chosen.batches)
        ]
        for how in results[0]:
            rows = np.array([each[how] for each in results])
            mean, error = rows.mean(axis=0), rows.std(axis=0) / np.sqrt(len(rows))
            cells = [f"{a:.3f} ± {b:.3f}" for a, b in zip(mean, error, strict=True)]
            print(f"{name:20} {how:14}", "  ".join(cells), flush=True)


def pools(
    name: str, column: str | None, method: str | None
) -> tuple[Array, Array, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Scores of fresh normals and anomalies by one detector, and their domains."""
    rng, source = np.random.default_rng(0), SETS[name]
    table = source.tables()[0]
    y = np.array(table[source.label].to_pylist(), dtype=object)
    rows = table.drop_columns([source.label])
    domain = np.zeros(len(y), dtype=np.int64)
    if column is not None:
        domain = np.unique(rows[column].to_pylist(), return_inverse=True)[1]
    normals = rng.permutation(np.flatnonzero(y == "normal"))
    kinds = rng.permutation([k for k in np.unique(y.astype(str)) if (y == k).sum() >= 60][:-1])
    kinds = [k for k in kinds if k != "normal"][:3]
    shots = np.concatenate([rng.permutation(np.flatnonzero(y == k))[:10] for k in kinds])
    train = np.concatenate([normals[:5000], shots])
    others = rng.permutation(np.setdiff1d(np.flatnonzero(y != "normal"), shots))
    detector = Detector(method, calibration=0.2, random_state=0).fit(rows.take(train), y[train])
    fresh = normals[5000 : 5000 + POOL], others[:POOL]
    scores = [detector.anomaly_score(rows.take(part)) for part in fresh]
    return scores[0], scores[1], (domain[fresh[0]], domain[fresh[1]])


def batch(
    normal: Array,
    anomalous: Array,
    domains: tuple[NDArray[np.int64], NDArray[np.int64]],
    rng: np.random.Generator,
) -> dict[str, list[float]]:
    """Of one batch, for each calibration: false discovery proportion and power at each q, share of
    normals flagged at 0.002 (20 alarms in 10,000 rows), and cost of the policy of cost 20 : 1 by
    that of alpha 0.05.
    """
    mixed, other = rng.permutation(len(normal)), rng.permutation(len(anomalous))
    clean, tested = mixed[:CALIBRATING], mixed[CALIBRATING : CALIBRATING + NORMALS]
    most = round(max(DIRT) * CALIBRATING)
    hidden, found = other[:most], other[most : most + ANOMALIES]
    score = np.concatenate([normal[tested], anomalous[found]])
    group = np.concatenate([domains[0][tested], domains[1][found]])
    truth = np.arange(len(score)) >= len(tested)
    each = {"clean": (normal[clean], domains[0][clean])}
    for share in DIRT:
        dirt = round(share * CALIBRATING)
        dirty = np.concatenate([normal[clean[dirt:]], anomalous[hidden[:dirt]]])
        theirs = np.concatenate([domains[0][clean[dirt:]], domains[1][hidden[:dirt]]])
        order = np.argsort(-dirty, kind="stable")
        places = places_to_check(len(dirty), CHECKED)
        kept = kept_after(len(dirty), places, order[places] < len(dirty) - dirt)
        each[f"{share:.0%} anomalies"] = dirty, theirs
        each[f"{share:.0%}, checked"] = dirty[order][kept], theirs[order][kept]
    return {how: figures(pvalues(*of, score, group), truth) for how, of in each.items()}


def pvalues(
    calibration: Array, theirs: NDArray[np.int64], score: Array, group: NDArray[np.int64]
) -> Array:
    """p-values, each in its own domain where that has 19 calibration rows."""
    found = Conformal.fit(calibration).pvalue(score)
    for code in np.unique(group):
        if (theirs == code).sum() >= 19:
            own = Conformal.fit(calibration[theirs == code])
            found[group == code] = own.pvalue(score[group == code])
    return found


def figures(p: Array, truth: NDArray[np.bool_]) -> list[float]:
    """What `batch` tells of each calibration."""

    def cost(policy: Policy) -> float:
        flagged = p <= policy.threshold(p)
        return float(flagged.sum() + 20 * (truth & ~flagged).sum())

    values = []
    for q in QS:
        flagged = p <= Policy.fdr(q).threshold(p)
        values += [(flagged & ~truth).sum() / max(1, flagged.sum()), flagged[truth].mean()]
    daily = float((p[~truth] <= Policy.per_day(20, traffic=10_000).level).mean())
    return [*values, daily, cost(Policy.cost(20, 1)) / cost(Policy.alpha(0.05))]


def print_blocks(seeds: int, methods: Sequence[str | None], names: Sequence[str]) -> None:
    print("\nnormals of a new block flagged at 0.05, and anomalies found")
    for name in names:
        present = len(blocks_of(name)[-1])
        for count in BLOCKS[name][-1]:
            times = present if present == count + 1 else seeds  # each block is the new one once
            for method in methods:
                found = np.array([new_block(name, count, method, seed) for seed in range(times)])
                mean, spread = found.mean(axis=0), found.std(axis=0)
                cells = [
                    f"{how} {mean[k]:.3f} ± {spread[k]:.3f}, found {mean[k + 1]:.3f}"
                    for k, how in ((0, "random"), (2, "blocks"), (4, "less medians"))
                ]
                lost = f"power lost {mean[1] - mean[3]:.3f}"
                print(f"{name:10} {count:3} {method or 'default':12}", *cells, lost, sep="  ")


def new_block(name: str, count: int, method: str | None, seed: int) -> list[float]:
    """Share of a new block's normals flagged at 0.05, mean over up to 6 blocks, and of anomalies
    found: with calibration rows drawn at random, by blocks, and by blocks with scores less the
    median of their block, of which a tenth are anomalies where it is new.
    """
    rng, (rows, y, blocks, present) = np.random.default_rng(seed), blocks_of(name)
    most = BLOCKS[name][3]
    mixed = np.roll(present, seed) if len(present) == count + 1 else rng.permutation(present)
    chosen = [rng.permutation(rows_of(y, blocks, b))[:most] for b in mixed[:count]]
    others = np.flatnonzero(y != "normal")
    kinds = rng.choice(np.unique(y[others].astype(str)), 3, replace=False)
    shots = np.concatenate([rng.permutation(np.flatnonzero(y == k))[:10] for k in kinds])
    train = np.concatenate([*chosen, shots])
    anomalies = rng.permutation(np.setdiff1d(others, shots))[:1000]
    result = []
    for by in (None, blocks[train]):
        detector = Detector(method, random_state=seed).fit(rows.take(train), y[train], blocks=by)
        flagged = [
            (detector.pvalue(rows.take(rows_of(y, blocks, b)[:300])) <= 0.05).mean()
            for b in mixed[count:][:6]
        ]
        found = (detector.pvalue(rows.take(anomalies)) <= 0.05).mean()
        result += [float(np.mean(flagged)), float(found)]
    member, of_anomalies = detector.members_[0], detector.anomaly_score(rows.take(anomalies))
    centred, own = member.calibration.copy(), blocks[train][member.held_out]
    for block in np.unique(own):
        centred[own == block] -= np.median(centred[own == block])
    each = []
    for b in mixed[count:][:6]:
        score = detector.anomaly_score(rows.take(rows_of(y, blocks, b)[:300]))
        middle = np.median(np.concatenate([score, of_anomalies[: max(1, len(score) // 9)]]))
        p = [Conformal.fit(centred).pvalue(part - middle) for part in (score, of_anomalies)]
        each.append([(part <= 0.05).mean() for part in p])
    return [*result, *np.mean(each, axis=0).tolist()]


def blocks_of(name: str) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Rows, labels, blocks, and the blocks that have normals enough."""
    file, label, column, _, least, _ = BLOCKS[name]
    table = read_table(data_file(file))
    y, blocks = (np.array(table[c].to_pylist(), dtype=object) for c in (label, column))
    rows = table.drop_columns([c for c in table.column_names if c in ASIDE])
    enough = [b for b in np.unique(blocks) if len(rows_of(y, blocks, b)) >= least]
    return rows, y, blocks, np.array(enough, dtype=object)


def rows_of(y: NDArray[Any], blocks: NDArray[Any], block: object) -> NDArray[np.int64]:
    """Numbers of the normal rows of a block."""
    return np.flatnonzero((y == "normal") & (blocks == block))


def print_integrative(seeds: int) -> None:
    """Normals, and anomalies of seen and unseen classes, with p <= 0.05 and 0.1: mean of tables."""
    print(f"\np-values by labelled anomalies, tables with natural classes, {seeds} seeds")
    found = [
        [integrative(Case("classes", name, "3x10").trial(seed), seed) for seed in range(seeds)]
        for name in stems(CLASSES)
    ]
    for how in found[0][0]:
        tables = [np.nanmean([each[how] for each in table], axis=0) for table in found]
        mean, error = np.mean(tables, axis=0), np.std(tables, axis=0) / np.sqrt(len(tables))
        print(f"{how:34}", *(f"{a:.3f} ± {b:.3f}" for a, b in zip(mean, error, strict=True)))


def integrative(trial: Trial, seed: int) -> dict[str, list[float]]:
    """Shares of normals, seen and unseen anomalies at each level, by the default's score and by the
    ratio of two p-values (Liang, Sesia & Sun 2024, arXiv 2208.11111): as a normal row, and as one
    of the labelled classes, whichever is likeliest; the ratio is calibrated by an ordinary split.
    """
    roles = [trial.answers == 0, np.isin(trial.answers, trial.seen)]
    roles.append(~roles[0] & ~roles[1])
    result = {}
    for name, method in (("default", None), ("without labels", UNLABELLED)):
        detector = Detector(method, calibration=0.4, random_state=seed)
        held_out = detector.fit(trial.train, trial.kinds).members_[0].held_out
        sides = trial.train.take(held_out), trial.test
        score = [detector.anomaly_score(rows) for rows in sides]
        as_class = [detector.verdict(rows).class_pvalue.max(axis=1) for rows in sides]
        first = np.random.default_rng(seed).permutation(len(score[0])) % 2 == 0
        as_normal = [Conformal.fit(score[0][first]).pvalue(s) for s in score]
        ratio = [np.log(b / a) for a, b in zip(as_normal, as_class, strict=True)]
        p = {
            f"{name}, all calibration rows": Conformal.fit(score[0]).pvalue(score[1]),
            f"{name}, half of them": Conformal.fit(score[0][~first]).pvalue(score[1]),
            f"{name}, ratio": Conformal.fit(ratio[0][~first]).pvalue(ratio[1]),
        }
        for how, values in p.items():
            result[how] = [float((values[r] <= a).mean()) for a in (0.05, 0.1) for r in roles]
    return result
