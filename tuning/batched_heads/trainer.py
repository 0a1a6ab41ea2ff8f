"""Trainer of many heads at once on the same features, each with its own early stopping."""

from __future__ import annotations

import gc
import itertools
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from tuning.batched_heads.head_run import Epochs, HeadRun, Outcome
from tuning.batched_heads.head_spec import HeadSpec, HeadStructure, structure_of
from tuning.batched_heads.head_stack import HeadStack

# The largest kernel of all heads together. An optimizer reads and writes several tensors of that
# size: together they should fit into the cache.
_MAX_KERNEL_BYTES = 6 * 2**20
_MAX_HEADS = 64
_MAX_STACKS, _DROPPED = 20, 8
"""Graphs that are kept, and how many are dropped at once where there are more.

A quarter of a search's time went into collecting them one by one.
"""


class Batches(NamedTuple):
    """The batches of S consecutive steps.

    Args:
        features: float32 [S, B, F].
        labels: int64 [S, B], the class of each row.
        sample_weights: float32 [S, B], the weight of each row in the loss; usually 1.
    """

    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    sample_weights: npt.NDArray[np.float32]


class HeadData(Protocol):
    """The features and labels that heads are trained and validated on."""

    @property
    def num_features(self) -> int:
        """F, the length of the pooled features."""

    @property
    def num_classes(self) -> int:
        """C."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches per epoch."""

    @property
    def batch_size(self) -> int:
        """Rows of a batch."""

    @property
    def num_validated(self) -> int:
        """Validation rows."""

    def train(self, epoch: int) -> Iterator[Batches]:
        """Yields the training batches of an epoch, a few steps at a time."""

    def validation(self) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]]:
        """Yields features float32 [n, F] and labels int64 [n], each validation row once.

        n is the same for all parts and all divisions, but for the last part.
        """


class _Head(NamedTuple):
    """A head to train: the `place`-th of a division."""

    spec: HeadSpec
    division: int
    place: int


class HeadTrainer:
    """Trains any number of heads on the same features, heads of one structure together.

    The traced graph of a structure is reused for later heads of that structure. The least
    recently used graphs are dropped, so memory does not grow with the number of heads.

    Args:
        activations: The activations that may occur. An activation missing here causes a new
            trace when it first occurs.
    """

    def __init__(self, activations: Sequence[str] = ()) -> None:
        self.activations = tuple(activations)
        self._stacks: OrderedDict[tuple[HeadStructure, int], HeadStack] = OrderedDict()

    def train(
        self, specs: Sequence[HeadSpec], data: HeadData, *, keep_weights: bool = False
    ) -> list[Outcome]:
        """Trains heads; each ends as if it had trained alone.

        Args:
            specs: The heads.
            data: The features and labels to train and validate on.
            keep_weights: Whether to return the best weights of each head.

        Returns:
            The outcome of each head, in the order of `specs`.

        Raises:
            ValueError: An optimizer is not elementwise; see `can_stack`.
        """
        return self.train_divided([specs], [data], keep_weights=keep_weights)[0]

    def train_divided(
        self,
        specs: Sequence[Sequence[HeadSpec]],
        data: Sequence[HeadData],
        *,
        keep_weights: bool = False,
        keep_image_metrics: Epochs = "none",
    ) -> list[list[Outcome]]:
        """Trains heads on several divisions of the images at once, such as folds.

        Args:
            specs: Of each division, its heads.
            data: Of each division, the features and labels to train and validate on.
            keep_weights: Whether to return the best weights of each head.
            keep_image_metrics: Epochs of which to return what each validation row scored.

        Returns:
            Of each division, the outcome of each head.

        Raises:
            ValueError: An optimizer is not elementwise; see `can_stack`.
        """
        heads = [
            _Head(spec, division, place)
            for division, some in enumerate(specs)
            for place, spec in enumerate(some)
        ]
        # Heads of one stack take the same steps, on batches of the same size.
        groups: dict[tuple[HeadStructure, int, int], list[_Head]] = {}
        for head in heads:
            spec, rows = head.spec, data[head.division]
            if not can_stack(spec):
                raise ValueError(
                    f"{spec.optimizer.row.name} cannot train heads side by side; expected an "
                    "elementwise optimizer"
                )
            steps = rows.steps_per_epoch
            structure = structure_of(spec, rows.num_features, rows.num_classes, steps)
            groups.setdefault((structure, steps, rows.batch_size), []).append(head)
        self.activations += tuple(
            name
            for name in dict.fromkeys(head.spec.head.activation for head in heads)
            if name not in self.activations
        )
        outcomes = [[Outcome() for _ in some] for some in specs]
        for (structure, _, _), group in groups.items():
            # A stack applies each activation to a contiguous slice of the heads.
            group.sort(key=lambda head: self.activations.index(head.spec.head.activation))
            capacity = _capacity(len(group), len(data), _max_heads(structure))
            for start in range(0, len(group), capacity):
                part = group[start : start + capacity]
                stack = self._stack_for(structure, capacity)
                trained = _train_stack(stack, part, data, keep_weights, keep_image_metrics)
                for head, outcome in zip(part, trained, strict=True):
                    outcomes[head.division][head.place] = outcome
        return outcomes

    def _stack_for(self, structure: HeadStructure, capacity: int) -> HeadStack:
        stack = self._stacks.pop((structure, capacity), None)
        activations = tuple(name for name in self.activations if name != "prelu")
        if stack is None or stack.activations != activations:
            stack = HeadStack(structure, activations, capacity)
        self._stacks[structure, capacity] = stack
        if len(self._stacks) > _MAX_STACKS:
            for _ in range(min(_DROPPED, len(self._stacks) - 1)):
                self._stacks.popitem(last=False)
            gc.collect()  # graphs refer to themselves
        return stack


def can_stack(spec: HeadSpec) -> bool:
    """Whether a head can train beside others: its optimizer updates each weight by itself."""
    return spec.optimizer.row.elementwise


def _capacity(num_heads: int, num_divisions: int, max_heads: int) -> int:
    """Returns how many heads a stack holds, of which as many train as there are heads.

    Every size has to be traced, and places that are not filled cost as much as others. Heads on
    several divisions come in multiples of these.
    """
    size = -(-num_heads // -(-num_heads // max_heads))  # equal parts
    unit = num_divisions if num_divisions > 1 else 2 if size <= 8 else 8
    return min(size if size < num_heads else unit * -(-size // unit), max_heads)


def _max_heads(structure: HeadStructure) -> int:
    widths = (structure.num_features, *structure.head.hidden, structure.num_classes)
    largest = max(4 * a * b for a, b in itertools.pairwise(widths))
    return max(1, min(_MAX_HEADS, _MAX_KERNEL_BYTES // largest))


def _train_stack(
    stack: HeadStack,
    heads: Sequence[_Head],
    data: Sequence[HeadData],
    keep_weights: bool,
    keep_image_metrics: Epochs,
) -> list[Outcome]:
    read = sorted({head.division for head in heads})
    rows = [data[division] for division in read]
    steps_per_epoch = rows[0].steps_per_epoch
    specs = [head.spec for head in heads]
    stack.fill(specs, [read.index(head.division) for head in heads])
    runs = [
        HeadRun(spec, index, steps_per_epoch, keep_image_metrics)
        for index, spec in enumerate(specs)
    ]
    num_validated = [data[head.division].num_validated for head in heads]
    step = 0
    for epoch in range(max(spec.max_epochs for spec in specs)):
        active = [run for run in runs if run.is_active(epoch)]
        if not active:
            break
        losses = np.zeros(stack.capacity)
        rates = np.zeros((steps_per_epoch, stack.capacity), np.float32)
        for run in active:
            rates[:, run.index] = run.learning_rates(epoch)
        first_step = step
        for batches in zip(*(part.train(epoch) for part in rows), strict=True):
            num_steps = len(batches[0].features)
            done = step - first_step
            step_rates = rates[done : done + num_steps]
            features, labels, weights = (np.stack(x, axis=1) for x in zip(*batches, strict=True))
            losses += num_steps * stack.train(features, labels, weights, step_rates, step)
            step += num_steps
        losses /= step - first_step
        validated = [run for run in active if epoch + 1 in run.validated]
        metrics = _validate(stack, rows) if validated else None
        for run in active:
            logs, of_head = {"loss": float(losses[run.index])}, None
            if metrics is not None and run in validated:
                of_head = metrics[:, run.index, : num_validated[run.index]]
                means = of_head.mean(axis=1, dtype=np.float64)
                logs["val_loss"], logs["val_accuracy"] = map(float, means)
            if run.end_epoch(epoch, logs, of_head) and keep_weights:
                run.outcome.weights = stack.weights_of(run.index)
    return [run.outcome for run in runs]


def _validate(stack: HeadStack, data: Sequence[HeadData]) -> npt.NDArray[np.float32]:
    """Returns losses and right answers of each head, float32 [2, T, N], in order of the rows.

    A division with fewer rows than others has zeros after its own.
    """
    found = []
    for parts in itertools.zip_longest(*(part.validation() for part in data)):
        size = max(len(part[1]) for part in parts if part)
        features = np.zeros((len(data), size, stack.structure.num_features), np.float32)
        labels = np.full((len(data), size), -1, np.int64)
        for number, part in enumerate(parts):
            if part:
                features[number, : len(part[1])], labels[number, : len(part[1])] = part
        found.append(stack.validate(features, labels))
    return np.concatenate(found, axis=2)
