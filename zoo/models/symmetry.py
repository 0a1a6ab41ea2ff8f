"""Symmetries: the mean of a backbone's features over an image and its mirror images.

A photograph and its mirror image show the same, and a network answers a little otherwise. With
the mean over both, each turned back before it is added, the answers are the same for both:
test-time augmentation inside of the network, so that a head trains on what it is asked later.

References: Krizhevsky et al., 2012, section 4.1; Simonyan and Zisserman, 2015, section 3.2,
https://arxiv.org/abs/1409.1556
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

from zoo.table import Table


@dataclass(frozen=True)
class Symmetry:
    """A row of SYMMETRIES.

    Args:
        name: The key in SYMMETRIES.
        summary: Which images it suits.
        left_right: Whether images are mirrored from left to right.
        up_down: Whether they are turned upside down, too.
        transposed: Whether rows and columns change places, too.
    """

    name: str
    summary: str
    left_right: bool = False
    up_down: bool = False
    transposed: bool = False

    @property
    def num_views(self) -> int:
        """How often the backbone runs for an image."""
        return 2 ** (self.left_right + self.up_down + self.transposed)

    def average(self, network: Any, images: Any) -> Any:
        """Applies a network to an image in every view, and averages what it sees.

        Args:
            network: A `keras.Model` from [B, S, S, 3] to a feature map [B, h, w, F], or to
                several.
            images: A Keras tensor [B, S, S, 3].

        Returns:
            Keras tensors as those of the network.
        """
        if self.num_views == 1:
            return network(images)
        from keras import layers, tree

        seen = []
        for steps in self._views():
            maps = tree.flatten(network(_apply(steps, images)))
            seen.append([_apply(steps[::-1], one) for one in maps])
        means = [layers.Average()(list(views)) for views in zip(*seen, strict=True)]
        return means if len(means) > 1 else means[0]

    def _views(self) -> list[tuple[str, ...]]:
        """Returns the steps to each view; each step undoes itself."""
        steps = {"transpose": self.transposed, "up": self.up_down, "left": self.left_right}
        used = [name for name, has in steps.items() if has]
        choices = product((False, True), repeat=len(used))
        return [tuple(name for name, on in zip(used, some, strict=True) if on) for some in choices]


def _apply(steps: tuple[str, ...], maps: Any) -> Any:
    from keras import layers, ops

    for step in steps:
        if step == "transpose":
            maps = layers.Permute((2, 1, 3))(maps)
        else:
            maps = ops.flip(maps, axis=1 if step == "up" else 2)
    return maps


SYMMETRIES: Table[Symmetry] = Table(
    "symmetry",
    [
        Symmetry("none", "each image as it is"),
        Symmetry("mirror", "and its mirror image: things seen from the side", left_right=True),
        Symmetry("flips", "and upside down: things seen from above", left_right=True, up_down=True),
        Symmetry(
            "square",
            "and turned by quarters: microscopy, aerial views, surfaces",
            left_right=True,
            up_down=True,
            transposed=True,
        ),
    ],
)
"""Over which views of an image features are averaged."""
