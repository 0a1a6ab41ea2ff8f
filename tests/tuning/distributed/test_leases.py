"""Leases: lent, renewed, released, run out."""

import pytest

from tuning.distributed.leases import Leases


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_lease_runs_out_without_a_sign_of_life_and_leaves_its_trials(clock):
    leases = Leases(10, clock)
    leases.lend("a", ["1", "2"])
    leases.lend("b", ["3"])
    clock.now = 9
    leases.renew("b")
    clock.now = 11
    assert leases.expire() == {"a": ["1", "2"]}
    assert leases.workers == ["b"]
    assert leases.expire() == {}


def test_released_trial_is_nobodys(clock):
    leases = Leases(10, clock)
    leases.lend("a", ["1", "2"])
    leases.release("1")
    leases.release("9")
    clock.now = 11
    assert leases.expire() == {"a": ["2"]}


def test_given_up_worker_comes_back_with_nothing(clock):
    leases = Leases(10, clock)
    leases.lend("a", ["1"])
    clock.now = 11
    leases.expire()
    leases.renew("a")
    assert leases.workers == ["a"]
    assert leases.end("a") == []
    assert leases.end("a") == []
