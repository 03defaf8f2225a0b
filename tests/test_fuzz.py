"""The fuzzing harness: one case gives one result, what goes wrong is told, and no case outlives its
limits.
"""

import json
import time
import types

import pytest
from fuzz.__main__ import Campaign, start
from fuzz.trial import Limits, Trial, Wrong


def area(case, **limits):
    """An area of one case."""
    made = types.SimpleNamespace(
        __name__="fuzz.toy", LIMITS=Limits(**limits), ready=lambda seed: None, case=case
    )
    return made


def nothing(rng, folder):
    (folder / "file").write_text("left")


def wrong(rng, folder):
    raise Wrong(f"a number is odd: {rng.integers(1000)}")


def broken(rng, folder):
    json.loads("{")


def endless(rng, folder):
    while True:
        pass


def greedy(rng, folder):
    bytes(512 << 20)


def test_a_case_without_a_fault_leaves_nothing():
    trial = Trial(area(nothing), 1)
    assert trial.finish() is None
    assert not trial.folder.exists()


def test_a_fault_is_told_and_the_same_seed_finds_it_again():
    first, again, other = (Trial(area(wrong), seed).finish() for seed in (1, 1, 2))
    assert first.kind == "a number is odd"
    assert first == again != other


@pytest.mark.parametrize(
    ("case", "limits", "kind"),
    [
        (broken, {}, "JSONDecodeError in decoder.py:raw_decode"),
        (endless, {"seconds": 1}, "it took too long"),
        (greedy, {"megabytes": 256}, "MemoryError in test_fuzz.py:greedy"),
    ],
)
def test_what_went_wrong_is_named(case, limits, kind):
    assert Trial(area(case, **limits), 1).finish().kind == kind


def test_a_kind_of_fault_is_printed_once_with_what_repeats_it_and_counted(capsys):
    campaign = Campaign([area(wrong), area(nothing)], first=5)
    for _ in range(4):
        campaign.begin()
    campaign.collect(list(campaign.running))
    assert capsys.readouterr().out.count("python -m fuzz --area toy --seed 5") == 1
    assert (
        campaign.summary()
        == "4 of toy; seeds 5 to 6; 1 kinds of faults\n     2 x toy: a number is odd"
    )


def test_time_is_up_also_for_what_runs():
    campaign, start = Campaign([area(endless)], first=0), time.monotonic()
    campaign.run(minutes=0.5 / 60)
    assert time.monotonic() - start < 5
    assert campaign.summary() == "; seeds 0 to 1; 0 kinds of faults"
    assert not any(trial.folder.exists() for trial in campaign.running.values())


def test_a_run_goes_on_where_it_stopped(tmp_path):
    resume = tmp_path / "state.json"
    resume.write_text(json.dumps({"next": 41}))
    assert start(None, resume) == 41
    assert start(7, resume) == 7
