"""Learning-rate schedules: how the step size changes while training goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from zoo.config import Config
from zoo.table import Table


class ScheduleConfig(Config):
    """How the learning rate changes over a phase; every phase begins anew.

    Each schedule reads the settings that name it and passes over the others.

    Args:
        name: A row of SCHEDULES.
        warmup: Share of the phase's steps over which `cosine` rises from zero, 0
            to below 1; Goyal et al., 2017.
        every: Epochs after which `step` falls, again and again.
        milestones: Epochs after which `multi_step` falls, rising, from 1.
        factor: What the rate is multiplied by where `step`, `multi_step` and
            `reduce_on_plateau` fall, above 0 and below 1.
        patience: Validations without a lower loss after which `reduce_on_plateau` falls.
        tenfold: Epochs in which `exponential` falls to a tenth, above 0.
    """

    name: str = "constant"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    every: Annotated[int, Field(ge=1)] = 10
    milestones: tuple[Annotated[int, Field(ge=1)], ...] = ()
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.3
    patience: Annotated[int, Field(ge=1)] = 2
    tenfold: Annotated[float, Field(gt=0)] = 20.0

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return SCHEDULES[name].name

    @field_validator("milestones")
    @classmethod
    def _rise(cls, milestones: tuple[int, ...]) -> tuple[int, ...]:
        if list(milestones) != sorted(set(milestones)):
            raise ValueError(f"{list(milestones)} do not rise; expected such as [10, 20]")
        return milestones

    @model_validator(mode="after")
    def _milestones_are_those_of_multi_step(self) -> ScheduleConfig:
        if (self.name == "multi_step") != bool(self.milestones):
            raise ValueError(
                f"name = {self.name!r} with milestones = {list(self.milestones)}; expected both "
                "name = 'multi_step' and milestones, or neither"
            )
        return self


@dataclass(frozen=True)
class Schedule:
    """One schedule.

    Args:
        name: The key in SCHEDULES.
        summary: When to use it.
        build: Maps the settings, the peak rate, the steps of the phase and the steps
            of an epoch to what a Keras optimizer takes as its learning rate.
        by_validation: Whether the rate is lowered between epochs by what validation
            showed, see `Plateau`; `build` then gives where it starts.
    """

    name: str
    summary: str
    build: Callable[[ScheduleConfig, float, int, int], Any]
    by_validation: bool = False


def _constant(config: ScheduleConfig, peak: float, num_steps: int, per_epoch: int) -> Any:
    return peak


def _step(config: ScheduleConfig, peak: float, num_steps: int, per_epoch: int) -> Any:
    import keras

    return keras.optimizers.schedules.ExponentialDecay(
        peak, config.every * per_epoch, config.factor, staircase=True
    )


def _multi_step(config: ScheduleConfig, peak: float, num_steps: int, per_epoch: int) -> Any:
    import keras

    # Keras holds a value up to its boundary and on it.
    return keras.optimizers.schedules.PiecewiseConstantDecay(
        [epoch * per_epoch - 1 for epoch in config.milestones],
        [peak * config.factor**i for i in range(len(config.milestones) + 1)],
    )


def _exponential(config: ScheduleConfig, peak: float, num_steps: int, per_epoch: int) -> Any:
    import keras

    return keras.optimizers.schedules.ExponentialDecay(peak, config.tenfold * per_epoch, 0.1)


def _linear(config: ScheduleConfig, peak: float, num_steps: int, per_epoch: int) -> Any:
    import keras

    return keras.optimizers.schedules.PolynomialDecay(peak, num_steps, end_learning_rate=0.0)


def _cosine(config: ScheduleConfig, peak: float, num_steps: int, per_epoch: int) -> Any:
    import keras

    warmup_steps = round(config.warmup * num_steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else peak,
        decay_steps=num_steps - warmup_steps,
        warmup_target=peak if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


# In the order of the notes, which hold with Senior et al., 2013, that exponential is
# better than performance, and performance better than what is fixed beforehand.
SCHEDULES: Table[Schedule] = Table(
    "schedule",
    [
        Schedule("constant", "the notes' default; simple to reason about", _constant),
        Schedule("step", "× factor after every so many epochs", _step),
        Schedule("multi_step", "× factor after the epochs named in milestones", _multi_step),
        Schedule(
            "reduce_on_plateau",
            "× factor when validation stops improving: no guess at when is needed",
            _constant,
            by_validation=True,
        ),
        Schedule(
            "exponential",
            "to a tenth in every `tenfold` epochs; the notes' best, if tenfold is chosen well",
            _exponential,
        ),
        Schedule("linear", "evenly to zero at the end; as good as cosine for few epochs", _linear),
        Schedule(
            "cosine",
            "linear warm-up, then half a cosine to zero; for whole networks (Loshchilov and "
            "Hutter, 2017)",
            _cosine,
        ),
    ],
)


def build_schedule(
    schedule: ScheduleConfig | str,
    peak: float,
    num_steps: int,
    steps_per_epoch: int,
    **settings: Any,
) -> Any:
    """Builds a learning-rate schedule, as a Keras optimizer takes it.

    Args:
        schedule: A row of SCHEDULES, or the section `schedule` of a recipe.
        peak: The highest learning rate.
        num_steps: Batches of the whole training.
        steps_per_epoch: Batches of an epoch.
        **settings: Other settings of ScheduleConfig, such as `warmup`; only with a name.

    Returns:
        A `keras.optimizers.schedules.LearningRateSchedule`, or a constant rate.

    Raises:
        UnknownNameError: No such schedule.
    """
    config = schedule
    if isinstance(config, str):
        config = ScheduleConfig.model_validate({"name": config, **settings})
    return SCHEDULES[config.name].build(config, peak, num_steps, steps_per_epoch)
