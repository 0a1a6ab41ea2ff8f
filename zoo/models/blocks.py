"""The backbone inside a classifier, and its blocks: depth, unfreezing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zoo.backbones.base import blocks_of
from zoo.backbones.catalog import resolve
from zoo.errors import RecipeError


def backbone_of(classifier: Any, backbone: str) -> Any:
    """Returns the backbone inside a classifier, as a `keras.Model`."""
    return classifier.get_layer(resolve(backbone)[0].name)


def check_blocks(classifier: Any, backbone: str, num_blocks: int) -> None:
    """Checks that a backbone has enough blocks to unfreeze.

    Args:
        classifier: From `build_classifier` or `build_multi_task`.
        backbone: The name it was built with.
        num_blocks: Number of blocks to unfreeze.

    Raises:
        RecipeError: The backbone has fewer blocks.
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
    """Returns the depth of each variable, for learning rates that decay by block.

    Args:
        classifier: From `build_classifier` or `build_multi_task`.
        backbone: The name it was built with.

    Returns:
        A function that maps a `keras.Variable` to 0 in the head, and in the backbone to the
        number of its block, counted from 1 at the top.
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
    """Returns the kernels of a classifier's head, float32 arrays by layer name."""
    network = backbone_of(classifier, backbone)
    return {
        layer.name: layer.kernel.numpy()
        for layer in classifier.layers
        if layer is not network and hasattr(layer, "kernel")
    }


def unfreeze_top(classifier: Any, backbone: str, num_blocks: int) -> None:
    """Makes the top blocks of a frozen backbone trainable, and only these.

    Batch normalization stays in inference mode: its scale and shift train, its statistics
    do not move. Takes effect at the next `compile`.

    Args:
        classifier: Built with `frozen=True`.
        backbone: The name it was built with.
        num_blocks: Number of blocks, counted from the top.

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
