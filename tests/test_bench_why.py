"""Why a method lies below its baseline: where anomalies lie, and thirds of them, by hand; no gap unexplained."""

import doctest

import numpy as np
import pandas as pd
import pytest
import torch
from bench import causes, explain, thirds
from bench.entrants import ROOT
from bench.pages import baseline
from bench.results import CELL
from bench.side_by_side import HEADLINE, RESULTS
from bench.standing import headline_runs, standing
from bench.thirds import by_thirds, measured, outscored, rank_correlation
from bench.why import counted, jobs, where

from unseen.evaluation.draws import Draw
from unseen.methods import METHODS

EVEN = np.full(4, 0.25)


@pytest.mark.parametrize("module", [causes, thirds], ids=lambda module: module.__name__)
def test_examples(module):
    found = doctest.testmod(module)
    assert (found.failed, found.attempted > 0) == (0, True)


def test_thirds_share_the_rows_on_their_borders():
    # 4 rows of a quarter each, in the order 3, 1, 0, 2: a third holds one row and a third of the next
    found, value = np.array([0.5, 0.0, 1.0, 0.25]), np.array([7.0, 5.0, 9.0, 1.0])
    each = by_thirds(found, value, EVEN)
    assert each == pytest.approx([(0.25 + 0 / 3) * 3 / 4, (0 * 2 + 0.5 * 2) / 3 * 3 / 4, (0.5 / 3 + 1.0) * 3 / 4])
    assert np.mean(each) == pytest.approx(found.mean())


def test_a_class_of_few_rows_fills_a_third_as_well():
    weight = np.array([1 / 3, 1 / 6, 1 / 6, 1 / 3])  # the first row is a class of its own
    assert by_thirds(np.array([1.0, 0.0, 0.5, 0.25]), np.arange(4.0), weight) == pytest.approx([1.0, 0.25, 0.25])


def test_rank_correlation_by_hand():
    a = np.array([1.0, 2.0, 3.0, 100.0])
    assert rank_correlation(a, a**3, EVEN) == pytest.approx(1.0)
    # ranks 1 2 3 4 and 2 1 4 3: 1 - 6 * 4 / (4 * 15) = 0.6
    assert rank_correlation(a, np.array([6.0, 5.0, 8.0, 7.0]), EVEN) == pytest.approx(0.6)
    # a row of twice the weight counts as two alike: ranks 1, 2.5 2.5, 4 and 4, 2.5 2.5, 1
    assert rank_correlation(a[:3], -a[:3], np.array([0.25, 0.5, 0.25])) == pytest.approx(-1.0)
    assert np.isnan(rank_correlation(a, np.ones(4), EVEN))


def test_blind_is_what_scores_below_the_median_normal():
    normal, anomaly = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 2.0, 2.5, 9.0])
    assert outscored(normal, anomaly).tolist() == [0.0, 0.375, 0.5, 1.0]
    found = measured(normal, anomaly, np.array([0.4, 0.2, 0.2, 0.2]), {"distance": anomaly})
    assert (found["auroc"], found["blind"]) == pytest.approx((0.2 * 1.875, 0.6))
    assert found["distance_rank"] == pytest.approx(1.0)


def test_anomalies_lie_where_they_lie():
    normals = torch.tensor([[-1.0, -2.0], [1.0, -2.0], [-1.0, 2.0], [1.0, 2.0]])  # deviations 1 and 2, not correlated
    train = torch.cat([normals, torch.tensor([[0.0, 8.0]])])
    x = torch.tensor([[0.0, 6.0], [4.0, 0.0], [3.0, -6.0]])
    found = where(train, x, np.array([0, 0, 0, 0, 3]))
    assert found["column"] == pytest.approx([3.0, 4.0, 3.0], rel=1e-3)
    assert found["direction"] == pytest.approx([1.0, 0.0, -(0.5**0.5)], abs=1e-3)
    unit = (3 / 4) ** 0.5  # variances are of n - 1 rows
    apart = [(1 + 2**2) ** 0.5, (3**2 + 1) ** 0.5, (2**2 + 2**2) ** 0.5]
    assert found["distance"] == pytest.approx([unit * each for each in apart], rel=1e-2)


def test_only_unseen_classes_with_enough_rows_count():
    answers = np.repeat([0, 1, 2, 3], [50, 30, 20, 19])
    rows = np.arange(len(answers))
    assert np.unique(answers[counted(answers, Draw(rows, answers, (1,), rows))]).tolist() == [2]


def runs(*rows):
    """(set, seed, method, AUROC of class a, of class b, fit seconds) each, in the headline cell."""
    table = pd.DataFrame(
        [(data, seed, method, (a + b) / 2, took) for data, seed, method, a, b, took in rows],
        columns=["set", "seed", "method", "unseen_auroc", "fit_seconds"],
    )
    table["classes"] = [
        [
            {"class": "a", "role": "unseen", "rows": 20, "auroc": a},
            {"class": "b", "role": "unseen", "rows": 20, "auroc": b},
            {"class": "few", "role": "unseen", "rows": 19, "auroc": 0.0},
            {"class": "shown", "role": "seen", "rows": 99, "auroc": 0.0},
        ]
        for _, _, _, a, b, _ in rows
    ]
    table[CELL] = HEADLINE
    same = dict.fromkeys(("seen_auroc", "unseen_tpr_at_5_fpr"), table["unseen_auroc"])
    return table.assign(**same, version="unseen 1", date="2026-01-01", error=None)


GIVEN = [
    *[(data, 0, "nearest-ratio", 0.9, 0.9, 0.1) for data in "pqrs"],
    *[("p", 0, "devnet", 0.8, 0.8, 5.0), ("q", 0, "devnet", 0.5, 0.8, 9.0), ("r", 0, "devnet", 0.9, 1.0, 1.0)],
    *[("s", 0, "devnet", 0.85, 0.85, 1.0), ("p", 0, "prn", 1.0, 1.0, 1.0)],
]


def test_the_two_widest_gaps_of_what_is_below_run_quickest_first(tmp_path):
    runs(*GIVEN).to_parquet(tmp_path / "runs.parquet")
    found = jobs(tmp_path / "runs.parquet", ["devnet", "prn", "nearest-ratio"])
    assert [(job.set, job.method, job.baseline) for job in found] == [
        ("p", "devnet", "nearest-ratio"),
        ("q", "devnet", "nearest-ratio"),
    ]  # gaps -0.1, -0.25, +0.05, -0.05; prn is above


def test_a_page_says_why_and_names_the_classes_furthest_behind():
    stands = standing(runs(*GIVEN), "devnet", "nearest-ratio", "the baseline")
    scorer = {"auroc": 0.65, "blind": 0.25, "direction_rank": 0.5, "distance_rank": -0.125}
    scorer |= {f"{name}_thirds": [0.1, 0.2, 0.3] for name in ("direction", "distance")}
    scorers = [scorer | {"scorer": name} for name in ("devnet", "cut=0.5", "nearest-ratio")]
    evidence = pd.DataFrame({"set": ["q"], "seed": [0], "method": ["devnet"], "baseline": ["nearest-ratio"]})
    text = "\n".join(explain.section(stands, evidence.assign(scorers=[scorers])))
    assert causes.CAUSES["devnet"].words in text
    assert "| q: `devnet` | q: `cut=0.5` | q: [`nearest-ratio`](nearest-ratio.md) |" in text
    assert "| all | 0.650 | 0.650 | 0.650 |" in text
    assert "| *rank correlation with distance to the normals* | -0.12 | -0.12 | -0.12 |" in text
    assert text.index("| q, a | 0.500 | 0.900 | -0.400 |") < text.index("| p, a | 0.800 | 0.900 | -0.100 |")
    assert "| r, " not in text
    assert "few" not in text
    without = "\n".join(explain.section(stands, evidence.iloc[:0]))
    assert "| q, a |" in without
    assert causes.CAUSES["devnet"].words not in without  # words stand beside what shows them
    assert explain.section(standing(runs(*GIVEN), "prn", "nearest-ratio", "the baseline"), evidence) == []


def test_every_method_below_its_baseline_has_a_cause():
    given = headline_runs(ROOT / RESULTS)
    below = [name for name in METHODS if (s := standing(given, name, *baseline(name))) and s.is_below()]
    assert [name for name in below if name not in causes.CAUSES] == [], "run bench.why, and say why in bench/causes.py"
    measured_ones = set(explain.evidence(ROOT / explain.EVIDENCE)["method"])
    assert [name for name in below if name not in measured_ones] == [], "run python -m bench.why"
