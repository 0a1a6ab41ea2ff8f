"""Deep belief network: dense sigmoid layers on pixels, for restricted Boltzmann machines.

Three layers of 512 units, run upwards as a feed-forward network without the generative
top of the paper: Hinton, Osindero and Teh, 2006,
https://doi.org/10.1162/neco.2006.18.7.1527. Dense layers ignore which pixels are
neighbors, so the network suits small centered scans such as digits; photographs need a
convolutional network. The number of weights depends on the image size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.backbones.base import Backbone

_UNITS = (512, 512, 512)
_LAYERS = tuple(f"hidden{number}" for number, _ in enumerate(_UNITS, start=1))


def build_deep_belief_network(size: int) -> Any:
    """Builds the network with random weights.

    Args:
        size: Height and width of the input, in pixels, at least 8.

    Returns:
        A `keras.Model` from pixels float32 [B, S, S, 3] in 0 to 255 to the activation
        probabilities of the top layer, float32 [B, 1, 1, 512].
    """
    from keras import Input, Model, layers

    inputs = Input((size, size, 3))
    x = layers.Rescaling(1 / 255, name="unit", dtype="float32")(inputs)
    x = layers.Flatten(name="pixels")(x)
    for name, units in zip(_LAYERS, _UNITS, strict=True):
        x = layers.Dense(units, activation="sigmoid", name=name)(x)
    features = layers.Reshape((1, 1, _UNITS[-1]), name="features")(x)
    return Model(inputs, features, name="deep_belief_network")


def _load(model: Any, path: Path) -> None:
    from zoo.weights.archive import load_backbone

    load_backbone(model, path)


ROWS: tuple[Backbone, ...] = (
    Backbone(
        name="deep_belief_network",
        summary="dense layers for small scans; pretrain them without labels: `--method rbm`",
        build=build_deep_belief_network,
        load=_load,
        input_size=16,
        min_size=8,
        normalization="none",
        num_features=_UNITS[-1],
        num_parameters=919_040,
        block_pattern=r"hidden\d",
        boltzmann_layers=_LAYERS,
        paper="Hinton, Osindero and Teh, 2006, https://doi.org/10.1162/neco.2006.18.7.1527",
    ),
)
