"""Learning-rate schedules: every row compared with its closed form at every step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tuning.optimization.schedules import SCHEDULES, ScheduleConfig, build_schedule
from zoo.errors import UnknownNameError

PEAK, EPOCHS, PER_EPOCH = 0.4, 10, 5
STEPS = EPOCHS * PER_EPOCH
FACTOR, EVERY, MILESTONES, TENFOLD = 0.5, 3, (2, 7), 4.5


def _cosine(step: int, warmup: int) -> float:
    if step < warmup:
        return PEAK * step / warmup
    return PEAK * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (STEPS - warmup)))


def _multi_step(step: int, warmup: int) -> float:
    return PEAK * FACTOR ** sum(step // PER_EPOCH >= epoch for epoch in MILESTONES)


FORMULAS: dict[str, Callable[[int, int], float]] = {
    "constant": lambda step, warmup: PEAK,
    "step": lambda step, warmup: PEAK * FACTOR ** (step // PER_EPOCH // EVERY),
    "multi_step": _multi_step,
    # Reductions are tested in tests/tuning/test_reduce_on_plateau.py.
    "reduce_on_plateau": lambda step, warmup: PEAK,
    "exponential": lambda step, warmup: PEAK * 10 ** (-step / PER_EPOCH / TENFOLD),
    "linear": lambda step, warmup: PEAK * (1 - step / STEPS),
    "cosine": _cosine,
}


@pytest.mark.parametrize("warmup", [0.0, 0.2])
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_equals_its_closed_form_at_every_step(name: str, warmup: float) -> None:
    config = ScheduleConfig(
        name=name,
        warmup=warmup,
        every=EVERY,
        milestones=MILESTONES if name == "multi_step" else (),
        factor=FACTOR,
        tenfold=TENFOLD,
    )
    schedule = build_schedule(config, PEAK, STEPS, PER_EPOCH)
    rates = [float(schedule(step)) if callable(schedule) else schedule for step in range(STEPS)]
    expected = [FORMULAS[name](step, round(warmup * STEPS)) for step in range(STEPS)]
    np.testing.assert_allclose(rates, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"name": "multi_step", "milestones": (7, 2)},
            r"\[7, 2\] do not increase; expected epochs such as \[10, 20\]",
        ),
        ({"name": "multi_step", "milestones": (2, 2)}, r"do not increase"),
        ({"name": "multi_step"}, r"'multi_step' with milestones = \[\]; expected both"),
        ({"milestones": (2,)}, r"'constant' with milestones = \[2\]; expected both"),
        ({"factor": 1.0}, r"less than 1"),
    ],
)
def test_contradictory_settings_raise(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ScheduleConfig(**settings)


def test_unknown_schedule_raises_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown schedule 'cosin'\. Did you mean 'cosine'"):
        ScheduleConfig(name="cosin")
