"""Compatibility: settings that are valid one by one and cannot work together."""

from __future__ import annotations

from pipelines.augment.policies import AugmentConfig
from pipelines.recipe.settings import RecipeSettings
from tuning.early_stopping import StoppingConfig
from tuning.optimization.optimizer_config import OptimizerConfig
from tuning.optimization.optimizers import DEFAULT_OPTIMIZER, OPTIMIZERS
from tuning.optimization.penalties import PenaltyConfig
from tuning.optimization.schedules import SCHEDULES, ScheduleConfig
from zoo.errors import RecipeError


def check_training(
    optimizer: OptimizerConfig,
    schedule: ScheduleConfig,
    penalty: PenaltyConfig,
    stopping: StoppingConfig,
) -> None:
    """Checks that optimizer, schedule, penalty and early stopping go together.

    Args:
        optimizer: The section `optimizer`.
        schedule: The section `schedule`.
        penalty: The section `penalty`.
        stopping: The section `stopping`.

    Raises:
        RecipeError: Two of them exclude each other.
    """
    if penalty.has_l1 and optimizer.row.step_size is None:
        able = ", ".join(row.name for row in OPTIMIZERS.values() if row.step_size)
        raise RecipeError(
            f"{optimizer.row.name}'s steps do not grow with the gradient, so an L1 penalty could "
            "hold no weight at 0",
            expected=f"optimizer.name one of {able}",
            received=f"optimizer.name = {optimizer.row.name!r}, penalty.name = {penalty.name!r}",
            mend="choose one of them, or --set penalty.name=l2",
        )
    if penalty.has_l1 and optimizer.ema:
        raise RecipeError(
            "optimizer.ema undoes L1: the average of a weight that is 0 only at times is not 0",
            expected="optimizer.ema = 0, or a penalty without L1",
            received=f"optimizer.ema = {optimizer.ema}, penalty.name = {penalty.name!r}",
            mend="--set optimizer.ema=0.0",
        )
    if optimizer.name == "ftrl" and schedule.name == "cosine" and schedule.warmup:
        raise RecipeError(
            "ftrl divides by the learning rate, which is 0 at the start of a warm-up",
            expected="schedule.warmup = 0, or another optimizer",
            received=f"schedule.warmup = {schedule.warmup}",
            mend="--set schedule.warmup=0.0",
        )
    schedule_patience = SCHEDULES[schedule.name].by_validation and schedule.patience
    if schedule_patience and 0 < stopping.patience <= schedule_patience:
        raise RecipeError(
            f"training stops before the schedule {schedule.name} ever lowers the rate",
            expected="stopping.patience above schedule.patience, or 0",
            received=f"stopping.patience = {stopping.patience}, "
            f"schedule.patience = {schedule.patience}",
            mend=f"--set stopping.patience={2 * schedule_patience + 1}",
        )


def check_devices(optimizer: OptimizerConfig, num_replicas: int) -> None:
    """Checks that an optimizer's settings work on several devices.

    Args:
        optimizer: The section `optimizer`.
        num_replicas: Devices that share each batch.

    Raises:
        RecipeError: Keras supports the settings on one device only.
    """
    if num_replicas == 1:
        return
    mend = f"make one device visible, by CUDA_VISIBLE_DEVICES=0, instead of {num_replicas}"
    if optimizer.accumulation_steps > 1 or optimizer.row.full_batch:
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
    """Checks that a phase has enough batches for one accumulated step.

    Args:
        optimizer: The section `optimizer`.
        num_batches: Batches of the phase.

    Raises:
        RecipeError: `accumulation_steps` exceeds them.
    """
    if optimizer.accumulation_steps > num_batches:
        raise RecipeError(
            f"a phase of {num_batches} batches ends before its first step, which accumulates "
            f"optimizer.accumulation_steps = {optimizer.accumulation_steps}",
            expected=f"optimizer.accumulation_steps of at most {num_batches}",
            received=str(optimizer.accumulation_steps),
            mend=f"raise train.epochs, or --set optimizer.accumulation_steps={num_batches}",
        )


def check_input_size(settings: RecipeSettings, *, size: int, native: int, smallest: int) -> None:
    """Checks that images are large enough for the backbone.

    Args:
        settings: The recipe; its backbone is named in the message.
        size: Height and width of the input, in pixels.
        native: Those the backbone was made for.
        smallest: The least the backbone accepts.

    Raises:
        RecipeError: They are too small.
    """
    if size < smallest:
        raise RecipeError(
            f"input.size is too small for {settings.backbone.name}",
            expected=f"at least {smallest}",
            received=str(size),
            mend=f"--set input.size={native} is its own",
        )


def check_single_image_batches(settings: RecipeSettings) -> None:
    """Checks that nothing needs a second image where a batch has one.

    Raises:
        RecipeError: The policy blends images, or the head normalizes batches.
    """
    if settings.input.batch_size > 1:
        return
    if settings.augment.blends:
        raise RecipeError(
            "augment.policy blends images of a batch, and a batch has one",
            expected="input.batch_size of 2 or more, or a policy without mixup and cutmix",
            received=f"augment.policy = {str(settings.augment)!r}, input.batch_size = 1",
            mend="--set augment.policy=photo",
        )
    hidden = settings.head.hidden or any(task.hidden for task in settings.tasks.values())
    if hidden and settings.head.batch_norm:
        raise RecipeError(
            "batch normalization subtracts the mean of the batch, which for one image is itself",
            expected="input.batch_size of 2 or more, or head.batch_norm = false",
            received="input.batch_size = 1, head.batch_norm = true",
            mend="--set head.batch_norm=false",
        )


def check_normalization(settings: RecipeSettings, *, frozen: bool, own: str) -> None:
    """Checks that pixels reach a frozen backbone as it was trained on them.

    Args:
        settings: The recipe.
        frozen: Whether the backbone keeps pretrained weights.
        own: The backbone's row of NORMALIZATIONS; `none` normalizes inside.

    Raises:
        RecipeError: Another normalization is chosen.
    """
    chosen = settings.input.normalization
    if chosen in ("own", own) or not (frozen or own == "none"):
        return
    reason = "normalizes inside" if own == "none" else f"was trained with {own!r} and is frozen"
    raise RecipeError(
        f"{settings.backbone.name} {reason}",
        expected="input.normalization = 'own'",
        received=repr(chosen),
        mend="--set input.normalization=own, or train another backbone from random weights",
    )


def check_validation_schedule(settings: RecipeSettings) -> None:
    """Checks that a schedule that waits for validation gets one.

    Raises:
        RecipeError: `train.with_validation` leaves nothing to validate.
    """
    if settings.train.with_validation and SCHEDULES[settings.schedule.name].by_validation:
        raise RecipeError(
            f"the schedule {settings.schedule.name} needs a validation loss, and "
            "train.with_validation trains on the validation images",
            expected="another schedule.name, or train.with_validation = false",
            received=f"schedule.name = {settings.schedule.name!r}",
            mend="--set schedule.name=exponential",
        )


def check_features(augment: AugmentConfig, *, use: bool, frozen: bool) -> None:
    """Checks that features can be computed once where the recipe asks for it.

    Args:
        augment: The section `augment`.
        use: Whether the head trains on features.
        frozen: Whether the backbone is frozen.

    Raises:
        RecipeError: The backbone changes, or the policy blends images.
    """
    if use and not frozen:
        raise RecipeError(
            "features need a frozen backbone, and this one trains from the start",
            expected="backbone.frozen = true, or features.use = false",
            received="features.use = true",
            mend="--set features.use=auto",
        )
    if use and augment.blends:
        raise RecipeError(
            "features belong to one image each, and the policy blends images",
            expected="features.use = false, or a policy without mixup and cutmix",
            received=f"augment.policy = {augment}",
            mend="--set features.use=false",
        )


def check_unknown(settings: RecipeSettings) -> None:
    """Checks that unknown scores are asked of a plain classifier.

    Raises:
        RecipeError: There are several tasks.
    """
    if settings.tasks and settings.unknown.method not in ("auto", "none"):
        raise RecipeError(
            "unknown scores are those of a plain classifier, and the recipe has tasks",
            expected="unknown.method = 'auto' or 'none'",
            received=f"unknown.method = {settings.unknown.method!r}",
            mend="--set unknown.method=none",
        )


def check_folds(settings: RecipeSettings, *, optimizer: str) -> None:
    """Checks that heads of several folds have a mean.

    Args:
        settings: The recipe.
        optimizer: The row of OPTIMIZERS that trains its head.

    Raises:
        RecipeError: It is not, or the backbone changes after it.
    """
    convex = optimizer == "lbfgs"
    if settings.train.folds in (0, "auto") or (convex and not settings.fine_tune.blocks):
        return
    problem = "fine_tune.blocks", str(settings.fine_tune.blocks)
    if not convex:
        problem = _convex_problem(settings) or ("optimizer.name", repr(optimizer))
    raise RecipeError(
        "train.folds takes the mean of linear heads that are fitted to convergence on the features "
        "of a frozen backbone",
        expected="train.folds = 0, or such a head",
        received=" = ".join(problem),
        mend="--set train.folds=0",
    )


def leaves_fitting_open(settings: RecipeSettings) -> bool:
    """Whether a head is linear, and the recipe does not say how its weights are found.

    Args:
        settings: A recipe whose head trains on features.
    """
    return (
        settings.optimizer == OptimizerConfig()
        and settings.schedule == ScheduleConfig()
        and settings.train.epochs is None
        and settings.train.oversample == "none"
        and not settings.tasks
        and _convex_problem(settings) is None
    )


def check_convex(settings: RecipeSettings, *, use: bool) -> None:
    """Checks that `lbfgs` has a convex problem on features.

    Args:
        settings: The recipe.
        use: Whether the head trains on features.

    Raises:
        RecipeError: The head is not linear, or something in its training is random.
    """
    problem = _convex_problem(settings)
    if problem is None and settings.tasks:
        problem = "tasks", ", ".join(settings.tasks)
    if problem is None and not use:
        problem = "features.use", "false"
    if problem is None and settings.train.oversample != "none":
        problem = "train.oversample", repr(settings.train.oversample)
    if problem:
        path, value = problem
        raise RecipeError(
            "lbfgs fits a linear head to the features of a frozen backbone, with one task",
            expected="head.hidden = [], no dropout, cross-entropy, a penalty without L1",
            received=f"{path} = {value}",
            mend=f"leave optimizer.name out, or --set optimizer.name={DEFAULT_OPTIMIZER}",
        )


def _convex_problem(settings: RecipeSettings) -> tuple[str, str] | None:
    """Returns the setting, and its value, that makes the loss of a head not convex."""
    if settings.head.hidden:
        return "head.hidden", str(list(settings.head.hidden))
    if settings.head.input_dropout:
        return "head.input_dropout", str(settings.head.input_dropout)
    if settings.train.loss != "cross_entropy":
        return "train.loss", repr(settings.train.loss)
    if settings.penalty.has_l1:
        return "penalty.name", repr(settings.penalty.name)
    if settings.teacher.run and settings.teacher.temperature not in ("auto", 1):
        return "teacher.temperature", str(settings.teacher.temperature)
    return None
