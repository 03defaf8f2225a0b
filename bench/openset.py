"""The headline table: how well the open-set protocol's anomaly classes are found, data set by data set.

python -m bench.openset --method evidence-stack mahalanobis --seeds 5 --json openset.json
python -m bench.openset --seen 1 --shots 1 --sets shuttle      # one class, one labelled row
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bench import show, verdict
from bench.sets import SETS
from unseen.methods import METHODS
from unseen.methods.evidence import EvidenceStack
from unseen.openset import Protocol, evaluate
from unseen.parts.deviation import FREE

DEFAULT = "evidence-stack"  # whose targets the sets carry
# What the default is when there is no label at all; the protocol always gives some, which these members ignore.
UNLABELLED = EvidenceStack(measures=FREE, sharpness=(0.0, 0.0))
CHOICES = METHODS | {"evidence-stack-unlabelled": UNLABELLED}
OTHERS = {  # (set, method) -> targets, unseen and seen
    ("nsl_kdd", "mahalanobis"): (0.94, None),
    ("nsl_kdd", "multi-directional"): (0.85, 0.95),
}
COLUMNS = [
    *("data", "method", "unseen AUROC", "target", "seen AUROC", "target", "unseen TPR@5%", "seen TPR@5%"),
    *("worst unseen", "hardest class", "flagged at 5%", "fit s", "rows/s"),
]


def main() -> None:
    """Evaluate methods under the open-set protocol; figures are mean ± sd over seeds."""
    options = argparse.ArgumentParser(prog="python -m bench.openset", description=main.__doc__)
    options.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    options.add_argument("--method", nargs="+", choices=CHOICES, default=[DEFAULT])
    options.add_argument("--seeds", type=int, default=Protocol.seeds)
    options.add_argument("--seen", type=int, default=Protocol.seen, help="anomaly classes with labels")
    options.add_argument("--shots", type=int, default=Protocol.shots, help="labelled rows of each")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--json", type=Path, help="file for all figures, class by class")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    logging.getLogger("unseen").setLevel(logging.ERROR)  # each fit would list its constant columns
    protocol = Protocol(seen=chosen.seen, shots=chosen.shots, seeds=chosen.seeds)
    reports = []
    for name in chosen.sets:
        reports += one_set(name, chosen.method, protocol, lambda: print(".", end="", flush=True))
        if chosen.json:
            chosen.json.write_text(json.dumps(reports, indent=1))
    print()
    title = f"Open set, {protocol.seen} seen classes x {protocol.shots} rows, {protocol.seeds} seeds: mean ± sd"
    standard = (protocol.seen, protocol.shots) == (Protocol.seen, Protocol.shots)  # the targets are for these
    show(title, COLUMNS, [line(report, targets_of(report) if standard else (None, None)) for report in reports])


def one_set(name: str, names: list[str], protocol: Protocol, progress: Callable[[], None]) -> list[dict[str, Any]]:
    """Reports of all methods on one data set."""
    source = SETS[name]
    train, test = source.tables()
    chosen = {name: CHOICES[name] for name in names}
    found = evaluate(train, label=source.label, test=test, protocol=protocol, methods=chosen, progress=progress)
    return [{"data": name, **report} for report in found]


def targets_of(report: dict[str, Any]) -> tuple[float | None, float | None]:
    if report["method"] == DEFAULT:
        return SETS[report["data"]].targets or (None, None)
    return OTHERS.get((report["data"], report["method"]), (None, None))


def line(report: dict[str, Any], targets: tuple[float | None, float | None]) -> list[str]:
    """A report as a row of the table."""
    unseen, seen = report["unseen"], report["seen"]
    hardest = [c["class"] for c in report["classes"] if c["role"] == "unseen" and c["averaged"]]
    return [
        report["data"],
        report["method"],
        figure(unseen["auroc"]),
        against(unseen["auroc"], targets[0]),
        figure(seen["auroc"]),
        against(seen["auroc"], targets[1]),
        figure(unseen["tpr_at_5_fpr"]),
        figure(seen["tpr_at_5_fpr"]),
        figure(unseen["worst_auroc"]),
        hardest[0] if hardest else "-",
        f"{report['normals_flagged_at_5']:.3f}",
        f"{report['fit_seconds']:.1f}",
        f"{report['rows_per_second']:,.0f}",
    ]


def figure(entry: dict[str, float | None]) -> str:
    return "-" if entry["mean"] is None else f"{entry['mean']:.3f} ± {entry['sd']:.3f}"


def against(entry: dict[str, float | None], target: float | None) -> str:
    if target is None or entry["mean"] is None:
        return "-"
    return f"{target:.3f} {verdict(entry['mean'] >= target)}"


if __name__ == "__main__":
    main()
