"""Penalized linear heads by descent, as heads train, and by scikit-learn's solver."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.studies.experiments.digits import Digits
from pipelines.studies.experiments.networks import network, penalty
from tuning.batched_heads.trainer import Batches, HeadTrainer

KINDS = ("l1", "l2", "elastic_net")
IMAGES, STEPS = 100, 200
"""Training images; gradient steps of an epoch, each on all of them."""


class _WholeGradient(Digits):
    def __init__(self, seed: int, images: int) -> None:
        super().__init__(seed, train=images, batch_size=images)
        varies = self.rows.std(axis=0) > 0  # other pixels have no gradient
        self.rows, self.validation_rows = self.rows[:, varies], self.validation_rows[:, varies]
        self.num_features, self.steps_per_epoch = int(varies.sum()), STEPS

    def train(self, epoch: int) -> Iterator[Batches]:
        """Yields the same batch again and again."""
        shape = self.steps_per_epoch, self.batch_size
        yield Batches(
            np.broadcast_to(self.rows, (*shape, self.num_features)).copy(),
            np.broadcast_to(self.labels, shape).copy(),
            np.ones(shape, np.float32),
        )


def whole_gradient(seed: int, images: int = IMAGES) -> Digits:
    """Returns digits whose epochs are many steps on all training rows.

    Args:
        seed: Seed of the division.
        images: Training images.
    """
    return _WholeGradient(seed, images)


def descend(
    data: Digits, strengths: Sequence[float], epochs: int = 30
) -> dict[str, list[npt.NDArray[np.float32]]]:
    """Returns the kernels, [features, classes], of heads by penalty, one for each strength.

    Args:
        data: The images.
        strengths: Strengths of the penalties.
        epochs: Epochs of STEPS steps.
    """
    specs = [
        network(
            head={"hidden": ()},
            optimizer={"name": "sgd", "learning_rate": 0.4},
            penalty=penalty(kind, strength),
            # The least loss of all epochs is that of the last, once it converges.
            stopping={"monitor": "val_loss", "every": epochs},
            epochs=epochs,
            seed=data.seed,
        )
        for kind in KINDS
        for strength in strengths
    ]
    outcomes = HeadTrainer().train(specs, data, keep_weights=True)
    kernels = [(outcome.weights or [])[0] for outcome in outcomes]
    count = len(strengths)
    return {kind: kernels[i * count : (i + 1) * count] for i, kind in enumerate(KINDS)}


def solve(data: Digits, kind: str, strength: float) -> npt.NDArray[np.float64]:
    """Returns scikit-learn's kernel, [features, classes], for the same objective.

    Cross-entropy's mean plus λ·Σ|θ|, λ·Σθ², or both; the biases are free. scikit-learn
    minimizes C·Σ cross-entropy + r·Σ|θ| + (1 − r)/2·Σθ².

    Args:
        data: The images.
        kind: A penalty, of KINDS.
        strength: λ, above 0.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    ratio, factor = {"l1": (1.0, 1.0), "l2": (0.0, 2.0), "elastic_net": (1 / 3, 3.0)}[kind]
    settings: dict[str, Any] = {"C": 1 / (factor * strength * len(data.rows)), "tol": 1e-6}
    solver = LogisticRegression(
        l1_ratio=ratio, solver="saga", max_iter=20_000, random_state=0, **settings
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of a renamed argument
        warnings.simplefilter("ignore", ConvergenceWarning)
        solver.fit(data.rows.astype(np.float64), data.labels)
    return np.asarray(solver.coef_.T)
