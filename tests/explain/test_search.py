"""Shares and what is put back: on scores whose answers are known by hand."""

import numpy as np

from unseen.explain.search import MOST, NAMED, search


class Toy:
    """Rows whose hybrids score `score(own)`; p is 0.5 at a score of at most 1, else 0.01."""

    def __init__(self, score, columns, order=None, normals=1):
        self.score, self.columns, self.normals = score, columns, normals
        self.order = np.arange(columns) if order is None else order

    def farthest(self, rows, normals, most):
        return np.tile(self.order[:most], (len(rows), 1))

    def judged(self, rows, normals, own):
        own = own.astype(float)
        scores = self.score(own) if self.normals == 1 else self.score(own, normals)
        return scores, np.where(scores <= 1, 0.5, 0.01)


def test_an_additive_score_is_told_exactly():
    weights = np.array([5.0, 0.0, 3.0, -1.0])
    found = search(Toy(lambda own: own @ weights, 4), 1, 0.05)
    assert found.named.tolist() == [[0, 2, 1, 3]]
    np.testing.assert_allclose(found.added, [[5.0, 3.0, 0.0, -1.0]])
    assert (found.score[0], found.baseline[0], found.rest[0]) == (7.0, 0.0, 0.0)
    # without column 0 the score is 2, without 2 as well -1
    assert found.changes == (((0, 2), 0.5),)


def test_what_saturates_is_still_found():
    # any of three columns is enough for all of the score: none lowers it alone
    def score(own):
        return 9.0 * np.minimum(own[:, [3, 30, 7]].sum(axis=1), 1)

    order = np.r_[[3, 30, 7], np.setdiff1d(np.arange(40), [3, 30, 7])]
    found = search(Toy(score, 40, order=order), 1, 0.05)
    assert set(found.changes[0][0]) == {3, 30, 7}
    assert set(found.named[0, :3].tolist()) == {3, 30, 7}
    np.testing.assert_allclose(found.added[0, :3].sum() + found.rest[0], 9.0)


def test_a_column_that_need_not_be_put_back_is_not():
    # column 0 lowers most and is put back first, but once 1 and 2 are back it is not needed
    table = {
        (1, 1, 1): 9.0,
        (0, 1, 1): 5.0,
        (1, 0, 1): 6.0,
        (1, 1, 0): 6.0,
        (0, 0, 1): 3.0,
        (0, 1, 0): 3.5,
        (1, 0, 0): 0.5,
        (0, 0, 0): 0.0,
    }
    found = search(Toy(lambda own: np.array([table[tuple(row)] for row in own]), 3), 1, 0.05)
    assert sorted(found.changes[0][0]) == [1, 2]


def test_another_normal_is_compared_with_where_the_nearest_asks_for_too_many():
    # six columns have to go back to the nearest normal, two to that of number 2, whose own score
    # is 1; by all others nothing helps
    def score(own, normals):
        nearest, other = 2.0 * own[:, :6].sum(axis=1), own[:, [3, 1]] @ [8.0, 3.0] + 1.0
        return np.select([normals == 0, normals == 2], [nearest, other], 12.0)

    found = search(Toy(score, 10, normals=4), 1, 0.05)
    assert (found.normal.tolist(), found.changes) == ([2], (((1, 3), 0.5),))
    assert (found.score[0], found.baseline[0], found.rest[0]) == (12.0, 1.0, 0.0)
    assert found.named[0, :2].tolist() == [3, 1]
    np.testing.assert_allclose(found.added[0, :2], [8.0, 3.0])


def test_the_nearest_normal_stays_where_few_columns_have_to_go_back():
    def score(own, normals):
        return np.where(normals == 0, own[:, :5].sum(axis=1) * 2.0, own[:, 0] * 10.0)

    found = search(Toy(score, 10, normals=4), 1, 0.05)
    assert (found.normal.tolist(), set(found.changes[0][0])) == ([0], {0, 1, 2, 3, 4})


def test_columns_that_help_only_together_are_found():
    # either of 1 and 2 alone raises the score; all others together are not enough
    def score(own):
        back = 1 - own
        pair, others = back[:, [1, 2]].sum(axis=1), np.delete(back, [1, 2], axis=1).sum(axis=1)
        return 9.0 - 0.5 * others + np.select([pair == 1, pair == 2], [0.5, -8.5], 0.0)

    assert search(Toy(score, 14), 1, 0.05).changes == (((1, 2), 0.5),)


def test_rows_have_what_they_have_alone():
    weights = np.random.default_rng(0).normal(size=(6, 30)) ** 4 / 3

    class Several(Toy):
        def __init__(self, first):
            super().__init__(None, 30, normals=3)
            self.first = first

        def judged(self, rows, normals, own):
            scores = (weights[self.first + rows] * own).sum(axis=1) / (1 + normals)
            return scores, np.where(scores <= 1, 0.5, 0.01)

    together = search(Several(0), 6, 0.05)
    assert len({each is None or len(each[0]) for each in together.changes}) > 1
    for k in range(6):
        alone = search(Several(k), 1, 0.05)
        assert alone.changes == (together.changes[k],)
        assert alone.added.tolist() == together.added[k : k + 1].tolist()


def test_none_where_all_columns_together_do_not_help_or_more_than_ten_are_needed():
    assert search(Toy(lambda own: 2.0 + own.sum(axis=1), 3), 1, 0.05).changes == (None,)
    many = search(Toy(lambda own: 5.0 * (own[:, : MOST + 1].sum(axis=1) > 0), 20), 1, 0.05)
    assert many.changes == (None,)


def test_none_where_nothing_is_remarkable_and_what_columns_share_is_said():
    found = search(Toy(lambda own: own.mean(axis=1), 30), 3, 0.05)
    assert found.changes == (None,) * 3
    assert found.named.shape == (3, NAMED)
    np.testing.assert_allclose(found.added, 1 / 30)
    np.testing.assert_allclose(found.rest, 18 / 30)
