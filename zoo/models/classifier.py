"""Classifier: normalization, backbone and head as one Keras model; freeze, unfreeze.

    images float32 [B, S, S, 3] in 0 to 255
      → normalization → backbone → head → logits [B, C] → probabilities [B, C]

It is made of Keras' own layers alone, so a saved classifier loads where this
project is not installed; only a head with the activation `rrelu` or `step` needs
`import zoo.layers` first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zoo.backbones.base import blocks_of
from zoo.backbones.catalog import build_backbone, resolve
from zoo.errors import RecipeError
from zoo.heads.head import HeadConfig, build_head
from zoo.preprocessing import NORMALIZATIONS, Normalization
from zoo.tasks import CLASSIFICATION, Task, unwrap


def build_classifier(
    backbone: str,
    num_classes: int,
    *,
    size: int | None = None,
    head: HeadConfig | Mapping[str, Any] | None = None,
    frozen: bool | None = None,
    truncate_blocks: int = 0,
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
        normalization: Replaces the backbone's own normalization of pixels.

    Returns:
        A `keras.Model` from images float32 [B, S, S, 3] in 0 to 255 to
        probabilities float32 [B, C].

    Raises:
        UnknownNameError: No such backbone.
        RecipeError: `size` is too small for it, or it cannot do without so many blocks.
        WeightsError: Its weight file is not to be had or not the right one.
        FetchError: Its download broke off.
    """
    import keras

    row, weights = resolve(backbone)
    if not isinstance(head, HeadConfig):
        head = HeadConfig.model_validate(head or {})
    if size is None:
        size = weights.input_size if weights else row.input_size
    images, features = build_features(
        backbone,
        size,
        frozen=weights is not None if frozen is None else frozen,
        truncate_blocks=truncate_blocks,
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
    normalization: Normalization | None = None,
) -> tuple[Any, Any]:
    """Builds what every model has below its head: normalization and backbone.

    Args:
        backbone: An architecture (random weights) or `architecture.tag`.
        size: Height and width of the images, in pixels.
        frozen: Whether the backbone's weights are kept.
        truncate_blocks: How many of the backbone's blocks to leave out, from the top.
        normalization: Of the pixels, instead of the backbone's own.

    Returns:
        The input, a Keras tensor float32 [B, S, S, 3] in 0 to 255, and the features,
        one of [B, h, w, F].
    """
    import keras

    row, weights = resolve(backbone)
    network = build_backbone(backbone, size, truncate_blocks=truncate_blocks)
    images = keras.Input((size, size, 3), name="images", dtype="float32")
    own = weights.normalization if weights else row.normalization
    x = (normalization or NORMALIZATIONS[own]).apply(images)
    if frozen:
        network.trainable = False
    return images, network(x)


def build_logits_model(
    classifier: Any, *, frozen: bool, tasks: Sequence[Task] = (CLASSIFICATION,)
) -> Any:
    """Returns what is trained: a model that ends in the logits and shares every weight.

    A loss on logits is exact where one on probabilities has to clip them. When
    frozen, the backbone runs in inference mode whatever the mode of training
    and whichever of its blocks are unfrozen: no statistics move and no path is
    dropped. `backbone(x, training=False)` in a functional model does not do
    that: Keras 3 replaces the recorded argument by the outer call's.

    Args:
        classifier: As `build_classifier` made it, or `build_multi_task`.
        frozen: As it was built.
        tasks: What it predicts.

    Returns:
        A `keras.Model` from images float32 [B, S, S, 3] to float32 [B, C], or to a
        dictionary of float32 [B, K] by the tasks' names; to be trained, not to be
        saved. A number's logit is the number standardized.
    """
    import keras

    images, logits = classifier.input, _logits(classifier, tasks)
    if not frozen:
        return keras.Model(images, logits, name="logits")
    # A nested model's own output is not the tensor it gave in this graph.
    boundary = classifier.get_layer("pool").input

    class OnFrozen(keras.Model):
        """Head on a backbone in inference mode."""

        def __init__(self) -> None:
            super().__init__(name="logits")
            self.trunk = keras.Model(images, boundary, name="trunk")
            self.head = keras.Model(boundary, logits, name="head")

        def call(self, images: Any, training: bool | None = None) -> Any:
            """Maps images to logits."""
            return self.head(self.trunk(images, training=False), training=training)

    model = OnFrozen()
    model.build(classifier.input_shape)
    return model


def build_head_model(classifier: Any, *, tasks: Sequence[Task] = (CLASSIFICATION,)) -> Any:
    """Returns what is trained on a frozen backbone, from its pooled features on.

    Args:
        classifier: As `build_classifier` or `build_multi_task` made it, or any model with
            the layers of a head.
        tasks: What it predicts.

    Returns:
        A `keras.Model` from float32 [B, F] to what `build_logits_model` ends in, which shares
        every weight.
    """
    import keras

    return keras.Model(_pooled(classifier), _logits(classifier, tasks), name="head")


def build_probability_model(classifier: Any) -> Any:
    """Returns a classifier's head with its answers: from pooled features to probabilities."""
    import keras

    return keras.Model(_pooled(classifier), classifier.output, name="answers")


def _pooled(classifier: Any) -> Any:
    names = {layer.name for layer in classifier.layers}
    return classifier.get_layer("pool_both" if "pool_both" in names else "pool").output


def _logits(classifier: Any, tasks: Sequence[Task]) -> Any:
    logits = {t.name: classifier.get_layer(f"{t.prefix}logits").output for t in tasks}
    return unwrap(tasks, logits)


def backbone_of(classifier: Any, backbone: str) -> Any:
    """Returns the backbone inside a classifier, as its own model."""
    return classifier.get_layer(resolve(backbone)[0].name)


def check_blocks(classifier: Any, backbone: str, num_blocks: int) -> None:
    """Checks that a backbone has so many blocks to unfreeze.

    Args:
        classifier: As `build_classifier` made it.
        backbone: The name it was built with.
        num_blocks: How many blocks are to be unfrozen.

    Raises:
        RecipeError: It has fewer.
    """
    blocks = blocks_of(resolve(backbone)[0], backbone_of(classifier, backbone))
    if num_blocks > len(blocks):
        raise RecipeError(
            f"{backbone} cannot unfreeze {num_blocks} blocks",
            expected=f"fine_tune.blocks from 0 to {len(blocks)}",
            received=str(num_blocks),
            mend=f"--set fine_tune.blocks={len(blocks)} unfreezes all of it",
        )


def depth_of(classifier: Any, backbone: str) -> Callable[[Any], int]:
    """Returns how far below the head each variable of a classifier stands.

    Args:
        classifier: As `build_classifier` made it.
        backbone: The name it was built with.

    Returns:
        A function from a `keras.Variable` to 0 in the head, and in the backbone to its
        block, counted from 1 at the top.
    """
    blocks = blocks_of(resolve(backbone)[0], backbone_of(classifier, backbone))
    depths = {
        id(variable): depth
        for depth, block in enumerate(reversed(blocks), start=1)
        for layer in block
        for variable in layer.variables
    }
    return lambda variable: depths.get(id(variable), 0)


def head_kernels(classifier: Any, backbone: str) -> dict[str, Any]:
    """Returns the kernels of a classifier's head, float32 arrays by the name of their layer."""
    network = backbone_of(classifier, backbone)
    return {
        layer.name: layer.kernel.numpy()
        for layer in classifier.layers
        if layer is not network and hasattr(layer, "kernel")
    }


def unfreeze_top(classifier: Any, backbone: str, num_blocks: int) -> None:
    """Makes the top blocks of a frozen backbone trainable, and only those.

    Batch normalization stays in inference mode: its scale and shift train, its
    statistics do not move. Takes effect at the next `compile`.

    Args:
        classifier: Built with `frozen=True`.
        backbone: The name it was built with.
        num_blocks: How many blocks, counted from the top.

    Raises:
        RecipeError: The backbone has fewer blocks.
    """
    check_blocks(classifier, backbone, num_blocks)
    network = backbone_of(classifier, backbone)
    blocks = blocks_of(resolve(backbone)[0], network)
    network.trainable = True
    top = {id(layer) for block in blocks[len(blocks) - num_blocks :] for layer in block}
    for layer in network.layers:
        layer.trainable = id(layer) in top
