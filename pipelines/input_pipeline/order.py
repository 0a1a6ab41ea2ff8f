"""Sampling: which image stands where in the stream that training is cut from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

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


class Keys(NamedTuple):
    """Which images stand at some positions, and what their views are drawn from.

    Args:
        numbers: int64 [B], the pass.
        spots: int64 [B], the place in the pass, which stands for the image.
        indices: int64 [B], which image of the split stands there.
        shares: float32 [B], what it counts besides its class's weight.
    """

    numbers: Any
    spots: Any
    indices: Any
    shares: Any


@dataclass(frozen=True)
class Order:
    """The stream of training images: pass after pass, cut into batches of one size.

    Which image stands where is a function of (seed, pass, place) alone, so the stream
    from epoch 3 on is the same whether it started there or at 0.

    Args:
        count: Places of a pass.
        batch: Images a batch.
        steps: Batches an epoch: the fewest that hold a pass.
        stride: Positions from one pass to the next: `count`, or with whole passes those of
            an epoch.
        seed: Of the order.
        places: How images are oversampled, if they are.
    """

    count: int
    batch: int
    steps: int
    stride: int
    seed: int
    places: Places | None

    def keys(self, positions: Any) -> Keys:
        """Returns what stands at positions of the stream, int64 [B]."""
        import tensorflow as tf

        numbers, spots = positions // self.stride, positions % self.stride
        shares = tf.cast(spots < self.count, tf.float32) * (self.stride / self.count)
        spots %= self.count
        if self.count > 1:
            last = tf.fill(tf.shape(spots), np.int64(self.count - 1))
            spots = shuffled(spots, self.seed, numbers, last)
        # An image that comes twice in a pass looks different each time.
        indices = self.places.image_at(spots, numbers) if self.places else spots
        return Keys(numbers, spots, indices, shares)

    def batch_keys(self, step: Any) -> Keys:
        """Returns what stands in a batch, counted from the first of all, int64 []."""
        import tensorflow as tf

        return self.keys(step * self.batch + tf.range(self.batch, dtype=tf.int64))


def build_order(
    labels: npt.NDArray[np.int64],
    batch_size: int,
    *,
    seed: int,
    oversample: Oversample = "none",
    whole_passes: bool = False,
    num_replicas: int = 1,
) -> Order:
    """Builds the order in which training sees images.

    Args:
        labels: int64 [N], the class of each image.
        batch_size: Images a batch that are asked for.
        seed: Of the order.
        oversample: Whether rare classes come round more often.
        whole_passes: Whether every epoch is one pass, as full-batch descent needs it:
            what fills up its last batch has no weight, and the others make up for it, so
            that the mean over the epoch is the mean over the pass.
        num_replicas: Devices that share a batch evenly.
    """
    places = build_places(labels, oversample, seed=seed)
    count = places.count if places else len(labels)
    batch = _even_batch(count, batch_size, num_replicas)
    steps = steps_per_epoch(count, batch_size, num_replicas)
    stride = steps * batch if whole_passes else count
    return Order(count, batch, steps, stride, seed, places)


def steps_per_epoch(num_images: int, batch_size: int, num_replicas: int = 1) -> int:
    """Returns the fewest batches that hold a pass.

    Args:
        num_images: N; with oversampling the places of a pass.
        batch_size: Images a batch that were asked for.
        num_replicas: Devices that share a batch evenly, for which it is rounded.

    Example:
        >>> steps_per_epoch(20, 6), steps_per_epoch(20, 6, num_replicas=4)
        (4, 5)
    """
    return -(-num_images // _even_batch(num_images, batch_size, num_replicas))


def _even_batch(num_images: int, batch_size: int, num_replicas: int) -> int:
    """Rounds a batch down to what devices share evenly; each gets at least one image."""
    return max(min(batch_size, num_images) // num_replicas, 1) * num_replicas
