"""Presets: recipes for kinds of images, and heads with the settings that train them well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zoo.table import Table


@dataclass(frozen=True)
class HeadPreset:
    """A head, with the settings that train it well.

    Args:
        name: The key in HEADS.
        summary: What it is, and when to use it.
        settings: Sections of a recipe, with the settings the preset decides.
    """

    name: str
    summary: str
    settings: Mapping[str, Mapping[str, Any]]


HEADS: Table[HeadPreset] = Table(
    "head",
    [
        HeadPreset(
            "linear",
            "softmax regression on pooled features: for few images, or a well-suited backbone",
            {"head": {"hidden": []}},
        ),
        HeadPreset(
            "classic",
            "He initialization, ELU, batch norm, dropout, Nesterov momentum, constant rate",
            {
                "head": {
                    "hidden": [256],
                    "initializer": "he_normal",
                    "activation": "elu",
                    "batch_norm": True,
                    "batch_norm_position": "before",
                    "input_dropout": 0.2,
                    "dropout": 0.5,
                },
                "optimizer": {"name": "nesterov", "learning_rate": 0.01, "weight_decay": 0.0},
                "schedule": {"name": "constant"},
                "penalty": {"name": "none"},
            },
        ),
        HeadPreset(
            "modern",
            "both poolings, GELU, AdamW, cosine schedule with warm-up, label smoothing",
            {
                "head": {
                    "pooling": "concatenated",
                    "hidden": [512],
                    "initializer": "he_normal",
                    "activation": "gelu",
                    "batch_norm": True,
                    "batch_norm_position": "before",
                    "input_dropout": 0.1,
                    "dropout": 0.3,
                },
                "optimizer": {"name": "adamw", "learning_rate": 0.001, "weight_decay": 0.01},
                "schedule": {"name": "cosine", "warmup": 0.1},
                "penalty": {"name": "none"},
                "train": {"label_smoothing": 0.1},
            },
        ),
    ],
)

# A common recipe for CIFAR-sized images: Nesterov momentum at a high rate with warm-up and
# cosine decay, label smoothing, averaged weights, flips, shifts of four pixels and cutout of
# eight (DeVries and Taylor, 2017, https://arxiv.org/abs/1708.04552). Without cutout and with
# shifts of three pixels a network overfitted: 95 % training, 88.5 % test accuracy.
_FROM_SCRATCH = {
    "data": {"val_fraction": 0.02},
    "input": {"size": 32, "batch_size": 256},
    "augment": {
        "policy": [
            {"name": "flip_lr"},
            {"name": "shift", "share": 0.125},
            {
                "name": "erase",
                "p": 1.0,
                "area": 0.0625,
                "min_area": 0.0625,
                "aspect": 1.0,
                "fill": "gray",
            },
        ]
    },
    "backbone": {"name": "micro_resnet_m", "frozen": False},
    "optimizer": {"name": "nesterov", "learning_rate": 0.2, "weight_decay": 0.005, "ema": 0.99},
    "schedule": {"name": "cosine", "warmup": 0.15},
    "train": {"epochs": 30, "label_smoothing": 0.1},
    "stopping": {"monitor": "val_accuracy", "patience": 0},
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Photographs: a pretrained backbone, flips and moderate crops.
    "photo": {},
    # Handwriting: no flips and hardly any crops, which would turn a 6 into another sign. Of
    # lower features for CIFAR-10's 32 px; out of five folds 0.985 of the embedded digits are
    # classified rightly, 0.974 by the whole network's average features.
    "digits": {
        "backbone": {"name": "micro_resnet_m.cifar10", "truncate_blocks": 3},
        "augment": {"candidate": "digits"},
        "input": {"size": 32},
        "head": {"pooling": "concatenated"},
    },
    # Small images of surfaces. Out of five folds 0.996 of the embedded textures are classified
    # rightly for 25 million multiply-adds an image; MicroResNet-M reaches 0.986 for 264 million.
    "textures": {
        "backbone": {"name": "efficientnet_lite0.imagenet", "truncate_blocks": 3},
        "augment": {"candidate": "textures"},
        "input": {"size": 64},
        "head": {"pooling": "concatenated"},
    },
    # A small network from random weights, for `zoo pretrain`.
    "pretrain": _FROM_SCRATCH,
    # The same network as an autoencoder.
    "pretrain_autoencoder": {
        "data": {"val_fraction": 0.05},
        "input": {"size": 32, "batch_size": 128},
        "augment": {"policy": "photo"},
        "backbone": {"name": "micro_resnet_m", "frozen": False},
        "optimizer": {"name": "adamw", "learning_rate": 0.002, "weight_decay": 0.01},
        "schedule": {"name": "cosine", "warmup": 0.1},
        "train": {"epochs": 30},
        "stopping": {"monitor": "val_loss", "patience": 0},
        "pretraining": {"method": "autoencoder"},
    },
    # Plain gradient steps without augmentation (Hinton, 2012,
    # https://doi.org/10.1007/978-3-642-35289-8_32); `train.epochs` are those of each layer.
    "pretrain_rbm": {
        "data": {"val_fraction": 0.05},
        "input": {"size": 16, "batch_size": 32},
        "augment": {"policy": "none"},
        "backbone": {"name": "deep_belief_network", "frozen": False},
        "optimizer": {"name": "sgd", "learning_rate": 0.02},
        "train": {"epochs": 30},
        "stopping": {"monitor": "val_loss", "patience": 0},
        "pretraining": {"method": "rbm"},
    },
}
