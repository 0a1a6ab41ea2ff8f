"""Learning-rate schedules: a table of them and their settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from zoo.config import Config
from zoo.table import Table


class ScheduleConfig(Config):
    """The learning-rate schedule of a phase of training; each phase starts it again.

    A schedule reads the settings that mention it and ignores the others.

    Args:
        name: A row of SCHEDULES.
        warmup: Fraction of the phase's steps in which `cosine` first rises linearly from zero, 0
            to below 1 (Goyal et al., 2017, https://arxiv.org/abs/1706.02677).
        every: Epochs between two reductions by `step`.
        milestones: Epochs after which `multi_step` reduces, increasing, each at least 1.
        factor: The factor by which `step`, `multi_step` and `reduce_on_plateau` reduce, between 0
            and 1.
        patience: Validations without a lower loss after which `reduce_on_plateau` reduces.
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
    def _increase(cls, milestones: tuple[int, ...]) -> tuple[int, ...]:
        if list(milestones) != sorted(set(milestones)):
            raise ValueError(
                f"{list(milestones)} do not increase; expected epochs such as [10, 20]"
            )
        return milestones

    @model_validator(mode="after")
    def _has_milestones_if_multi_step(self) -> ScheduleConfig:
        if (self.name == "multi_step") != bool(self.milestones):
            raise ValueError(
                f"name = {self.name!r} with milestones = {list(self.milestones)}; expected both "
                "name = 'multi_step' and milestones, or neither"
            )
        return self


@dataclass(frozen=True)
class Schedule:
    """A learning-rate schedule.

    Args:
        name: The key in SCHEDULES.
        summary: When to use it.
        build: Builds a Keras optimizer's learning rate from the settings, the peak rate, the
            number of steps of the phase and the steps per epoch.
        by_validation: Whether `tuning.reduce_on_plateau.ReduceOnPlateau` lowers the rate after
            validations; `build` then returns the initial rate.
        by_length: Whether the rate of an epoch depends on the number of epochs.
    """

    name: str
    summary: str
    build: Callable[[ScheduleConfig, float, int, int], Any]
    by_validation: bool = False
    by_length: bool = False


def _constant(config: ScheduleConfig, peak: float, num_steps: int, per_epoch: int) -> Any:
    return peak


def _step(config: ScheduleConfig, peak: float, num_steps: int, per_epoch: int) -> Any:
    import keras

    return keras.optimizers.schedules.ExponentialDecay(
        peak, config.every * per_epoch, config.factor, staircase=True
    )


def _multi_step(config: ScheduleConfig, peak: float, num_steps: int, per_epoch: int) -> Any:
    import keras

    # Keras changes the value after a boundary, not at it.
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


# Senior et al., 2013, "An empirical study of learning rates in deep neural networks for speech
# recognition", find exponential decay better than reduction by validation, and that better than
# reductions at fixed epochs.
SCHEDULES: Table[Schedule] = Table(
    "schedule",
    [
        Schedule("constant", "no change; the default", _constant),
        Schedule("step", "× factor after every `every` epochs", _step),
        Schedule("multi_step", "× factor after each epoch of `milestones`", _multi_step),
        Schedule(
            "reduce_on_plateau",
            "× factor when the validation loss stops falling: needs no epochs chosen in advance",
            _constant,
            by_validation=True,
        ),
        Schedule(
            "exponential",
            "to a tenth in every `tenfold` epochs; the best of these if `tenfold` is chosen well",
            _exponential,
        ),
        Schedule(
            "linear",
            "linearly to zero at the end; as good as cosine for few epochs",
            _linear,
            by_length=True,
        ),
        Schedule(
            "cosine",
            "linear warm-up, then half a cosine to zero; for whole networks (Loshchilov and "
            "Hutter, 2017, https://arxiv.org/abs/1608.03983)",
            _cosine,
            by_length=True,
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
    """Builds a learning-rate schedule for a Keras optimizer.

    Args:
        schedule: A row of SCHEDULES, or the section `schedule` of a recipe.
        peak: The highest learning rate.
        num_steps: Steps of the whole training.
        steps_per_epoch: Batches per epoch.
        **settings: Other settings of ScheduleConfig, such as `warmup`; only with a name.

    Returns:
        A `keras.optimizers.schedules.LearningRateSchedule`, or a constant rate.

    Raises:
        UnknownNameError: No schedule has this name.
    """
    config = schedule
    if isinstance(config, str):
        config = ScheduleConfig.from_arguments({"name": config, **settings})
    return SCHEDULES[config.name].build(config, peak, num_steps, steps_per_epoch)
