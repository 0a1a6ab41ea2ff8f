"""Flip, crop and shift: what is drawn for one image, and the one rendering of it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from zoo.config import Config
from zoo.preprocessing import Preprocessing


class AugmentConfig(Config):
    """How training images vary from epoch to epoch.

    Args:
        flip: Probability of a horizontal flip, 0 to 1.
        crop: Smallest share of the area of what validation shows that a random
            crop keeps, above 0; 1 keeps all of it. The share is uniform from `crop`
            to 1 (Szegedy et al., 2015, draw it from 0.08, which is for large sets).
        aspect: Largest ratio by which a crop changes the proportions, at least
            1. The ratio is log-uniform from 1/aspect to aspect, and then brought
            to what the share leaves room for: a crop that keeps the share s has a
            ratio from s to 1/s, so that one that keeps everything changes nothing.
        shift: Furthest the view moves either way along each side, as a share of
            it, in whole pixels of the result; what comes into view is black. For
            small images 0.125, four pixels of 32 (He et al., 2016), instead of a crop.
    """

    flip: Annotated[float, Field(ge=0, le=1)] = 0.5
    crop: Annotated[float, Field(gt=0, le=1)] = 0.6
    aspect: Annotated[float, Field(ge=1, le=4)] = 1.2
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.0


def render_augmented(
    image: Any, preprocessing: Preprocessing, config: AugmentConfig, key: Any
) -> Any:
    """Draws one augmented view of an image, in one resampling.

    Args:
        image: uint8 [H, W, 3].
        preprocessing: The transform whose box is varied.
        config: How far.
        key: int64 [3]: seed, epoch, index. The same key gives the same view.

    Returns:
        uint8 [S, S, 3].
    """
    import tensorflow as tf

    box, flipped = draw_view(preprocessing.box(image), config, key, preprocessing.size)
    view = preprocessing.render(image, box)
    return tf.cond(flipped, lambda: view[:, ::-1], lambda: view)


def draw_view(whole: Any, config: AugmentConfig, key: Any, size: int) -> tuple[Any, Any]:
    """Draws which part of an image a view shows, and whether it is mirrored.

    Args:
        whole: float32 [4]: top, left, height and width in pixels of the image, the
            part that validation shows.
        config: How far views vary.
        key: int64 [3]: seed, epoch, index.
        size: S, the side of the view in pixels, by which shifts are counted.

    Returns:
        float32 [4], the part in the same form, and bool [].
    """
    import tensorflow as tf

    seed = tf.random.fold_in(tf.random.fold_in(tf.cast([key[0], 0], tf.int64), key[1]), key[2])
    area, ratio, top, left, coin, *moves = tf.unstack(tf.random.stateless_uniform([7], seed))
    share = config.crop + (1.0 - config.crop) * area
    stretch = tf.exp((2.0 * ratio - 1.0) * tf.math.log(tf.constant(config.aspect)) / 2.0)
    # No side may outgrow the whole, or the other could not keep the share.
    root = tf.sqrt(share)
    stretch = tf.clip_by_value(stretch, root, 1.0 / root)
    sides = whole[2:] * tf.minimum(root * tf.stack([stretch, 1.0 / stretch]), 1.0)
    corner = whole[:2] + (whole[2:] - sides) * tf.stack([top, left])
    # Whole pixels: a part of one would blur every small image a little.
    pixels = tf.round((2.0 * tf.stack(moves) - 1.0) * config.shift * size)
    corner += pixels / size * sides
    return tf.concat([corner, sides], axis=0), coin < config.flip
