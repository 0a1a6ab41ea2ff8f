"""Augmentation plan: samples the operations of a policy and composes them for rendering.

Everything here is a function of (seed, pass, image index). It runs in the graph, keeps
no state, and gives an image the same result at any parallelism and in any batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from pipelines.augment.base import (
    ColorOperation,
    FilterOperation,
    GeometryOperation,
    MixingOperation,
    Operation,
    Parameters,
    SamplingContext,
)
from pipelines.augment.counter_rng import generate_uniforms
from pipelines.augment.operations import Choose

Kind = TypeVar("Kind", bound=Operation)

_UNIFORMS_PER_OPERATION = 16
"""Random numbers reserved for each operation in an image's sequence, used or not."""


class ViewParameters(NamedTuple):
    """Sampled parameters of a batch of views, in the form that renderers consume.

    Args:
        matrix: float32 [B, 3, 3], from points of the view to points of the evaluation
            crop, both squares of side 1 centered on 0.
        color: float32 [B, 3, 4], from (red, green, blue, 1) to colors, in 0 to 255.
        filters: For each filter of the policy its arguments, float32 [B, k]; a row of
            zeros leaves an image unchanged.
        mixing: For each mixing operation of the policy its arguments, float32 [B, 5];
            a row of zeros leaves an image unchanged.
    """

    matrix: Any
    color: Any
    filters: tuple[Any, ...]
    mixing: tuple[Any, ...]


class SampledOperation(NamedTuple):
    """An operation with the parameters sampled for a batch.

    Args:
        operation: The operation.
        applied: bool [B], which images it changes.
        parameters: float32 [B] by name.
    """

    operation: Operation
    applied: Any
    parameters: Parameters


class PlannedOperation(NamedTuple):
    """An operation with its position in an image's random sequence.

    Args:
        operation: The operation.
        offset: Offset of its random numbers in the sequence.
        group_offset: Offset of the `choose` that contains it, or −1.
    """

    operation: Operation
    offset: int
    group_offset: int = -1


@dataclass(frozen=True)
class AugmentationPlan:
    """A policy laid out for sampling.

    Args:
        operations: The policy, in order.
        context: Inputs of sampling beyond the operations' own settings.
    """

    operations: tuple[Operation, ...]
    context: SamplingContext

    @property
    def planned(self) -> list[PlannedOperation]:
        """All operations that are sampled; the members of a `choose` instead of itself."""
        return [p for p in self._lay_out() if not isinstance(p.operation, Choose)]

    def _lay_out(self) -> Iterator[PlannedOperation]:
        """Yields every operation with its offset, each `choose` before its members."""
        offset = 0
        for operation in self.operations:
            yield PlannedOperation(operation, offset)
            group_offset, offset = offset, offset + _UNIFORMS_PER_OPERATION
            for member in operation.operations if isinstance(operation, Choose) else ():
                yield PlannedOperation(member, offset, group_offset)
                offset += _UNIFORMS_PER_OPERATION

    def select(self, kind: type[Kind]) -> list[Kind]:
        """Returns the operations of one class, in order."""
        return [p.operation for p in self.planned if isinstance(p.operation, kind)]

    def sample_operations(self, seed: Any, passes: Any, indices: Any) -> list[SampledOperation]:
        """Samples the parameters of every operation for a batch.

        Args:
            seed: int64 [].
            passes: int64 [B], the pass over the data, or the view, of each image.
            indices: int64 [B], the index of each image.

        Returns:
            One entry for each of `planned`, in order.
        """
        import tensorflow as tf

        if not self.operations:
            return []
        # Number 0 decides whether the operation is applied, number 1 its rank in a choose.
        offsets = [
            planned.offset + i
            for planned in self._lay_out()
            for i in range(2 + planned.operation.num_uniforms)
        ]
        columns = tf.unstack(generate_uniforms(seed, passes, indices, offsets), axis=1)
        uniforms = dict(zip(offsets, columns, strict=True))
        chosen = self._choose_members(uniforms)
        sampled = []
        for operation, offset, group_offset in self.planned:
            applied = uniforms[offset] < operation.p
            if group_offset >= 0:
                applied &= chosen[offset]
            own = [uniforms[offset + 2 + i] for i in range(operation.num_uniforms)]
            parameters = operation.sample(own, self.context)
            sampled.append(SampledOperation(operation, applied, parameters))
        return sampled

    def _choose_members(self, uniforms: Mapping[int, Any]) -> dict[int, Any]:
        """Returns for each member of a `choose`, by offset, which images it is chosen for."""
        import tensorflow as tf

        chosen: dict[int, Any] = {}
        for group, group_offset, _ in self._lay_out():
            if not isinstance(group, Choose):
                continue
            members = [p.offset for p in self.planned if p.group_offset == group_offset]
            keys = tf.stack([uniforms[offset + 1] for offset in members], axis=1)  # [B, members]
            # A member is chosen if fewer than `count` members have a smaller sort key.
            smaller = keys[:, tf.newaxis, :] < keys[:, :, tf.newaxis]
            selected = tf.reduce_sum(tf.cast(smaller, tf.int32), axis=2) < group.count
            selected &= (uniforms[group_offset] < group.p)[:, tf.newaxis]
            chosen |= dict(zip(members, tf.unstack(selected, axis=1), strict=True))
        return chosen

    def compose(self, sampled: Sequence[SampledOperation], indices: Any) -> ViewParameters:
        """Composes sampled operations into one matrix, one color map and kernel arguments.

        Args:
            sampled: The result of `sample_operations`, or fixed parameters.
            indices: [B] of any dtype, the image indices; only the shape is used.
        """
        import tensorflow as tf

        # Not [B, 0] where nothing is sampled: splitting such a batch ends the process (TF 2.21).
        matrix, color = (tf.eye(n, batch_shape=tf.shape(indices)) for n in (3, 4))
        matrix, color = (
            tf.ensure_shape(eye, (*indices.shape, None, None)) for eye in (matrix, color)
        )
        filters: list[Any] = []
        mixing: list[Any] = []
        for operation, applied, parameters in sampled:
            if isinstance(operation, GeometryOperation):
                step = operation.build_matrix(parameters)
                # Matrices map backwards, from result to input, hence in policy order.
                matrix @= _where(applied, step, tf.eye(3))
            elif isinstance(operation, ColorOperation):
                step = operation.build_color_matrix(parameters)
                color = _where(applied, step, tf.eye(4)) @ color
            elif isinstance(operation, (FilterOperation, MixingOperation)):
                arguments = tf.stack(operation.build_arguments(parameters), axis=1)
                arguments = tf.where(applied[:, tf.newaxis], arguments, 0.0)
                (filters if isinstance(operation, FilterOperation) else mixing).append(arguments)
        return ViewParameters(matrix, color[:, :3], tuple(filters), tuple(mixing))

    def sample(self, seed: Any, passes: Any, indices: Any) -> ViewParameters:
        """Samples and composes the parameters of a batch of views.

        Args:
            seed: int64 [].
            passes: int64 [B], the pass over the data, or the view, of each image.
            indices: int64 [B], the index of each image.
        """
        return self.compose(self.sample_operations(seed, passes, indices), indices)


def _where(applied: Any, changed: Any, unchanged: Any) -> Any:
    """Selects one of two batches of matrices by `applied`, bool [B]."""
    import tensorflow as tf

    return tf.where(applied[:, tf.newaxis, tf.newaxis], changed, unchanged)
