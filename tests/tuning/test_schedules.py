"""Schedules: every row against its closed form, at every step."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from tuning.schedules import SCHEDULES, ScheduleConfig, build_schedule
from zoo.errors import UnknownNameError

PEAK, STEPS = 0.4, 50


def _cosine(step: int, warmup: int) -> float:
    if step < warmup:
        return PEAK * step / warmup
    return PEAK * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (STEPS - warmup)))


FORMULAS: dict[str, Callable[[int, int], float]] = {
    "constant": lambda step, warmup: PEAK,
    "cosine": _cosine,
}


@pytest.mark.parametrize("warmup", [0.0, 0.2])
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_is_its_closed_form_at_every_step(name: str, warmup: float) -> None:
    schedule = build_schedule(ScheduleConfig(name=name, warmup=warmup), PEAK, STEPS)
    rates = [float(schedule(step)) if callable(schedule) else schedule for step in range(STEPS)]
    expected = [FORMULAS[name](step, round(warmup * STEPS)) for step in range(STEPS)]
    np.testing.assert_allclose(rates, expected, atol=1e-6)


def test_unknown_schedule_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown schedule 'cosin'\. Did you mean 'cosine'"):
        ScheduleConfig(name="cosin")
