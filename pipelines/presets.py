"""Presets of heads: which layers, and what has proven to train them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zoo.table import Table


@dataclass(frozen=True)
class HeadPreset:
    """One preset.

    Args:
        name: The key in HEADS.
        summary: What it is, and when to use it.
        settings: Sections of a recipe, and the settings in them that it decides.
    """

    name: str
    summary: str
    settings: Mapping[str, Mapping[str, Any]]


HEADS: Table[HeadPreset] = Table(
    "head",
    [
        HeadPreset(
            "linear",
            "softmax regression on pooled features: few images, or a backbone that fits well",
            {"head": {"hidden": []}},
        ),
        HeadPreset(
            "notes",
            "what the notes recommend: He, ELU, batch norm, dropout, Nesterov, no schedule",
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
            },
        ),
        HeadPreset(
            "modern",
            "what is usual today: both poolings, GELU, AdamW, cosine with warm-up, label smoothing",
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
                "train": {"label_smoothing": 0.1},
            },
        ),
    ],
)
