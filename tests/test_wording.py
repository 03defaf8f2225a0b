"""Messages name arguments in Python and flags on the command line, from one place."""

import pytest

from unseen.wording import option, typed

CASES = [
    ("tail", True, "tail=True", "--tail"),
    ("repeats", "once", "repeats='once'", "--repeats once"),
    ("normal", "all good", "normal='all good'", "--normal 'all good'"),
    ("normal", ..., "normal=...", "--normal NAME"),
    ("kinds", {"a port": "category", "n": "number"}, None, "--kind 'a port=category' n=number"),
    ("normal", "-ok", "normal='-ok'", "--normal=-ok"),
    ("normal", False, "normal=False", "--normal False"),
    ("normal", True, "normal=True", "--normal True"),
    ("normal", -1, "normal=-1", "--normal -1"),
    ("groups", ..., "groups=...", "--group COL"),
    ("random_state", 3, "random_state=3", "--seed 3"),
    ("header", False, "header=False", "--no-header"),
    ("alpha", None, "alpha", "--alpha"),
]


@pytest.mark.parametrize(("name", "value", "python", "flag"), CASES)
def test_one_option_two_ways_to_set_it(name, value, python, flag):
    assert option(name, value) == (python or f"{name}={value!r}")
    with typed():
        assert option(name, value) == flag
    assert option(name, value) == (python or f"{name}={value!r}")


def test_flags_end_with_the_command_line_even_when_it_fails():
    with pytest.raises(ZeroDivisionError), typed():
        1 / 0  # noqa: B018
    assert option("tail", True) == "tail=True"
