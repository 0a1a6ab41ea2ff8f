"""Specification, structure and initial state of a head that trains beside others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tuning.early_stopping import StoppingConfig
from tuning.optimization.optimizer_config import OptimizerConfig
from tuning.optimization.penalties import PenaltyConfig
from tuning.optimization.schedules import ScheduleConfig
from zoo.config import Config
from zoo.heads.head import HeadConfig, build_head, initialize_head
from zoo.models.trainable import build_head_model


class HeadSpec(Config):
    """How one head is built and trained.

    Args:
        head: Its layers.
        optimizer: Its optimizer.
        schedule: Its learning-rate schedule over `epochs`.
        penalty: The penalty on its kernels.
        stopping: When it is validated and when it ends early.
        seed: Seeds its initial weights, dropout and random activations.
        epochs: The length of the schedule.
        stop_after: Epochs after which training ends before the schedule does; 0 for `epochs`.
        loss: A row of LOSSES for `single_label` tasks.
        label_smoothing: Fraction of each target spread over all classes, 0 to below 1.
        focal_gamma: The exponent of the loss `focal`, at least 0.
        class_weights: The weight of each class in the loss; empty weighs all by 1.
    """

    head: HeadConfig = HeadConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    penalty: PenaltyConfig = PenaltyConfig()
    stopping: StoppingConfig = StoppingConfig()
    seed: int = 0
    epochs: int = 10
    stop_after: int = 0
    loss: str = "cross_entropy"
    label_smoothing: float = 0.0
    focal_gamma: float = 2.0
    class_weights: tuple[float, ...] = ()

    @property
    def max_epochs(self) -> int:
        """The epochs it trains unless early stopping ends it."""
        return min(self.stop_after or self.epochs, self.epochs)


class HeadStructure(NamedTuple):
    """The settings that determine the graph: heads that share them train in one stack.

    Args:
        num_features: F.
        num_classes: C.
        seed: Seeds dropout and random activations, which are drawn once for all heads.
        head: The layers. Settings that may differ between the heads have a fixed value.
        optimizer: The optimizer, likewise.
        loss: A row of LOSSES.
        focal_gamma: The exponent of the loss `focal`; 0 for other losses.
    """

    num_features: int
    num_classes: int
    seed: int
    head: HeadConfig
    optimizer: OptimizerConfig
    loss: str
    focal_gamma: float


def structure_of(
    spec: HeadSpec, num_features: int, num_classes: int, steps_per_epoch: int
) -> HeadStructure:
    """Returns the structure of a head: heads of equal structure can be stacked.

    Args:
        spec: The head.
        num_features: F, the length of the pooled features.
        num_classes: C.
        steps_per_epoch: Batches per epoch, which full-batch gradient descent accumulates.
    """
    head, optimizer = spec.head, spec.optimizer
    normalizes_after = head.batch_norm and head.batch_norm_position == "after"
    layers = HeadConfig(
        hidden=head.hidden,
        # Only PReLU has weights; all other activations may share a stack.
        activation="prelu" if head.hidden and head.activation == "prelu" else "relu",
        batch_norm_position="after" if head.hidden and normalizes_after else "before",
    )
    row = optimizer.row
    steps = OptimizerConfig(
        name="sgd" if row.full_batch else row.name,
        ema=optimizer.ema,
        clip=optimizer.clip,
        accumulation_steps=steps_per_epoch if row.full_batch else optimizer.accumulation_steps,
    )
    gamma = spec.focal_gamma if spec.loss == "focal" else 0.0
    return HeadStructure(num_features, num_classes, spec.seed, layers, steps, spec.loss, gamma)


@dataclass(frozen=True)
class InitialState:
    """The state in which Keras builds a head.

    Args:
        weights: By path, such as `hidden1/kernel`, in the order of Keras.
        trained: Paths of the trainable weights.
        seeds: The seed of each layer that draws random numbers, by the layer's name.
    """

    weights: Mapping[str, npt.NDArray[np.float32]]
    trained: frozenset[str]
    seeds: Mapping[str, int]


def build_initial_state(
    head: HeadConfig, num_features: int, num_classes: int, seed: int
) -> InitialState:
    """Builds a head as `zoo train` does, and returns its initial state.

    Args:
        head: Its layers.
        num_features: F, the length of the pooled features.
        num_classes: C.
        seed: The run's seed.
    """
    # Every layer has its own seed, so these settings change no weight: one entry of the cache
    # serves all of their values.
    same: dict[str, Any] = {"input_dropout": 0.5, "dropout": 0.5, "pooling": "avg"}
    if head.activation not in ("prelu", "rrelu"):
        same["activation"] = "relu"
    return _build_initial_state(head.model_copy(update=same), num_features, num_classes, seed)


@lru_cache(maxsize=256)
def _build_initial_state(
    head: HeadConfig, num_features: int, num_classes: int, seed: int
) -> InitialState:
    import keras

    maps = keras.Input((1, 1, num_features))
    model = build_head_model(keras.Model(maps, build_head(maps, head, num_classes)))
    initialize_head(model.layers, seed)
    return InitialState(
        weights={weight.path: weight.numpy() for weight in model.weights},
        trained=frozenset(weight.path for weight in model.trainable_weights),
        seeds={
            layer.name: int(layer.seed_generator.state.numpy()[0])
            for layer in model.layers
            if hasattr(layer, "seed_generator")
        },
    )
