"""Contradictions: settings of training that are each right and cannot work together."""

from __future__ import annotations

from tuning.early_stopping import StoppingConfig
from tuning.optimization.optimizers import OPTIMIZERS, OptimizerConfig
from tuning.optimization.penalties import PenaltyConfig
from tuning.optimization.schedules import SCHEDULES, ScheduleConfig
from zoo.errors import RecipeError


def check_training(
    optimizer: OptimizerConfig,
    schedule: ScheduleConfig,
    penalty: PenaltyConfig,
    stopping: StoppingConfig,
) -> None:
    """Checks that four sections of a recipe go together.

    Args:
        optimizer: What takes the steps.
        schedule: How long they are.
        penalty: What large weights cost.
        stopping: When training ends.

    Raises:
        RecipeError: They do not, and why.
    """
    if penalty.has_l1 and OPTIMIZERS[optimizer.name].step_size is None:
        able = ", ".join(row.name for row in OPTIMIZERS.values() if row.step_size)
        raise RecipeError(
            f"{optimizer.name} takes steps that do not grow with the gradient, so a penalty with "
            "L1 could hold no weight at 0",
            expected=f"optimizer.name one of {able}",
            received=f"optimizer.name = {optimizer.name!r}, penalty.name = {penalty.name!r}",
            mend="choose one of them, or --set penalty.name=l2",
        )
    if penalty.has_l1 and optimizer.ema:
        raise RecipeError(
            "the average of weights that were 0 at times is not 0, so optimizer.ema undoes L1",
            expected="optimizer.ema = 0, or a penalty without L1",
            received=f"optimizer.ema = {optimizer.ema}, penalty.name = {penalty.name!r}",
            mend="--set optimizer.ema=0.0",
        )
    if optimizer.name == "ftrl" and schedule.name == "cosine" and schedule.warmup:
        raise RecipeError(
            "ftrl divides by the learning rate, which is 0 when a warm-up begins",
            expected="schedule.warmup = 0, or another optimizer",
            received=f"schedule.warmup = {schedule.warmup}",
            mend="--set schedule.warmup=0.0",
        )
    falls_after = SCHEDULES[schedule.name].by_validation and schedule.patience
    if falls_after and 0 < stopping.patience <= falls_after:
        raise RecipeError(
            f"training stops before the schedule {schedule.name} ever lowers the rate",
            expected="stopping.patience above schedule.patience, or 0",
            received=f"stopping.patience = {stopping.patience}, "
            f"schedule.patience = {schedule.patience}",
            mend=f"--set stopping.patience={2 * falls_after + 1}",
        )


def check_devices(optimizer: OptimizerConfig, num_replicas: int) -> None:
    """Checks that an optimizer's settings work on so many devices.

    Args:
        optimizer: What takes the steps.
        num_replicas: Devices that train side by side.

    Raises:
        RecipeError: They do not, and why.
    """
    if num_replicas == 1:
        return
    mend = f"make one device visible, by CUDA_VISIBLE_DEVICES=0, instead of {num_replicas}"
    if optimizer.accumulation_steps > 1 or OPTIMIZERS[optimizer.name].full_batch:
        raise RecipeError(
            "Keras accumulates gradients on one device only",
            expected="optimizer.accumulation_steps = 1 and not gradient_descent",
            received=f"optimizer.accumulation_steps = {optimizer.accumulation_steps}, "
            f"optimizer.name = {optimizer.name!r}",
            mend=f"raise input.batch_size instead, or {mend}",
        )
    if optimizer.clip != "none":
        raise RecipeError(
            "Keras clips each device's gradient before it adds them up",
            expected="optimizer.clip = 'none'",
            received=f"optimizer.clip = {optimizer.clip!r}",
            mend=mend,
        )


def check_steps(optimizer: OptimizerConfig, num_batches: int) -> None:
    """Checks that a phase has batches enough for a step.

    Args:
        optimizer: What takes the steps.
        num_batches: Batches of the phase.

    Raises:
        RecipeError: It has not.
    """
    if optimizer.accumulation_steps > num_batches:
        raise RecipeError(
            f"{num_batches} batches are all there are before training ends, and "
            f"optimizer.accumulation_steps = {optimizer.accumulation_steps} of them make a step",
            expected=f"optimizer.accumulation_steps of at most {num_batches}",
            received=str(optimizer.accumulation_steps),
            mend="lower it, or raise train.epochs",
        )
