"""Population: many heads trained on the same features at once, each to its own end."""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import SimpleNamespace
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from tuning.batched_heads.head_spec import HeadSpec, Shape, shape_of
from tuning.batched_heads.head_stack import Stack
from tuning.early_stopping import EarlyStopping, validated_epochs
from tuning.optimization.optimizers import OPTIMIZERS
from tuning.optimization.schedules import ScheduleConfig, build_schedule
from tuning.reduce_on_plateau import Plateau
from zoo.errors import TrainingError

# A kernel of more bytes for all heads together would leave the cache, and where memory is
# asked for in larger pieces, the system hands out fresh pages at every step.
_KERNEL_BYTES = 16 * 2**20
_MOST_HEADS = 64
_MOST_STACKS = 48


class Batches(NamedTuple):
    """Some steps' rows.

    Args:
        features: float32 [S, B, F].
        labels: int64 [S, B].
        shares: float32 [S, B], what each row counts; 1 as a rule.
    """

    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    shares: npt.NDArray[np.float32]


class Rows(Protocol):
    """What a population is trained and validated on."""

    @property
    def num_features(self) -> int:
        """F."""

    @property
    def num_classes(self) -> int:
        """C."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""

    def train(self, epoch: int) -> Iterator[Batches]:
        """Yields the batches of an epoch, a few steps at a time."""

    def validation(self) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]]:
        """Yields features float32 [n, F] and labels int64 [n], all rows once."""


@dataclass
class Outcome:
    """What became of a head.

    Args:
        score: The best of what its stopping monitors; NaN if it failed.
        loss: The validation loss of that epoch.
        best_epoch: From 0; -1 before one was validated.
        epochs: How many it was trained.
        failure: Why it failed, else empty.
        history: For every epoch `loss` and, where it was validated, `val_loss` and
            `val_accuracy`.
        weights: Those of the best epoch in Keras' order, if they were to be kept.
    """

    score: float = math.nan
    loss: float = math.nan
    best_epoch: int = -1
    epochs: int = 0
    failure: str = ""
    history: list[dict[str, float]] = field(default_factory=list)
    weights: list[npt.NDArray[np.float32]] | None = None


class HeadTrainer:
    """Trains any heads on any rows; heads of one shape together.

    What is made and traced for a shape is kept for the next heads of that shape, and
    the longest unused is dropped, so that memory does not grow with their number.

    Args:
        activations: Those that may occur; known beforehand, no others are traced later.
    """

    def __init__(self, activations: Sequence[str] = ()) -> None:
        self.activations = tuple(activations)
        self._stacks: OrderedDict[tuple[Shape, int], Stack] = OrderedDict()

    def train(
        self, members: Sequence[HeadSpec], rows: Rows, *, keep_weights: bool = False
    ) -> list[Outcome]:
        """Trains heads; each ends as it would have ended alone.

        Args:
            members: How each is built and trained.
            rows: What they are trained and validated on.
            keep_weights: Whether the best weights of each are wanted.

        Returns:
            What became of each, in their order.

        Raises:
            ValueError: An optimizer is not elementwise; see `can_stack`.
        """
        groups: dict[Shape, list[int]] = {}
        for index, member in enumerate(members):
            if not can_stack(member):
                raise ValueError(f"{member.optimizer.name} cannot train heads side by side.")
            shape = shape_of(member, rows.num_features, rows.num_classes, rows.steps_per_epoch)
            groups.setdefault(shape, []).append(index)
        self.activations += tuple(
            name
            for name in dict.fromkeys(member.head.activation for member in members)
            if name not in self.activations
        )
        outcomes: dict[int, Outcome] = {}
        for shape, indices in groups.items():
            # Those of one activation stand together.
            indices.sort(key=lambda i: self.activations.index(members[i].head.activation))
            most = _most_heads(shape)
            for start in range(0, len(indices), most):
                some = indices[start : start + most]
                stack = self._stack(shape, min(most, _capacity(len(some))))
                trained = _train_stack(stack, [members[i] for i in some], rows, keep_weights)
                outcomes |= dict(zip(some, trained, strict=True))
        return [outcomes[index] for index in range(len(members))]

    def _stack(self, shape: Shape, capacity: int) -> Stack:
        stack = self._stacks.pop((shape, capacity), None)
        known = tuple(name for name in self.activations if name != "prelu")
        if stack is None or stack.activations != known:
            stack = Stack(shape, known, capacity)
        self._stacks[shape, capacity] = stack
        if len(self._stacks) > _MOST_STACKS:
            self._stacks.popitem(last=False)
        return stack


def can_stack(member: HeadSpec) -> bool:
    """Whether a head can be trained beside others: its optimizer looks at no other weight."""
    return OPTIMIZERS[member.optimizer.name].elementwise


def _capacity(count: int) -> int:
    """A stack's size for so many heads: few sizes, since each is traced on its own."""
    return max(4, 2 ** math.ceil(math.log2(count)))


def _most_heads(shape: Shape) -> int:
    widths = (shape.num_features, *shape.head.hidden, shape.num_classes)
    largest = max(4 * a * b for a, b in itertools.pairwise(widths))
    return min(_MOST_HEADS, 2 ** max(0, int(math.log2(max(1, _KERNEL_BYTES // largest)))))


def _train_stack(
    stack: Stack, members: Sequence[HeadSpec], rows: Rows, keep_weights: bool
) -> list[Outcome]:
    stack.fill(members)
    runs = [_Run(member, index, rows.steps_per_epoch) for index, member in enumerate(members)]
    step = 0
    for epoch in range(max(member.last_epoch for member in members)):
        going = [run for run in runs if run.goes_on(epoch)]
        if not going:
            break
        losses = np.zeros(stack.capacity)
        rates = np.zeros((rows.steps_per_epoch, stack.capacity), np.float32)
        for run in going:
            rates[:, run.index] = run.rates(epoch)
        first = step
        for batches in rows.train(epoch):
            count = len(batches.features)
            some = rates[step - first : step - first + count]
            losses += count * stack.train(*batches, some, step)
            step += count
        losses /= step - first
        validated = [run for run in going if epoch + 1 in run.validated]
        measured = _validate(stack, rows) if validated else np.empty((2, stack.capacity))
        for run in going:
            logs = {"loss": float(losses[run.index])}
            if run in validated:
                logs["val_loss"], logs["val_accuracy"] = map(float, measured[:, run.index])
            if run.end_epoch(epoch, logs) and keep_weights:
                run.outcome.weights = stack.weights_of(run.index)
    return [run.outcome for run in runs]


def _validate(stack: Stack, rows: Rows) -> npt.NDArray[np.float64]:
    """Returns validation loss and accuracy of each head, float64 [2, T]."""
    sums, count = np.zeros((2, stack.capacity)), 0
    for features, labels in rows.validation():
        sums += stack.validate(features, labels)
        count += len(labels)
    return sums / count


class _Run:
    """Where one head of a stack stands."""

    def __init__(self, member: HeadSpec, index: int, steps_per_epoch: int) -> None:
        self.member, self.index = member, index
        self.outcome = Outcome()
        self.stopping = EarlyStopping(member.stopping)
        self.plateau = Plateau(member.schedule)
        validated = validated_epochs(member.stopping, 0, member.epochs)
        self.validated = {*validated, member.last_epoch}
        self.steps = steps_per_epoch
        optimizer = SimpleNamespace(learning_rate=float(member.optimizer.learning_rate or 0.0))
        self.model = SimpleNamespace(optimizer=optimizer)

    def goes_on(self, epoch: int) -> bool:
        over = epoch >= self.member.last_epoch or self.stopping.stopped
        return not over and not self.outcome.failure

    def rates(self, epoch: int) -> npt.NDArray[np.float32]:
        """Learning rates of an epoch's steps; the plateau lowers the first of them."""
        shape = _schedule(self.member.schedule, self.steps * self.member.epochs, self.steps)
        some = shape[epoch * self.steps : (epoch + 1) * self.steps]
        return np.asarray(some * np.float32(self.model.optimizer.learning_rate))

    def end_epoch(self, epoch: int, logs: dict[str, float]) -> bool:
        """Takes an epoch into account; returns whether it is the best so far."""
        outcome, stopping = self.outcome, self.stopping
        outcome.history.append(logs)
        outcome.epochs = epoch + 1
        try:
            better = stopping.judge(epoch, logs)
        except TrainingError as error:
            self.outcome = Outcome(failure=str(error), epochs=epoch + 1, history=outcome.history)
            return False
        if "val_loss" in logs:
            self.plateau.end_validation(self.model, logs["val_loss"])
        outcome.score, outcome.loss = stopping.best, stopping.best_loss
        outcome.best_epoch = stopping.best_epoch
        return better


@lru_cache(maxsize=1024)
def _schedule(
    config: ScheduleConfig, num_steps: int, steps_per_epoch: int
) -> npt.NDArray[np.float32]:
    """Returns a schedule that starts at 1, step by step: all of them are factors."""
    import tensorflow as tf

    schedule = build_schedule(config, 1.0, num_steps, steps_per_epoch)
    if isinstance(schedule, float):
        return np.full(num_steps, schedule, np.float32)
    rate_at = tf.function(
        lambda: tf.map_fn(schedule, tf.range(num_steps), fn_output_signature=tf.float32)
    )
    return np.asarray(rate_at())
