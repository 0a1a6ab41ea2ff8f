"""Learning-rate schedules: how the step size changes while training goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, field_validator

from zoo.config import Config
from zoo.table import Table


@dataclass(frozen=True)
class Schedule:
    """One schedule.

    Args:
        name: The key in SCHEDULES.
        summary: When to use it.
        build: Maps the peak rate, the steps of the phase and the warm-up's steps
            to what a Keras optimizer takes as its learning rate.
    """

    name: str
    summary: str
    build: Callable[[float, int, int], Any]


def _cosine(peak: float, num_steps: int, warmup_steps: int) -> Any:
    import keras

    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else peak,
        decay_steps=num_steps - warmup_steps,
        warmup_target=peak if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


SCHEDULES: Table[Schedule] = Table(
    "schedule",
    [
        Schedule("constant", "the notes' default; simple to reason about", lambda rate, *_: rate),
        Schedule(
            "cosine",
            "linear warm-up, then half a cosine to zero; for whole networks (Loshchilov and "
            "Hutter, 2017)",
            _cosine,
        ),
    ],
)


class ScheduleConfig(Config):
    """How the learning rate changes over a phase.

    Args:
        name: A row of SCHEDULES.
        warmup: Share of the phase's steps over which `cosine` rises from zero, 0
            to below 1; Goyal et al., 2017.
    """

    name: str = "constant"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return SCHEDULES[name].name


def build_schedule(config: ScheduleConfig, peak: float, num_steps: int) -> Any:
    """Builds what a Keras optimizer takes as its learning rate.

    Args:
        config: Which schedule.
        peak: The optimizer's learning rate.
        num_steps: Optimizer steps of the whole phase.
    """
    return SCHEDULES[config.name].build(peak, num_steps, round(config.warmup * num_steps))
