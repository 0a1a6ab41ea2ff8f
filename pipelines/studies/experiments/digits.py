"""The embedded digits as rows of pixels, divided by a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from tuning.batched_heads.trainer import Batches

NUM_CLASSES = 10
_SIDE = 8


class Digits:
    """Scanned digits, their 64 pixels as features, divided by a seed.

    Args:
        seed: Seed of the division and of the order of every epoch.
        train: Training rows; all others are for validation.
        batch_size: Rows of a batch; the last ones that fill none are left out of an epoch.
        mislabeled: Share of the training rows with the label of another class, drawn at random.
        prepare: Maps training rows and any rows, both 0 to 1, to what the network is given;
            None standardizes by the training rows.
        prepare_validation: The same for validation rows; None takes `prepare`.
    """

    num_features, num_classes = _SIDE * _SIDE, NUM_CLASSES

    def __init__(
        self,
        seed: int,
        *,
        train: int = 600,
        batch_size: int = 32,
        mislabeled: float = 0.0,
        prepare: Callable[[Any, Any], Any] | None = None,
        prepare_validation: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        from sklearn.datasets import load_digits

        prepare = prepare or standardized
        pixels, labels = load_digits(return_X_y=True)
        order = np.random.default_rng(seed).permutation(len(labels))
        rows, labels = (pixels[order] / 16).astype(np.float32), labels[order].astype(np.int64)
        shown, others = rows[:train], rows[train:]
        self.rows = np.asarray(prepare(shown, shown), np.float32)
        self.labels = labels[:train].copy()
        wrong = np.arange(round(mislabeled * train))
        others_of = np.random.default_rng((seed, 1)).integers(1, NUM_CLASSES, len(wrong))
        self.labels[wrong] = (self.labels[wrong] + others_of) % NUM_CLASSES
        self.validation_rows = np.asarray(
            (prepare_validation or prepare)(shown, others), np.float32
        )
        self.validation_labels = labels[train:]
        self.seed, self.batch_size = seed, batch_size
        self.steps_per_epoch, self.num_validated = train // batch_size, len(others)

    def validated_on_training_rows(self) -> Digits:
        """Returns the same training rows, with themselves for validation: without dropout."""
        same = copy(self)
        same.validation_rows, same.validation_labels = self.rows, self.labels
        same.num_validated = len(self.rows)
        return same

    def fold(self, number: int, of: int) -> Digits:
        """Returns its training rows alone, every `of`-th of them, from `number`, for validation."""
        held = np.arange(len(self.rows)) % of == number
        some = copy(self)
        some.validation_rows, some.validation_labels = self.rows[held], self.labels[held]
        some.rows, some.labels = self.rows[~held], self.labels[~held]
        some.steps_per_epoch = len(some.rows) // self.batch_size
        some.num_validated = len(some.validation_rows)
        return some

    def train(self, epoch: int) -> Iterator[Batches]:
        """Yields the batches of an epoch at once."""
        shape = self.steps_per_epoch, self.batch_size
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.rows))
        some = order[: shape[0] * shape[1]].reshape(shape)
        yield Batches(self.rows[some], self.labels[some], np.ones(shape, np.float32))

    def validation(self) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]]:
        """Yields all validation rows at once."""
        yield self.validation_rows, self.validation_labels


def standardized(shown: Any, rows: Any) -> Any:
    """Centers and scales rows by the training rows; a pixel that never changes stays 0."""
    deviation = shown.std(axis=0)
    return (rows - shown.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
