"""Which class a row is likeliest of: a forest and a linear rule beside published formulas."""

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from unseen.detector.likeliest import FLOOR, Likeliest


def clouds(places, rows=12, seed=0):
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.normal(place, 1.0, size=(rows, 2)) for place in places])
    return x, np.repeat(np.arange(1, len(places) + 1), rows)


@pytest.mark.parametrize("places", [[(0, 0), (3, 1)], [(0, 0), (3, 1), (0, 4)]])
def test_the_linear_rule_is_that_of_gauss(places):
    """log p(c | x) differs by x' S^-1 (m_a - m_b) - (m_a' S^-1 m_a - m_b' S^-1 m_b) / 2, with S the
    mean of the classes' covariances, each shrunk (Ledoit & Wolf 2004) in units of its columns.
    """
    x, codes = clouds(places)
    rule = Likeliest(x, codes)
    z, new = (x - x.mean(axis=0)) / x.std(axis=0), np.array([[1.0, 1.0], [2.0, -1.0]])
    means, covariances = [], []
    for code in np.unique(codes):
        own = z[codes == code]
        unit = own.std(axis=0)
        means.append(own.mean(axis=0))
        covariances.append(ledoit_wolf((own - means[-1]) / unit)[0] * np.outer(unit, unit))
    inverse, at = (
        np.linalg.inv(np.mean(covariances, axis=0)),
        (new - x.mean(axis=0)) / x.std(axis=0),
    )
    due = np.stack([at @ inverse @ m - m @ inverse @ m / 2 for m in means], axis=1)
    found = (new - rule.centre) / rule.unit @ rule.directions + rule.offset
    np.testing.assert_allclose(found - found[:, :1], due - due[:, :1], rtol=1e-4)


def test_frequent_classes_have_no_advantage():
    x = np.r_[np.full(30, -1.0), np.full(3, 1.0)][:, None]
    x += np.tile([-0.5, 0.0, 0.5], 11)[:, None]
    shares = Likeliest(x, np.repeat([1, 2], [30, 3])).shares(np.array([[-1.5], [1.5]]))
    np.testing.assert_allclose(shares[0], shares[1, ::-1], atol=0.02)


def test_few_rows():
    x = np.array([[0.0], [1.0], [5.0]])
    assert Likeliest(x, np.array([7, 7, 7])).shares(x).tolist() == [[1.0]] * 3
    # one row does not show how a class spreads: the forest alone, whose trees all agree
    shares = Likeliest(x, np.array([1, 1, 2])).shares(x[[0, 2]])
    odds = np.sqrt((1 + FLOOR) / FLOOR)
    np.testing.assert_allclose(shares, np.array([[odds, 1], [1, odds]]) / (odds + 1))


def test_columns_without_spread_and_copies():
    x = np.zeros((6, 3))
    x[3:, 0] = 1.0
    shares = Likeliest(x, np.repeat([1, 2], 3)).shares(x)
    assert np.isfinite(shares).all()
    assert (shares.argmax(axis=1) == np.repeat([0, 1], 3)).all()
