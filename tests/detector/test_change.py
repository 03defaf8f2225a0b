"""Where a stream changes."""

import numpy as np

from unseen.detector import change
from unseen.detector.change import History, change_point


def test_neighbouring_times_are_joined_when_there_are_many(monkeypatch):
    monkeypatch.setattr(change, "BINS", 4)
    history = History(2)
    for row in range(9):
        history.add(np.array([row]), np.array([row % 2]))
    assert history.width == 4
    assert history.counts.tolist() == [[2, 2], [2, 2], [1, 0]]


def test_rows_that_were_not_scored_leave_their_place():
    history = History(1)
    history.add(np.array([0, 5]), np.array([0, 0]))
    assert history.counts[:, 0].tolist() == [1, 0, 0, 0, 0, 1]


def test_a_change_from_the_first_row_on():
    counts = np.repeat([[90, 10]], 20, axis=0)
    assert change_point(counts, np.array([500.0, 500.0])) == 0


def test_a_change_in_the_middle_of_the_order_alone():
    """The share above the cut stays, that between two cuts does not."""
    counts = np.repeat([[50, 25, 25], [50, 45, 5]], [12, 8], axis=0)
    assert change_point(counts, np.array([200.0, 100.0, 100.0])) == 12


def test_few_rows_at_the_end_are_no_change():
    counts = np.repeat([[5, 5], [10, 0]], [40, 2], axis=0)
    assert change_point(counts, np.array([200.0, 200.0])) <= 39
