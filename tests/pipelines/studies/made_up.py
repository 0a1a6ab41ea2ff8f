"""Made-up numbers of every study: some that bear its claim out in all parts, some in none.

A function for each row of STUDIES, of the row's name; `True` gives numbers for which the claim
holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.studies import (
    activations as activation_study,
)
from pipelines.studies import augmentation as augmentation_study
from pipelines.studies import batch_normalization as normalization_study
from pipelines.studies import batch_size as batch_study
from pipelines.studies import bias_correction as adam_study
from pipelines.studies import capacity as capacity_study
from pipelines.studies import dropout as dropout_study
from pipelines.studies import dropout_ensemble as ensemble_study
from pipelines.studies import early_stopping as stopping_study
from pipelines.studies import initialization as initialization_study
from pipelines.studies import learning_rate as rate_study
from pipelines.studies import optimizers as optimizer_study
from pipelines.studies import penalties as penalty_study
from pipelines.studies import transfer as transfer_study
from pipelines.studies import transferred_layers as layer_study
from pipelines.studies import vanishing_gradients as gradient_study
from pipelines.studies import weight_paths as path_study
from pipelines.studies.experiments.linear_paths import KINDS as PENALTIES
from pipelines.studies.experiments.logic_gates import TABLES
from pipelines.studies.experiments.signals import EDGES, LAYERS

Numbers = dict[str, Any]


def near(value: float) -> list[float]:
    """Returns two seeds' values whose interval is narrow."""
    return [value, value + 1e-6]


def curves(end: float, epochs: int, start: float = 2.0) -> list[list[float]]:
    """Returns two seeds' curves that fall or rise to an end."""
    return [np.linspace(start, value, epochs).tolist() for value in near(end)]


def initialization(good: bool) -> Numbers:
    def layer(spread: float, saturated: float = 0.0, std: float = 1.0) -> Numbers:
        return {"std": std, "spread": spread, "saturated": saturated, "dead": 0.0,
                "histogram": [1 / (len(EDGES) - 1)] * (len(EDGES) - 1)}  # fmt: skip

    starts = initialization_study._STARTS
    layers: Numbers = {
        activation: {start: [layer(0.5) for _ in range(LAYERS)] for start in starts}
        for activation in ("sigmoid", "tanh", "relu", "elu")
    }
    for activation in layers:
        layers[activation]["N(0, 0.01²)"][-1] = layer(1e-6 if good else 0.5)
    for activation in ("sigmoid", "tanh"):
        layers[activation]["N(0, 1)"][-1] = layer(0.5, saturated=0.9 if good else 0.1)
    layers["tanh"]["Glorot"][-1] = layer(0.5 if good else 0.01)
    layers["relu"]["Glorot"][-1] = layer(0.5, std=0.1 if good else 1.0)
    return {"layers": layers, "symmetric": 0.0 if good else 0.1}


def vanishing_gradients(good: bool) -> Numbers:
    def network(size: float, clipped: float) -> Numbers:
        return {
            str(depth): {
                **{kind: [size / depth if good else size] * depth for kind in ("plain",)},
                **{kind: [clipped / 20] * depth for kind in
                   ("value", "norm", "global_norm", "largest")},
            }
            for depth in gradient_study.DEPTHS
        }  # fmt: skip

    sizes = {name: 1.0 for name in gradient_study.NETWORKS}
    if good:
        sizes |= {"sigmoid, Glorot": 1e-9, "ReLU, Glorot": 1e-4, "ReLU, 2 × He": 1e5}
    return {name: network(size, 1.0 if good else 100.0) for name, size in sizes.items()}


def activations(good: bool) -> Numbers:
    names = activation_study._ORDER
    ranks = dict(zip(names, (0.9, 0.8, 0.8, 0.8, 0.7, 0.6, 0.5), strict=True))
    few = dict(ranks, rrelu=0.9, prelu=0.7)
    same = {name: [0.5, 0.5] for name in names}
    return {
        "few": {name: near(few[name]) for name in names} if good else same,
        "many": {name: near(ranks[name]) for name in names} if good else same,
        "time": {name: 1.0 + (good and name == "elu") for name in names},
    }


def dead_units(good: bool) -> Numbers:
    return {
        "dead": [[0.0, 0.1, 0.2 * good, 0.3], [0.0, 0.1, 0.2001 * good, 0.3]],
        "relu": [[0.9, 0.9, 0.5, 0.1]] * 2,
        "leaky_relu": [[0.9, 0.9, 0.5 + 0.2 * good, 0.1], [0.9, 0.9, 0.5 + 0.2001 * good, 0.1]],
    }


def batch_normalization(good: bool) -> Numbers:
    def part(values: Sequence[float]) -> Numbers:
        return {
            f"{kind}, {value:g}": near(0.9 if kind == "with" or not good else 0.1)
            for kind in ("with", "without")
            for value in values
        }

    return {
        "weights": part(normalization_study.DEVIATIONS),
        "rates": part(normalization_study.RATES),
        "time": {"with": 1.5 if good else 1.0, "without": 1.0},
    }


def covariate_shift(good: bool) -> Numbers:
    ends = (1.0, 0.5, 1.2) if good else (1.0, 1.0, 0.1)
    kinds = ("without", "normalized", "normalized, then shifted")
    moves = (0.5, 0.1, 0.9) if good else (0.1, 0.1, 0.1)
    return {
        "loss": {kind: curves(end, 12) for kind, end in zip(kinds, ends, strict=True)},
        "movement": {kind: curves(move, 12, move) for kind, move in zip(kinds, moves, strict=True)},
    }


def data_normalization(good: bool) -> Numbers:
    losses = (0.9, 0.5, 0.1) if good else (0.5, 0.5, 0.5)
    names = ("as they are", "centered", "standardized")
    return {
        "curves": {name: [1.0, loss] for name, loss in zip(names, losses, strict=True)},
        "loss": {name: near(loss) for name, loss in zip(names, losses, strict=True)},
        "plain": {name: near(0.9) for name in names},
        "bright": {name: near(0.2 if good else 0.9) for name in names},
    }


def optimizers(good: bool) -> Numbers:
    names = optimizer_study.NAMES
    ends = dict.fromkeys(names, 1.0)
    if good:
        ends |= {"momentum": 0.1, "nesterov": 0.05, "gradient_descent": 2.0, "rmsprop": 0.1}
    walks = {name: {"values": [2.0, ends[name]], "path": [[-1.0, 1.0], [1.0, 1.0]]}
             for name in optimizer_study.ON_LANDSCAPES}  # fmt: skip
    return {
        "paths": {place: walks for place in optimizer_study.LANDSCAPES},
        "digits": {name: near(ends[name]) for name in names},
        "curves": {name: [2.0, ends[name]] for name in names},
    }


def bias_correction(good: bool) -> Numbers:
    ends = {f"{kind}, {beta:g}": 1 + good * beta * (kind == "without")
            for kind in adam_study.KINDS for beta in adam_study.BETAS}  # fmt: skip
    return {
        "losses": {name: curves(end, adam_study.EPOCHS + 1) for name, end in ends.items()},
        "first_step": {name: near(3.0 if good else 1.0) for name in ends},
    }


def batch_size(good: bool) -> Numbers:
    ends = {"batch": 0.01, "mini-batch": 0.01, "online": 0.0}
    seconds = {"batch": 1.0, "mini-batch": 0.1, "online": 1.0}
    if not good:
        ends, seconds = dict.fromkeys(ends, 0.5), dict.fromkeys(seconds, 1.0)
    return {
        name: {"loss": curves(ends[name], batch_study.SIZES[name][2]),
               "s_per_epoch": seconds[name]}
        for name in batch_study.SIZES
    }  # fmt: skip


def learning_rate(good: bool) -> Numbers:
    rates = [f"{rate:g}" for rate in rate_study.RATES]
    accuracy = dict.fromkeys(rates, 0.9)
    losses = dict.fromkeys(rate_study.SCHEDULES, 0.5)
    if good:
        accuracy |= {rates[0]: 0.1, rates[-1]: 0.1}
        losses |= {"exponential": 0.1, "reduce_on_plateau": 0.2}
    return {
        "losses": {rate: [2.0, 1.0] for rate in rates},
        "accuracy": {rate: near(value) for rate, value in accuracy.items()},
        "schedules": {name: near(loss) for name, loss in losses.items()},
    }


def early_stopping(good: bool) -> Numbers:
    epochs = np.linspace(0, 1, stopping_study.EPOCHS)
    val = 1 - epochs + (2 * epochs**2 if good else 0)
    kept, stopped = (val.min(), 30) if good else (2.0, stopping_study.EPOCHS)
    return {
        "train": (1 - 0.9 * epochs if good else 1 + epochs).tolist(),
        "val": [(val + shift).tolist() for shift in near(0.0)],
        "stops": {f"{patience}, {every}": [[stopped, float(kept)]] * 2
                  for patience in stopping_study.PATIENCES for every in stopping_study.EVERY},
    }  # fmt: skip


def dropout(good: bool) -> Numbers:
    names = [f"{h}, {s}" for h in dropout_study.HIDDEN for s in dropout_study.INPUT]
    plain = {name: name == "0.0, 0.0" for name in names}
    return {
        "loss": {name: near(0.1) for name in names},
        "val_loss": {name: near(1.0 if plain[name] or not good else 0.3) for name in names},
        "val_accuracy": {name: near(0.5 if plain[name] or not good else 0.9) for name in names},
    }


def dropout_ensemble(good: bool) -> Numbers:
    count = len(ensemble_study.MASKS)
    distance = np.geomspace(0.5, 0.01, count) if good else np.full(count, 0.5)
    accuracy = np.linspace(0.5, 0.9, count) if good else np.full(count, 0.5)
    return {
        "distance": [distance.tolist(), (distance + 1e-6).tolist()],
        "accuracy": [accuracy.tolist(), [accuracy[0], *(accuracy[1:] + 1e-6)]],
        "scaled": near(0.9),
    }


def penalties(good: bool) -> Numbers:
    strengths = penalty_study.STRENGTHS
    count = len(strengths)
    bowl = 0.5 + np.abs(np.arange(count) - count // 2) / count
    unseen, folds = (bowl, bowl) if good else (np.arange(1, count + 1), np.arange(count, 0, -1))
    seen = np.linspace(0, 2, count) if good else np.zeros(count)
    parts = {"loss": seen, "val_loss": unseen, "folds": folds}
    return {
        part: {f"{kind}, {s:g}": near(float(value)) for kind in penalty_study.KINDS
               for s, value in zip(strengths, values, strict=True)}
        for part, values in parts.items()
    }  # fmt: skip


def weight_paths(good: bool) -> Numbers:
    count = len(path_study.STRENGTHS)
    rising = np.linspace(0.1, 0.9, count)
    zeros = {"l1": rising, "l2": 0 * rising, "elastic_net": rising / 2}
    if not good:
        zeros = {kind: np.full(count, 0.5) for kind in PENALTIES}
    path = [[0.5] * count] * 12
    return {
        "difference": {kind: [[0.0 if good else 1.0] * count] * 2 for kind in PENALTIES},
        "zeros": {kind: [values.tolist()] * 2 for kind, values in zeros.items()},
        "expected zeros": {kind: [values.tolist()] * 2 for kind, values in zeros.items()},
        "paths": dict.fromkeys(PENALTIES, path),
        "expected paths": dict.fromkeys(PENALTIES, path),
    }


def augmentation(good: bool) -> Numbers:
    counts = augmentation_study.COUNTS
    return {
        "counts": {
            "none": {str(count): near(0.5) for count in counts},
            "mild crops": {str(count): near(0.5 + good / count) for count in counts},
        },
        "policies": {name: near(0.5 + 0.2 * (good and name in ("none", "mild crops")))
                     for name in augmentation_study.POLICIES},
        "false positives": {name: near(0.1 + 0.1 * (good and name == "heavy crops"))
                            for name in ("none", "mild crops", "heavy crops")},
    }  # fmt: skip


def transfer(good: bool) -> Numbers:
    counts, few = transfer_study.COUNTS, str(transfer_study.FEW)
    gains = dict(zip(counts, (0.3, 0.25, 0.2), strict=True))

    def start(share: float) -> Numbers:
        return {str(count): near(0.4 + good * share * gains[count]) for count in counts}

    return {
        "signs": {"ImageNet": start(1.0), "CIFAR-10": start(0.5), "from scratch": start(0.0)},
        "digits": {"CIFAR-10": {few: near(0.4)}, "from scratch": {few: near(0.4)}},
    }


def transferred_layers(good: bool) -> Numbers:
    cuts = [str(cut) for cut in layer_study.CUTS]
    ways = dict.fromkeys(layer_study.WAYS, 0.5)
    pretrained = {cut: near(0.5) for cut in cuts}
    if good:
        ways["fine-tuned"], pretrained[cuts[2]] = 0.6, near(0.7)
    return {
        "pretrained": pretrained,
        "random": {cut: near(0.1 if good else 0.5) for cut in (cuts[0], cuts[-1])},
        "ways": {name: near(value) for name, value in ways.items()},
    }


def pretraining(good: bool) -> Numbers:
    better = [0.8, 0.8, 0.9, 0.9] if good else [0.5, 0.6, 0.9, 0.9]
    return {
        "from scratch": [[0.5, 0.6, 0.9, 0.9]] * 2,
        "autoencoder": [better] * 2,
        "Boltzmann machines": [better] * 2,
    }


def capacity(good: bool) -> Numbers:
    count, units = len(capacity_study.DEGREES), len(capacity_study.UNITS)
    bowl = (0.1 + np.abs(np.arange(count) - count // 2)).tolist()
    falling, rising = np.linspace(1, 0.1, count).tolist(), np.linspace(0.1, 1, count).tolist()
    small = (0.1 + np.abs(np.arange(units) - units // 2)).tolist()
    large = np.linspace(1, 2, units).tolist()
    if good:
        return {
            "none": [falling, bowl],
            "ridge": [falling, falling],
            "networks": [small, small],
            "networks, L2": [small, [value / 2 for value in small]],
        }
    worse = [value + 5 for value in rising]
    return {"none": [rising, rising], "ridge": [rising, worse],
            "networks": [large, [0.5, *large[1:-1], 0.5]],
            "networks, L2": [large, [value + 5 for value in large]]}  # fmt: skip


def perceptron(good: bool) -> Numbers:
    from pipelines.studies.perceptron import _GRID

    answers = [0, 1] * (len(_GRID) ** 2 // 2) + [0]
    easy, hard = ([3, 4], [-1, -1]) if good else ([-1, 3], [5, 5])
    return {
        name: {"epochs": hard if name == "XOR" else easy, "line": answers, "answers": answers,
               "two_layers": [1.0 if good else 0.75] * 2}
        for name in TABLES
    }  # fmt: skip


def backpropagation(good: bool) -> Numbers:
    error = 1e-14 if good else 1.0
    return {"automatic": error, "differences": [error] * 12}


def adversarial_noise(good: bool) -> Numbers:
    size = 6
    noise = [0.95] * size if good else [0.95, *[0.5] * (size - 1)]
    gradient = [0.95, *[0.1] * (size - 1)] if good else noise
    seed = {"noise": noise, "gradient": gradient, "images": [[[0.5] * 64] * 6] * 3,
            "answers": [[1] * 6, [1] * 6, [2] * 6]}  # fmt: skip
    return {"seeds": [seed, seed]}
