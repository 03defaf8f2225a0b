"""Law: what serves many threads changes nothing of the process, and gives each thread what it gives
one alone.
"""

import logging
import os
import random
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from quick import brief
from unseen.detector.detector import Detector
from unseen.methods import METHODS
from unseen.parts.threads import filters_kept, one_thread, spread

NAMES = ("evidence-stack", "multi-directional", "devnet")


def rows(n=600, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5))
    y = np.array(["normal"] * n, dtype=object)
    for k, name in enumerate(["leak", "crack"]):
        some = slice(k * 12, (k + 1) * 12)
        x[some, k] += 5
        y[some] = name
    return x, y


def fitted(name):
    return Detector(brief(METHODS[name]), random_state=5).fit(*rows())


def settings():
    """All of the process that a careless call could change."""
    return (
        torch.get_num_threads(),
        ThreadPoolExecutor(1).submit(torch.get_num_threads).result(),
        torch.random.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state()[1].tolist(),
        logging.getLogger("unseen").level,
        list(logging.getLogger("unseen").filters),
        list(warnings.filters),
        dict(os.environ),
    )


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_eight_threads_score_and_four_fit_as_one_does_alone(threads):
    new = rows(3000, seed=1)[0]
    alone = {name: fitted(name) for name in NAMES}
    expected = {name: detector.anomaly_score(new) for name, detector in alone.items()}
    before = settings()
    with ThreadPoolExecutor(12) as pool:
        scored = [pool.submit(alone[name].anomaly_score, new) for name in NAMES for _ in range(8)]
        again = [pool.submit(fitted, name) for name in (*NAMES, NAMES[0])]
        for k, found in enumerate(scored):
            np.testing.assert_array_equal(found.result(), expected[NAMES[k // 8]])
        for name, found in zip((*NAMES, NAMES[0]), again, strict=True):
            np.testing.assert_array_equal(found.result().anomaly_score(new), expected[name])
    assert settings() == before


def test_one_thread_is_of_the_caller_alone(threads):
    with ThreadPoolExecutor(1) as other, one_thread():
        assert torch.get_num_threads() == 1
        assert other.submit(torch.get_num_threads).result() == threads
    assert torch.get_num_threads() == threads


def test_work_is_spread_in_order_and_each_worker_has_one_thread(threads):
    found = list(spread(lambda item: (item, torch.get_num_threads()), range(20)))
    assert found == [(item, 1) for item in range(20)]


def test_a_worker_spreads_its_own_work_without_waiting_for_another(threads):
    assert list(spread(lambda item: sum(spread(lambda each: each, range(item))), range(6))) == [
        0,
        0,
        1,
        3,
        6,
        10,
    ]


def test_threads_that_change_filters_at_once_leave_them_as_they_were():
    before = list(warnings.filters)
    first, second = filters_kept(), filters_kept()
    one, other = warnings.catch_warnings(), warnings.catch_warnings()
    # what two threads do that check their input at once, in this order
    first.__enter__()
    one.__enter__()
    warnings.simplefilter("error", ImportWarning)
    second.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    first.__exit__(None, None, None)
    other.__exit__(None, None, None)  # puts back what the first one had set
    assert list(warnings.filters) != before
    second.__exit__(None, None, None)
    assert list(warnings.filters) == before


@pytest.mark.parametrize("name", ["forest", "logistic", "isolation-forest"])
def test_training_by_scikit_learn_in_many_threads_keeps_the_filters(name):
    before, (x, y) = list(warnings.filters), rows(200)
    with ThreadPoolExecutor(8) as pool:
        again = [pool.submit(Detector(brief(METHODS[name])).fit, x, y) for _ in range(8)]
        for found in again:
            found.result()
    assert list(warnings.filters) == before
