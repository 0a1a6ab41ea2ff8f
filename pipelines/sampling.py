"""Sampling: which image stands at each place of a pass over the training images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Oversample = Literal["none", "balanced"]


@dataclass(frozen=True)
class Places:
    """The places of a pass, and the image at each.

    A pass has as many places for every class as the commonest class has images. A
    class that has fewer comes round again and again: an image of it stands there once
    more than another of its class at the most, and which ones do is drawn anew for
    each pass. That is random oversampling, with as little chance as it can do with.

    Args:
        count: Places of a pass.
        members: int64 [N], the images' indices, class after class.
        starts: int64 [C], where each class begins in `members`.
        sizes: int64 [C], how many images each has.
        seed: Of the draw.
    """

    count: int
    members: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    seed: int

    def image_at(self, place: Any, number: Any) -> Any:
        """Returns the indices of the images at places, int64 [B], in passes, int64 [B]."""
        import tensorflow as tf

        per_class = self.count // len(self.sizes)
        label, turn = place // per_class, place % per_class
        size = tf.gather(self.sizes, label)
        # A number of its own for each class and pass, and none that orders a pass.
        group = -1 - number * len(self.sizes) - label
        last = tf.maximum(size - 1, 1)  # Of a class with one image there is nothing to draw.
        drawn = shuffled(turn % size, self.seed, group, last)
        member = tf.gather(self.starts, label) + tf.where(size > 1, drawn, 0)
        return tf.gather(self.members, member)


def shuffled(places: Any, seed: int, numbers: Any, last: Any) -> Any:
    """Returns which member stands at each place, when members are shuffled by a key.

    Args:
        places: int64 [B], 0 to `last`.
        seed: Of the key.
        numbers: int64 [B], the rest of the key: another one is another order.
        last: int64 [B], one less than there are members; at least 1.
    """
    import tensorflow as tf

    # `tf.random.experimental.index_shuffle`, whose wrapper pads a batch of keys (TF 2.21)
    # along the wrong axis; the number is the one it pads with.
    padding = tf.fill(tf.shape(numbers), tf.constant(498247692, tf.int64))
    key = tf.stack([padding, tf.fill(tf.shape(numbers), tf.constant(seed, tf.int64)), numbers], 1)
    return tf.raw_ops.RandomIndexShuffle(index=places, seed=key, max_index=last, rounds=4)


def build_places(
    labels: npt.NDArray[np.int64], oversample: Oversample, *, seed: int
) -> Places | None:
    """Returns how images are oversampled, or None where each has one place.

    Args:
        labels: int64 [N], the class of each image.
        oversample: `none`, or `balanced` for as many places to each class.
        seed: Of the draw.
    """
    if oversample == "none":
        return None
    _, sizes = np.unique(labels, return_counts=True)
    return Places(
        count=len(sizes) * int(sizes.max()),
        members=np.argsort(labels, kind="stable"),
        starts=np.cumsum(sizes) - sizes,
        sizes=sizes,
        seed=seed,
    )


def num_places(labels: npt.NDArray[np.int64], oversample: Oversample) -> int:
    """Returns how many places a pass has.

    Example:
        >>> num_places(np.array([0, 0, 0, 1]), "balanced")
        6
    """
    places = build_places(labels, oversample, seed=0)
    return places.count if places else len(labels)
