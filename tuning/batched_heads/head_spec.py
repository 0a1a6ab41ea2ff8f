"""Member: how one head of a population is built and trained, and what it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tuning.early_stopping import StoppingConfig
from tuning.optimization.optimizers import OPTIMIZERS, OptimizerConfig
from tuning.optimization.penalties import PenaltyConfig
from tuning.optimization.schedules import ScheduleConfig
from zoo.config import Config
from zoo.heads.head import HeadConfig, build_head, initialize_head
from zoo.models.classifier import build_head_model


class HeadSpec(Config):
    """How one head is built and trained.

    Args:
        head: Its layers.
        optimizer: What takes its steps.
        schedule: How its learning rate changes over `epochs`.
        penalty: What large weights cost.
        stopping: When it ends early, and which epoch is its best.
        seed: Of its initial weights and of what it draws while training.
        epochs: Those its schedule is made for.
        stop_after: Epochs after which it is stopped before that; 0 goes to the end.
        loss: A row of LOSSES for classes.
        label_smoothing: Share of the target spread over all classes.
        focal_gamma: Of the focal loss.
        class_weights: What a row of each class counts; empty counts all 1.
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
    def last_epoch(self) -> int:
        """How many epochs it is trained, unless it is stopped early."""
        return min(self.stop_after or self.epochs, self.epochs)


class Shape(NamedTuple):
    """What heads must have in common to be stacked: all that decides the graph.

    Args:
        num_features: F.
        num_classes: C.
        seed: Of what is drawn while training, which is drawn once for all heads.
        head: Their layers; what may differ is left at one value.
        optimizer: Their optimizer, likewise.
        loss: A row of LOSSES.
        focal_gamma: Of the focal loss; 0 for others.
    """

    num_features: int
    num_classes: int
    seed: int
    head: HeadConfig
    optimizer: OptimizerConfig
    loss: str
    focal_gamma: float


def shape_of(member: HeadSpec, num_features: int, num_classes: int, steps_per_epoch: int) -> Shape:
    """Returns which other heads a head can be stacked with: those of the same shape.

    Args:
        member: The head.
        num_features: Length of the pooled features.
        num_classes: C.
        steps_per_epoch: Batches of an epoch, which full-batch descent accumulates.
    """
    head, optimizer = member.head, member.optimizer
    after = head.batch_norm and head.batch_norm_position == "after"
    layers = HeadConfig(
        hidden=head.hidden,
        # PReLU alone has weights of its own.
        activation="prelu" if head.hidden and head.activation == "prelu" else "relu",
        batch_norm_position="after" if head.hidden and after else "before",
    )
    row = OPTIMIZERS[optimizer.name]
    steps = OptimizerConfig(
        name="sgd" if row.full_batch else optimizer.name,
        ema=optimizer.ema,
        clip=optimizer.clip,
        accumulation_steps=steps_per_epoch if row.full_batch else optimizer.accumulation_steps,
    )
    gamma = member.focal_gamma if member.loss == "focal" else 0.0
    return Shape(num_features, num_classes, member.seed, layers, steps, member.loss, gamma)


@dataclass(frozen=True)
class Start:
    """What a head starts from, as Keras builds it.

    Args:
        weights: By path, such as `hidden1/kernel`, in Keras' order.
        trained: The paths of those that are trained.
        seeds: Of each layer that draws while training, by its name.
    """

    weights: Mapping[str, npt.NDArray[np.float32]]
    trained: frozenset[str]
    seeds: Mapping[str, int]


def start_of(head: HeadConfig, num_features: int, num_classes: int, seed: int) -> Start:
    """Returns what `zoo train` lets a head start from.

    Args:
        head: Its layers.
        num_features: Length of the pooled features.
        num_classes: C.
        seed: Of the run.
    """
    # How much is dropped, and what by, changes no weight: every draw has a seed of its own.
    same: dict[str, Any] = {"input_dropout": 0.5, "dropout": 0.5, "pooling": "avg"}
    if head.activation not in ("prelu", "rrelu"):
        same["activation"] = "relu"
    return _start_of(head.model_copy(update=same), num_features, num_classes, seed)


@lru_cache(maxsize=256)
def _start_of(head: HeadConfig, num_features: int, num_classes: int, seed: int) -> Start:
    import keras

    maps = keras.Input((1, 1, num_features))
    model = build_head_model(keras.Model(maps, build_head(maps, head, num_classes)))
    initialize_head(model.layers, seed)
    return Start(
        weights={weight.path: weight.numpy() for weight in model.weights},
        trained=frozenset(weight.path for weight in model.trainable_weights),
        seeds={
            layer.name: int(layer.seed_generator.state.numpy()[0])
            for layer in model.layers
            if hasattr(layer, "seed_generator")
        },
    )
