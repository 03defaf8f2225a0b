"""The tables of docs/results.md, from the figures that `python -m bench.openset --json` saved.

python -m bench.openset --method evidence-stack mahalanobis --json openset.json
python -m bench.pages openset.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

FIGURES = {
    "auroc": "AUROC",
    "tpr_at_5_fpr": "TPR at 5% FPR",
    "worst_auroc": "AUROC of the worst class",
}


def main() -> None:
    """Print Markdown: a table for each figure and role, a row for each method, a column for each data set."""
    options = argparse.ArgumentParser(prog="python -m bench.pages", description=main.__doc__)
    options.add_argument("json", type=Path, nargs="+", help="files that bench.openset wrote; a later one wins")
    reports = {
        (report["method"], report["data"]): report
        for file in options.parse_args().json
        for report in json.loads(file.read_text())
    }
    for figure, words in FIGURES.items():
        for role in ("unseen", "seen"):
            print(f"\n{words}, {role} classes, mean ± sd over seeds:\n")
            print(table({key: report[role][figure] for key, report in reports.items()}))
    print("\nShare of test normals with p <= 0.05:\n")
    print(table({key: {"mean": report["normals_flagged_at_5"]} for key, report in reports.items()}))


def table(figures: dict[tuple[str, str], dict[str, Any]]) -> str:
    """One figure of every method and data set, and its mean over the sets."""
    methods, sets = (list(dict.fromkeys(key[j] for key in figures)) for j in (0, 1))
    lines = [f"| method | {' | '.join(sets)} | mean |", "|---" * (len(sets) + 2) + "|"]
    for method in methods:
        cells = [figures.get((method, name), {"mean": None}) for name in sets]
        means = [cell["mean"] for cell in cells if cell["mean"] is not None]
        lines.append(f"| `{method}` | {' | '.join(map(spelled, cells))} | {np.mean(means):.3f} |")
    return "\n".join(lines)


def spelled(figure: dict[str, Any]) -> str:
    """Mean and spread, or a dash where no class has enough rows."""
    if figure["mean"] is None:
        return "-"
    return f"{figure['mean']:.3f}" + (f" ± {figure['sd']:.3f}" if "sd" in figure else "")


if __name__ == "__main__":
    main()
