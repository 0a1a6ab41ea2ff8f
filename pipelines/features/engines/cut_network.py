"""Feature networks of a backbone at several places: truncated variants and levels in one pass.

A backbone without its top blocks is a prefix of the whole, so that one pass over the whole
yields the pooled features of every variant, for the price of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.features.engines.cost import count_multiply_adds
from pipelines.features.engines.network import FeatureNetwork, build_pooled_network
from zoo.backbones.base import find_cuts
from zoo.backbones.catalog import build_backbone, resolve
from zoo.models.blocks import backbone_of
from zoo.models.symmetry import SYMMETRIES
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
    backbone: str,
    size: int,
    num_truncations: int,
    *,
    max_blocks: int = 0,
    symmetry: str = "none",
) -> tuple[FeatureNetwork, tuple[Cut, ...]]:
    """Builds a network of the features of a backbone, whole and truncated.

    Without truncated variants it is the feature network of a classifier with this backbone,
    and shares its stored features.

    Args:
        backbone: Its name, with weights.
        size: Height and width of the images, in pixels.
        num_truncations: Truncated variants, at most: cut at the highest places possible.
        max_blocks: Besides these all variants without so many blocks or fewer.
        symmetry: Over which views of an image features are averaged, a row of SYMMETRIES.

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
    places = find_cuts(row, whole)
    outputs = {0: whole.output}
    for position, (number, output) in enumerate(places.items()):
        if position < num_truncations or number <= max_blocks:
            outputs[number] = output
    normalization = weights.normalization if weights else row.normalization
    network = whole
    if len(outputs) > 1:
        network = keras.Model(whole.input, list(outputs.values()), name=whole.name)
    cuts = tuple(_list_cuts(whole, outputs))
    return _build_network(network, normalization, symmetry), cuts


def build_level_network(
    classifier: Any, backbone: str, max_blocks: int, symmetry: str = "none"
) -> tuple[FeatureNetwork, tuple[int, ...]]:
    """Builds the network of the features that a classifier's backbone has at several levels.

    It is the feature network of the same classifier with `backbone.levels` at their largest, and
    shares its stored features.

    Args:
        classifier: From `build_classifier`, with the backbone's own normalization. The network
            shares its weights.
        backbone: The name it was built with.
        max_blocks: Blocks above the lowest level, at most; the classifier's own levels are all
            there.
        symmetry: Over which views of an image features are averaged, a row of SYMMETRIES.

    Returns:
        The network, and the channels of each level from the top down.
    """
    import keras

    row, weights = resolve(backbone)
    network = backbone_of(classifier, backbone)
    top = keras.Model(network.input, network.outputs[0], name=network.name)
    below = [output for number, output in find_cuts(row, top).items() if number <= max_blocks]
    outputs = [top.output, *below]
    if len(outputs) > len(network.outputs):
        network = keras.Model(network.input, outputs, name=network.name)
    widths = tuple(int(output.shape[-1]) for output in network.outputs)
    normalization = weights.normalization if weights else row.normalization
    return _build_network(network, normalization, symmetry), widths


def _build_network(network: Any, normalization: str, symmetry: str) -> FeatureNetwork:
    import keras

    network.trainable = False
    images = keras.Input(network.input.shape[1:], name="images", dtype="float32")
    maps = SYMMETRIES[symmetry].average(network, NORMALIZATIONS[normalization].apply(images))
    return build_pooled_network(keras.Model(images, maps, name="trunk"))


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
