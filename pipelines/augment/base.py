"""Base classes of augmentation operations, and the registry row that describes one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from zoo.config import Config

Probability = Annotated[float, Field(ge=0, le=1)]
Stage = Literal["geometry", "color", "filter", "mixing", "group"]
Parameters = dict[str, Any]
"""Parameters sampled for a batch: a float32 [B] tensor by name."""


@dataclass(frozen=True)
class SamplingContext:
    """Inputs of sampling beyond an operation's own settings.

    Args:
        size: Side S of the rendered view, in pixels.
        color_axes: float32 [3, 3] from `color_pca.fit_color_pca`; None where the policy
            has no `pca_noise`.
    """

    size: int
    color_axes: Any = None


class Operation(Config):
    """One augmentation with its settings.

    An operation maps uniform random numbers to its parameters, so its result depends
    only on the key that generated the numbers.

    Args:
        name: Key in AUGMENTATIONS.
        p: Probability that the operation changes an image, 0 to 1.
    """

    main_setting: ClassVar[str] = "p"
    """The setting that the shorthand writes first and without its name."""
    num_uniforms: ClassVar[int] = 0
    """Number of uniform random numbers that `sample` consumes per image."""

    name: str
    p: Probability = 1.0

    def sample(self, uniforms: Sequence[Any], context: SamplingContext) -> Parameters:
        """Maps uniform random numbers to the operation's parameters.

        Args:
            uniforms: `num_uniforms` tensors float32 [B], each value in [0, 1).
            context: View size and color statistics of the training images.

        Returns:
            float32 [B] tensors by name, in the units of the settings; empty where the
            operation has no random parameter beyond being applied or not.
        """
        return {}


class GeometryOperation(Operation):
    """An operation that moves pixels, expressed as a 3×3 matrix.

    Coordinates span the square −1/2 to 1/2 in x (to the right) and y (down). A matrix
    maps a point of the result to the point of the input that it shows, so the matrices
    of consecutive operations multiply in policy order and one resampling renders them.
    """

    @property
    def smallest_view(self) -> float:
        """The smallest part of the input's width or height that the result shows, 0 to 1."""
        return 1.0

    def build_matrix(self, parameters: Parameters) -> Any:
        """Builds the map from points of the result to points of the input.

        Args:
            parameters: The result of `sample`.

        Returns:
            float32 [B, 3, 3], or [1, 3, 3] where every image has the same matrix.
        """
        raise NotImplementedError


class ColorOperation(Operation):
    """An operation on each pixel's color alone, expressed as an affine map.

    A 4×4 matrix multiplies the column (red, green, blue, 1), with colors in 0 to 255.
    The matrices of consecutive operations multiply in reverse policy order; only the
    final result is rounded and clipped.
    """

    def build_color_matrix(self, parameters: Parameters) -> Any:
        """Builds the affine color map for colors in 0 to 255.

        Args:
            parameters: The result of `sample`.

        Returns:
            float32 [B, 4, 4], or [1, 4, 4] where every image has the same matrix.
        """
        raise NotImplementedError


class FilterOperation(Operation):
    """An operation on pixel neighborhoods, or one that differs from pixel to pixel.

    The renderers hold the kernels; this class computes the kernels' arguments.
    """

    def build_arguments(self, parameters: Parameters) -> list[Any]:
        """Builds the arguments of the renderer's kernel.

        Args:
            parameters: The result of `sample`.

        Returns:
            k tensors float32 [B]. A row of k zeros leaves an image unchanged.
        """
        return list(parameters.values())


class MixingOperation(Operation):
    """An operation that mixes each image and its label with its partner's.

    The partner is the next image of the shuffled batch; the last image's partner is
    the first one.
    """

    def build_arguments(self, parameters: Parameters) -> list[Any]:
        """Builds the arguments of the renderer's `mix`.

        Args:
            parameters: The result of `sample`.

        Returns:
            Five tensors float32 [B]: the partner's fraction in every pixel, then top,
            left, height and width in pixels of the rectangle that shows the partner
            alone. A row of zeros leaves an image unchanged.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Augmentation:
    """A row of AUGMENTATIONS.

    Args:
        name: Key of the row; also the name in the shorthand.
        summary: What the operation does, in one line.
        stage: Position in rendering: geometry, then color, then filter, then mixing of
            whole batches. A group selects among other operations.
        operation: The operation's class.
        reference: Publication of the operation, or of the settings it starts from.
    """

    name: str
    summary: str
    stage: Stage
    operation: type[Operation]
    reference: str
