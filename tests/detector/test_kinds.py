"""Which known kind a row is: pieces that must be what slower code gives."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from unseen.detector.kinds import chances


@pytest.mark.parametrize("classes", [2, 5])
def test_chances_are_those_of_the_forest_bit_for_bit(classes):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 6)).astype(np.float32)
    y = generator.integers(0, classes, 200)
    forest = RandomForestClassifier(30, class_weight="balanced_subsample", random_state=0)
    forest.fit(x, y)
    for rows in (x, x[:1], x[:, ::1][5:9], np.asfortranarray(x)):
        np.testing.assert_array_equal(chances(forest, rows), forest.predict_proba(rows))
