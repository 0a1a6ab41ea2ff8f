"""Networks on the embedded digits: many settings and seeds, trained side by side in seconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import takewhile
from typing import Any

import numpy as np

from pipelines.studies.experiments.digits import NUM_CLASSES, Digits
from pipelines.studies.steps import Steps
from tuning.batched_heads.head_spec import HeadSpec
from tuning.batched_heads.trainer import HeadTrainer
from zoo.heads.head import build_head
from zoo.models.trainable import build_head_model


def network(**settings: Any) -> HeadSpec:
    """Returns a network by the sections of a recipe.

    The default is what most studies compare with: two hidden layers of 64 ReLUs from He's weights,
    without batch normalization, dropout or penalty, by SGD with momentum for 20 epochs.

    Args:
        **settings: `head`, `optimizer`, `schedule`, `penalty` and `stopping` as mappings, and
            other fields of `HeadSpec`.
    """
    plain: dict[str, dict[str, Any]] = {
        "head": {
            "hidden": (64, 64),
            "activation": "relu",
            "batch_norm": False,
            "dropout": 0.0,
        },
        "optimizer": {"name": "momentum", "learning_rate": 0.01},
        "penalty": {"name": "none", "l2": 0.0},
        "stopping": {"patience": 0},
    }
    sections = {name: {**section, **settings.pop(name, {})} for name, section in plain.items()}
    spec = HeadSpec.model_validate({"epochs": 20, **sections, **settings})
    return spec.model_copy(update={"optimizer": spec.optimizer.completed()})


def penalty(kind: str, strength: float) -> dict[str, Any]:
    """Returns the section `penalty` of a network.

    Args:
        kind: `l1`, `l2`, or `elastic_net`, which has both of the same strength.
        strength: λ.
    """
    return {
        "name": kind,
        "l1": strength if kind != "l2" else 0.0,
        "l2": strength if kind != "l1" else 0.0,
    }


def trained_model(spec: HeadSpec, data: Digits) -> Any:
    """Trains a network on digits; returns it as a Keras model of logits."""
    import keras

    outcome = HeadTrainer().train([spec], data, keep_weights=True)[0]
    maps = keras.Input((1, 1, data.num_features))
    model = build_head_model(keras.Model(maps, build_head(maps, spec.head, NUM_CLASSES)))
    model.set_weights(outcome.weights)
    return model


Curves = Mapping[str, Sequence[Sequence[Mapping[str, float]]]]
"""By setting, of each seed, its epochs with `loss`, `val_loss` and `val_accuracy`."""


def train_settings(
    steps: Steps,
    settings: Mapping[str, HeadSpec],
    seeds: int,
    data: Callable[[int], Digits] = Digits,
    name: str = "",
) -> Curves:
    """Trains every setting with every seed.

    Args:
        steps: The finished steps of the study.
        settings: The networks by name; the seed of each is replaced.
        seeds: Seeds 0, 1, …, of the division of the rows, the weights and the order.
        data: Maps a seed to its rows.
        name: Prefix of the names of the steps, where a study calls this more than once.

    Returns:
        The epochs of each. One that diverged ends before its last epoch.
    """
    trainer = HeadTrainer()

    def measure(seed: int) -> dict[str, list[dict[str, float]]]:
        specs = [spec.model_copy(update={"seed": seed}) for spec in settings.values()]
        outcomes = trainer.train(specs, data(seed))
        histories = [
            [{key: round(value, 6) for key, value in epoch.items()} for epoch in epochs]
            for epochs in (takewhile(_is_finite, outcome.history) for outcome in outcomes)
        ]
        return dict(zip(settings, histories, strict=True))

    by_seed = [steps(f"{name}seed {seed}", partial(measure, seed)) for seed in range(seeds)]
    return {setting: [histories[setting] for histories in by_seed] for setting in settings}


def _is_finite(epoch: Mapping[str, float]) -> bool:
    return all(map(math.isfinite, epoch.values()))


def last_values(curves: Curves, setting: str, metric: str = "val_accuracy") -> list[float]:
    """Returns a metric of the last epoch, one value for each seed.

    Args:
        curves: The epochs by setting.
        setting: The setting.
        metric: `loss`, `val_loss` or `val_accuracy`.
    """
    return [epochs[-1][metric] for epochs in curves[setting]]


def mean_curve(curves: Curves, setting: str, metric: str = "val_accuracy") -> list[float]:
    """Returns the mean over the seeds of a metric by epoch, as far as all seeds got.

    Args:
        curves: The epochs by setting.
        setting: The setting.
        metric: `loss`, `val_loss` or `val_accuracy`.
    """
    rows = [[epoch[metric] for epoch in epochs] for epochs in curves[setting]]
    return [float(np.mean(values)) for values in zip(*rows, strict=False)]
