"""The plan for a thousand machines: its simulation against schedules worked out by hand."""

import pytest
from bench.runs.thousand import span


@pytest.mark.parametrize(
    ("workers", "durations", "driver", "begin", "seconds"),
    [
        (2, [1.0, 1.0, 1.0], 0.0, 0.0, 2.0),
        (2, [1.0, 1.0, 1.0], 1.0, 0.0, 4.0),  # sent at 1, 2 and 3
        (1, [1.0, 2.0], 0.1, 5.0, 8.0),  # the worker begins at 5
        (2, [4.0, 1.0, 1.0, 1.0], 0.0, 0.0, 4.0),  # one worker has the long one
        (2, [1.0, 1.0, 1.0, 4.0], 0.0, 0.0, 5.0),  # the long one comes last
        (1000, [1.0] * 5000, 0.01, 0.0, 51.0),  # the driver keeps a hundred workers busy
    ],
)
def test_a_schedule_by_hand(workers, durations, driver, begin, seconds):
    assert span(workers, durations, driver, begin) == pytest.approx(seconds)
