"""The study of verdicts: figures of a draw whose answer is known."""

import numpy as np
import pyarrow as pa
from bench.studies.verdicts import SCORES, covered, one_draw


def test_a_draw_with_far_classes_is_told_apart():
    rng = np.random.default_rng(0)
    kinds = np.repeat(["normal", "up", "down", "left"], [500, 60, 60, 60])
    x = rng.normal(size=(680, 3))
    for k, (name, shift) in enumerate({"up": 12, "down": -12, "left": 12}.items()):
        x[kinds == name, 0 if k < 2 else 1] += shift
    table = pa.table({f"x{j}": column for j, column in enumerate(x.T)})
    shown = np.r_[:300, 500:510, 560:570]  # normals, ups and downs
    rest = np.setdiff1d(np.arange(680), shown)
    found = one_draw(table.take(shown), kinds[shown], table.take(rest), kinds[rest], 0)
    assert found is not None
    assert found["verdicts"] > 0.95
    assert found["accuracy"] > 0.95
    assert set(SCORES) <= set(found)
    few = np.r_[300:400, 510:515]  # five rows of a class count for nothing
    assert one_draw(table.take(shown), kinds[shown], table.take(few), kinds[few], 0) is None


def test_intervals_of_a_coin():
    rng = np.random.default_rng(0)
    each = [covered(rng, np.array([0.5, 0.5]), 2) for _ in range(50)]
    assert {truth for *_, truth in each} == {0.0, 0.5}
