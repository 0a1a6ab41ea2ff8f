"""Settings that exclude each other are refused, with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.recipe.compatibility import check_devices, check_steps, check_training
from tuning.early_stopping import StoppingConfig
from tuning.optimization.optimizer_config import OptimizerConfig
from tuning.optimization.optimizers import OPTIMIZERS
from tuning.optimization.penalties import PENALTIES, PenaltyConfig
from tuning.optimization.schedules import ScheduleConfig
from zoo.errors import RecipeError


def _check(**sections: Any) -> None:
    usual = {
        "optimizer": OptimizerConfig(),
        "schedule": ScheduleConfig(),
        "penalty": PenaltyConfig(),
        "stopping": StoppingConfig(),
    }
    check_training(**{**usual, **sections})


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_l1_goes_with_optimizers_that_have_a_proximal_step_and_no_others(name: str) -> None:
    optimizer = OptimizerConfig(name=name)
    for penalty in PENALTIES.values():
        if penalty.l1 and OPTIMIZERS[name].step_size is None:
            with pytest.raises(
                RecipeError, match=rf"{name}'s steps do not .* one of gradient_desc"
            ):
                _check(optimizer=optimizer, penalty=PenaltyConfig(name=penalty.name))
        else:
            _check(optimizer=optimizer, penalty=PenaltyConfig(name=penalty.name))


def test_averaged_weights_would_fill_the_zeros_of_l1() -> None:
    with pytest.raises(
        RecipeError, match=r"optimizer\.ema undoes L1: .* expected optimizer\.ema = 0"
    ):
        _check(optimizer=OptimizerConfig(ema=0.9), penalty=PenaltyConfig(name="l1"))


def test_optimizer_that_divides_by_a_rate_of_zero() -> None:
    ftrl = OptimizerConfig(name="ftrl")
    with pytest.raises(RecipeError, match=r"ftrl divides by .* --set schedule\.warmup=0\.0"):
        _check(optimizer=ftrl, schedule=ScheduleConfig(name="cosine", warmup=0.1))
    _check(optimizer=ftrl, schedule=ScheduleConfig(name="cosine", warmup=0.0))


def test_schedule_that_training_does_not_live_to_see() -> None:
    plateau = ScheduleConfig(name="reduce_on_plateau", patience=5)
    with pytest.raises(RecipeError, match=r"stops before .* --set stopping\.patience=11"):
        _check(schedule=plateau, stopping=StoppingConfig(patience=5))
    _check(schedule=plateau, stopping=StoppingConfig(patience=6))
    _check(schedule=plateau, stopping=StoppingConfig(patience=0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accumulation_steps": 4}, r"gradients on one device only; .*accumulation_steps = 4"),
        ({"name": "gradient_descent"}, r"on one device only; .*'gradient_descent'"),
        ({"clip": "norm"}, r"clips each device's gradient before it adds them up"),
    ],
)
def test_settings_that_several_devices_do_not_have(settings: Any, message: str) -> None:
    check_devices(OptimizerConfig(**settings), 1)
    with pytest.raises(RecipeError, match=message):
        check_devices(OptimizerConfig(**settings), 2)


def test_step_that_never_comes() -> None:
    check_steps(OptimizerConfig(accumulation_steps=8), 8)
    with pytest.raises(
        RecipeError, match=r"a phase of 7 batches .* expected .* at most 7; received 8"
    ):
        check_steps(OptimizerConfig(accumulation_steps=8), 7)
