"""Classifier: normalization, backbone and head as one Keras model.

    images float32 [B, S, S, 3] in 0 to 255
      → normalization → backbone → head → logits [B, C] → probabilities [B, C]

It consists of Keras' own layers, so a saved classifier loads without this project; only a
head with the activation `rrelu` or `step` needs `import zoo.layers` first, and a backbone of
KerasHub `import keras_hub`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.backbones.catalog import build_backbone, resolve
from zoo.heads.head import HeadConfig, build_head
from zoo.image_format import channels_last
from zoo.models.symmetry import SYMMETRIES
from zoo.normalization import NORMALIZATIONS, Normalization


@channels_last()
def build_classifier(
    backbone: str,
    num_classes: int,
    *,
    size: int | None = None,
    head: HeadConfig | Mapping[str, Any] | None = None,
    frozen: bool | None = None,
    truncate_blocks: int = 0,
    levels: int = 1,
    symmetry: str = "none",
    normalization: Normalization | None = None,
) -> Any:
    """Builds a classifier.

    Args:
        backbone: An architecture (random weights), `architecture.tag`, or a file of
            `zoo pretrain`.
        num_classes: C, at least 2.
        size: Height and width of the images, in pixels; None takes the size that the
            weights were trained at.
        head: The layers on top of the backbone, as a HeadConfig or as its settings;
            None takes HeadConfig's defaults.
        frozen: Whether the backbone's weights stay as they are; None freezes pretrained
            weights and trains random ones. See `build_logits_model` about training.
        truncate_blocks: Number of the backbone's blocks to leave out, from the top.
        levels: Feature maps that the head reads: the top's, and those of lower places.
        symmetry: Over which views of an image features are averaged, a row of SYMMETRIES.
        normalization: Replaces the backbone's own normalization of pixels.

    Returns:
        A `keras.Model` from images float32 [B, S, S, 3] in 0 to 255 to
        probabilities float32 [B, C].

    Raises:
        UnknownNameError: No such backbone or symmetry.
        RecipeError: `size` is too small for it, or it has too few blocks or levels.
        WeightsError: Its weight file cannot be found or is the wrong one.
        FetchError: The download of its weights broke off.
    """
    import keras

    row, weights = resolve(backbone)
    if not isinstance(head, HeadConfig):
        head = HeadConfig.from_arguments(head or {})
    if size is None:
        size = weights.input_size if weights else row.input_size
    images, features = build_features(
        backbone,
        size,
        frozen=weights is not None if frozen is None else frozen,
        truncate_blocks=truncate_blocks,
        levels=levels,
        symmetry=symmetry,
        normalization=normalization,
    )
    logits = build_head(features, head, num_classes)
    probabilities = keras.layers.Softmax(name="probabilities", dtype="float32")(logits)
    return keras.Model(images, probabilities, name="classifier")


def build_features(
    backbone: str,
    size: int,
    *,
    frozen: bool,
    truncate_blocks: int = 0,
    levels: int = 1,
    symmetry: str = "none",
    normalization: Normalization | None = None,
) -> tuple[Any, Any]:
    """Builds the layers below a head: normalization and backbone.

    Args:
        backbone: An architecture (random weights) or `architecture.tag`.
        size: Height and width of the images, in pixels.
        frozen: Whether the backbone's weights stay as they are.
        truncate_blocks: Number of the backbone's blocks to leave out, from the top.
        levels: Feature maps that the head reads: the top's, and those of lower places.
        symmetry: Over which views of an image features are averaged, a row of SYMMETRIES.
        normalization: Replaces the backbone's own normalization of pixels.

    Returns:
        The input, a Keras tensor float32 [B, S, S, 3] in 0 to 255, and the features, a Keras
        tensor [B, h, w, F], or a list of several levels.

    Raises:
        UnknownNameError: No such backbone.
        RecipeError: `size` is too small for it, or it has too few blocks or levels.
        WeightsError: Its weight file cannot be found or is the wrong one.
        FetchError: The download of its weights broke off.
    """
    import keras

    row, weights = resolve(backbone)
    network = build_backbone(backbone, size, truncate_blocks=truncate_blocks, levels=levels)
    images = keras.Input((size, size, 3), name="images", dtype="float32")
    own = weights.normalization if weights else row.normalization
    x = (normalization or NORMALIZATIONS[own]).apply(images)
    if frozen:
        network.trainable = False
    return images, SYMMETRIES[symmetry].average(network, x)
