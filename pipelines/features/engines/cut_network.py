"""Feature network of a backbone at several cuts: truncated variants in one pass.

A backbone without its top blocks is a prefix of the whole, so that one pass over the whole
yields the pooled features of every variant, for the price of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

from pipelines.features.engines.cost import count_multiply_adds
from pipelines.features.engines.network import FeatureNetwork, build_pooled_network
from zoo.backbones.base import find_cuts
from zoo.backbones.catalog import build_backbone, resolve
from zoo.normalization import NORMALIZATIONS


@dataclass(frozen=True)
class Cut:
    """A backbone without some of its top blocks, as a part of the features of all cuts.

    Args:
        truncate_blocks: Blocks removed from the top, as `backbone.truncate_blocks` has it.
        start: The first of its channels.
        stop: The channel after its last.
        num_parameters: Weights of what remains.
        multiply_adds: Of what remains, for one image.
    """

    truncate_blocks: int
    start: int
    stop: int
    num_parameters: int
    multiply_adds: int


def build_cut_network(
    backbone: str, size: int, num_truncations: int
) -> tuple[FeatureNetwork, tuple[Cut, ...]]:
    """Builds a network of the features of a backbone, whole and truncated.

    Without truncated variants it is the feature network of a classifier with this backbone,
    and shares its stored features.

    Args:
        backbone: Its name, with weights.
        size: Height and width of the images, in pixels.
        num_truncations: Truncated variants, at most: cut at the highest places possible.

    Returns:
        The network, and the cuts in the order of its channels, the whole backbone first.

    Raises:
        UnknownNameError: No such backbone.
        RecipeError: `size` is too small for it.
        WeightsError: Its weight file cannot be found or is the wrong one.
        FetchError: The download of its weights broke off.
    """
    import keras

    row, weights = resolve(backbone)
    whole = build_backbone(backbone, size)
    outputs = {0: whole.output, **dict(islice(find_cuts(row, whole).items(), num_truncations))}
    images = keras.Input((size, size, 3), name="images", dtype="float32")
    normalization = weights.normalization if weights else row.normalization
    network = whole
    if len(outputs) > 1:
        # The name tells the digest of the features which cuts they are of.
        name = "_".join([whole.name, "truncated", *map(str, outputs)])
        network = keras.Model(whole.input, list(outputs.values()), name=name)
    network.trainable = False
    maps = network(NORMALIZATIONS[normalization].apply(images))
    trunk = keras.Model(images, maps, name="trunk")
    return build_pooled_network(trunk), tuple(_list_cuts(whole, outputs))


def _list_cuts(whole: Any, outputs: dict[int, Any]) -> list[Cut]:
    import keras

    cuts: list[Cut] = []
    start = 0
    for number, output in outputs.items():
        model = keras.Model(whole.input, output) if number else whole
        stop = start + int(output.shape[-1])
        cost = count_multiply_adds(model)
        cuts.append(Cut(number, start, stop, int(model.count_params()), cost))
        start = stop
    return cuts
