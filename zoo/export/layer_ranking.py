"""Ranking of the layers of a network by what their quantization to 8-bit integers costs."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

MAX_RANKED_ON = 32
"""Images that the cost is measured on, at most."""

_MAX_GROUPS = 16
"""Groups of layers whose cost is measured, at most; each takes a quantization."""

_LAYER = re.compile(r"/([^/;]+?)(?:_\d+)?/(?:convolution|depthwise)")
"""A layer of Keras in the name of an operation or of its weights."""


def layer_name(*texts: str) -> str:
    """Returns the name of the Keras layer that a convolution was; else the first text.

    Args:
        texts: Names of the convolution, of its weights or of its output.

    Example:
        >>> layer_name("Conv_7", "net/block1a_project_conv_1/convolution/weights")
        'block1a_project_conv'
    """
    for text in texts:
        if found := _LAYER.search(text):
            return found[1]
    return texts[0]


def rank_groups(
    layers: Sequence[str], predict: Callable[[Collection[int]], Sequence[Any]]
) -> list[list[str]]:
    """Groups neighboring layers, and ranks the groups by what their quantization costs.

    With one group quantized at a time, the mean difference of the outputs from those in floating
    point is measured. A layer whose activations 8 bits cannot hold thus ranks high beside the
    layer that reads them; with all others quantized, neither would gain.

    Args:
        layers: The names of the layers, in the order of the network.
        predict: Returns the outputs, float32 arrays, with the layers at some places quantized and
            all others in floating point.

    Returns:
        The names of the layers of each group, up to 16 groups; the one that costs most first.
    """
    import numpy as np

    expected = predict(())
    size = -(-len(layers) // _MAX_GROUPS)
    differences = []
    for start in range(0, len(layers), size):
        places = range(start, min(start + size, len(layers)))
        found = predict(places)
        apart = np.mean([np.abs(a - b).mean() for a, b in zip(found, expected, strict=True)])
        differences.append((float(apart), start, [layers[place] for place in places]))
    return [names for _, _, names in sorted(differences, key=lambda each: (-each[0], each[1]))]
