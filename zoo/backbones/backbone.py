"""Backbone: the row of one architecture, which every family file exports."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.weights import Weights


def load_weights(model: Any, path: Path) -> None:
    """Loads a file that Keras itself wrote into a model of the same layers."""
    model.load_weights(path)


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """One architecture without its classification top.

    Args:
        name: The architecture, such as `mobilenet_v2`; random weights.
        summary: One line on when to use it.
        build: Maps a height and width in pixels to a `keras.Model` from float32
            [B, S, S, 3], normalised, to features [B, h, w, F], random weights.
        load: Reads a verified weight file into what `build` made.
        input_size: The native height and width in pixels.
        min_size: The smallest height and width it accepts.
        normalisation: What it expects of a pixel: a row of NORMALISATIONS.
        num_features: F.
        num_parameters: Of `build`'s model, batch normalisation's moving
            statistics included.
        block_pattern: A regular expression whose match in a layer's name names
            its block; layers it does not match belong to the block before them.
        paper: Authors, year and address.
        weights: The weight files published for it.
    """

    name: str
    summary: str
    build: Callable[[int], Any]
    load: Callable[[Any, Path], None] = load_weights
    input_size: int
    min_size: int
    normalisation: str
    num_features: int
    num_parameters: int
    block_pattern: str
    paper: str
    weights: tuple[Weights, ...] = ()


def blocks_of(backbone: Backbone, model: Any) -> list[list[Any]]:
    """Splits a backbone's layers into blocks, from the input to the top.

    Unfreezing and discriminative learning rates address these. Blocks without
    a variable are joined to the one before.

    Args:
        backbone: The row that `model` was built from.
        model: What its `build` returned.

    Returns:
        Every layer of the model once, in order; each block has variables.
    """
    blocks: list[list[Any]] = []
    key: str | None = None
    for layer in model.layers:
        match = re.search(backbone.block_pattern, layer.name)
        new = match.group(0) if match else key
        if not blocks or new != key:
            blocks.append([])
        key = new
        blocks[-1].append(layer)
    merged: list[list[Any]] = []
    for block in blocks:
        if merged and not any(layer.variables for layer in block):
            merged[-1].extend(block)
        elif merged and not any(layer.variables for layer in merged[-1]):
            merged[-1].extend(block)
        else:
            merged.append(block)
    return merged
