"""Who comes in: buckets that fill with time, a bounded number inside, tokens asked for once."""

import threading
from threading import Event

import pytest
from fastapi import HTTPException

from unseen.service import door
from unseen.service.door import Door, Rates, too_many
from unseen.service.store.schema import check_current
from unseen.service.store.store import Store
from unseen.service.tokens import add_token


def test_a_bucket_empties_and_fills_at_its_rate():
    now = [0.0]
    rates = Rates(2.0, 3.0, clock=lambda: now[0])
    assert [rates.wait("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert rates.wait("b") == 0.0  # has its own
    now[0] = 0.5
    assert (rates.wait("a"), rates.wait("a")) == (0.0, 0.5)
    now[0] = 100.0
    assert [rates.wait("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]  # no more than it holds


def test_buckets_of_many_who_ask_are_bounded(monkeypatch):
    monkeypatch.setattr(door, "MANY", 10)
    rates = Rates(1.0, 1.0, clock=lambda: 0.0)
    for k in range(1000):
        rates.wait(k)
    assert len(rates._left) == 10
    assert rates.wait(999) > 0
    assert rates.wait(0) == 0.0


def test_when_to_ask_again_is_never_too_soon():
    for wait, said in ((0.001, "1"), (1.0, "2"), (2.4, "3"), (59.5, "60")):
        assert int(too_many("x", wait).headers["Retry-After"]) >= wait
        assert too_many("x", wait).headers["Retry-After"] == said
        assert too_many("x", wait).status_code == 429


@pytest.fixture
def way_in(tmp_path):
    store = Store(f"sqlite:///{tmp_path}/unseen.db")
    check_current(store)
    made = Door(store, rate=1000.0, waiting=2)
    yield made
    made.close()
    store.close()


def test_no_more_come_inside_than_may_and_leaving_makes_room(way_in):
    with way_in.room():
        with way_in.room():
            assert way_in.inside == 2
            for _ in range(3):
                with pytest.raises(HTTPException, match="429"), way_in.room():
                    pass
            with pytest.raises(HTTPException, match="429"):
                way_in.check_room()
        way_in.check_room()
        with pytest.raises(ValueError, match="inside"), way_in.room():
            raise ValueError("inside")
    assert way_in.inside == 0


def test_a_thousand_that_press_in_at_once_never_exceed_the_room(way_in):
    most, refused, together = [0], [0], threading.Barrier(20)

    def press():
        together.wait()
        for _ in range(50):
            try:
                with way_in.room():
                    most[0] = max(most[0], way_in.inside)
            except HTTPException:
                refused[0] += 1

    threads = [threading.Thread(target=press) for _ in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert most[0] <= 2
    assert way_in.inside == 0


def test_a_token_is_looked_up_once_a_second_and_a_wrong_one_each_time(way_in, monkeypatch):
    with way_in.store.writing() as connection:
        secret = add_token(connection, "feed", "score")
    now, asked = [100.0], []
    monkeypatch.setattr(door.time, "monotonic", lambda: now[0])
    assert way_in.remembered(secret) is None
    assert way_in.who(secret).name == "feed"
    assert way_in.remembered(secret).role == "score"
    now[0] += 1.0
    assert way_in.remembered(secret) is None  # it may have been revoked
    assert way_in.who("unseen_no") is None
    assert way_in.remembered("unseen_no") is None
    assert asked == []


@pytest.mark.parametrize("small", [True, False])
def test_work_runs_with_one_thread_of_arithmetic_in_the_context_of_who_asks(way_in, small):
    import torch

    from unseen.quiet import is_quiet, quiet

    before = torch.get_num_threads()
    with quiet():
        assert way_in.judge(small, lambda: (torch.get_num_threads(), is_quiet())).result() == (
            1,
            True,
        )
    assert way_in.judge(small, is_quiet).result() is False
    assert torch.get_num_threads() == before


def test_small_work_waits_for_no_large_one_and_comes_one_after_the_other(way_in):
    go_on, order = Event(), list[int]()
    large = [way_in.judge(False, go_on.wait, 30) for _ in range(8)]
    small = [way_in.judge(True, order.append, k) for k in range(8)]
    for each in small:
        each.result(30)
    assert order == list(range(8))
    assert not any(each.done() for each in large)
    go_on.set()
    assert all(each.result(30) for each in large)
