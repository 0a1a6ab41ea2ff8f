"""Views: what is drawn for a batch of images, before anything is rendered.

Everything here is a function of (seed, pass, index): it runs in the graph, keeps no
state, and gives the same at any parallelism and for any batch an image may be in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from pipelines.augment.base import Context, Operation, Values
from pipelines.augment.color import Color
from pipelines.augment.counter_rng import key_uniforms
from pipelines.augment.filters import Pixels
from pipelines.augment.geometry import Geometry
from pipelines.augment.mixing import Labels
from pipelines.augment.operations import Choose

Kind = TypeVar("Kind", bound=Operation)

_PLACES = 16
"""Places in an image's sequence that belong to each operation, however many it uses."""


class Views(NamedTuple):
    """What a renderer needs for a batch.

    Args:
        matrix: float32 [B, 3, 3], from points of the view to points of what
            validation shows, both squares of side 1 about 0.
        color: float32 [B, 3, 4], from colors and 1 to colors, 0 to 255.
        pixels: For each of the policy's pixel operations float32 [B, k], its
            parameters, all 0 where it leaves an image as it is.
        labels: The same for each of its operations on labels.
    """

    matrix: Any
    color: Any
    pixels: tuple[Any, ...]
    labels: tuple[Any, ...]


class Drawn(NamedTuple):
    """What one operation drew.

    Args:
        operation: The operation.
        applied: bool [B], which images it changes.
        values: float32 [B] by name.
    """

    operation: Operation
    applied: Any
    values: Values


@dataclass(frozen=True)
class Entry:
    """An operation's place in a policy.

    Args:
        operation: Itself.
        place: Where its random numbers begin in the image's sequence.
        group: The place of the `choose` it stands in, or −1.
    """

    operation: Operation
    place: int
    group: int = -1


@dataclass(frozen=True)
class Plan:
    """A policy, laid out for drawing.

    Args:
        operations: The policy, in order.
        context: What draws depend on besides.
    """

    operations: tuple[Operation, ...]
    context: Context

    @property
    def entries(self) -> list[Entry]:
        """Every operation that draws; the members of a `choose` instead of itself."""
        found: list[Entry] = []
        for place, operation, group in self._places():
            if not isinstance(operation, Choose):
                found.append(Entry(operation, place, group))
        return found

    def _places(self) -> Iterator[tuple[int, Operation, int]]:
        """Yields each operation with its place and its group's, groups themselves included."""
        place = 0
        for operation in self.operations:
            yield place, operation, -1
            group, place = place, place + _PLACES
            for member in operation.operations if isinstance(operation, Choose) else ():
                yield place, member, group
                place += _PLACES

    def of(self, stage: type[Kind]) -> list[Kind]:
        """Returns the operations of one stage, in order."""
        return [e.operation for e in self.entries if isinstance(e.operation, stage)]

    def draw(self, seed: Any, numbers: Any, indices: Any) -> list[Drawn]:
        """Draws every operation's values for a batch.

        Args:
            seed: int64 [].
            numbers: int64 [B], the pass or view of each image.
            indices: int64 [B], which image.

        Returns:
            What each of `entries` drew.
        """
        import tensorflow as tf

        if not self.operations:
            return []
        # The first number is for whether, the second for the rank in a choose.
        places = [place + i for place, op, _ in self._places() for i in range(2 + op.num_draws)]
        uniforms = tf.unstack(key_uniforms(seed, numbers, indices, places), axis=1)
        at = dict(zip(places, uniforms, strict=True))
        chosen = self._choose(at)
        drawn = []
        for entry in self.entries:
            operation, place = entry.operation, entry.place
            applied = at[place] < operation.p
            if entry.group >= 0:
                applied &= chosen[place]
            own = [at[place + 2 + i] for i in range(operation.num_draws)]
            drawn.append(Drawn(operation, applied, operation.draw(own, self.context)))
        return drawn

    def _choose(self, at: Mapping[int, Any]) -> dict[int, Any]:
        """Returns which images each member of a choose is chosen for, bool [B], by its place."""
        import tensorflow as tf

        chosen: dict[int, Any] = {}
        for place, group, _ in self._places():
            if not isinstance(group, Choose):
                continue
            members = [entry.place for entry in self.entries if entry.group == place]
            lots = tf.stack([at[member + 1] for member in members], axis=1)
            # A member is chosen if fewer than `count` others drew a lower lot.
            lower = lots[:, tf.newaxis, :] < lots[:, :, tf.newaxis]
            among = tf.reduce_sum(tf.cast(lower, tf.int32), axis=2) < group.count
            among &= (at[place] < group.p)[:, tf.newaxis]
            chosen |= dict(zip(members, tf.unstack(among, axis=1), strict=True))
        return chosen

    def compose(self, drawn: Sequence[Drawn], indices: Any) -> Views:
        """Turns what was drawn into one matrix, one color map and a few numbers.

        Args:
            drawn: As `draw` returned it, or values of one's own.
            indices: [B], which images, of any type.
        """
        import tensorflow as tf

        # Not [B, 0] where there is nothing: splitting such a batch ends the process (TF 2.21).
        matrix, color = (tf.eye(n, batch_shape=tf.shape(indices)) for n in (3, 4))
        matrix, color = (
            tf.ensure_shape(eye, (*indices.shape, None, None)) for eye in (matrix, color)
        )
        pixels: list[Any] = []
        labels: list[Any] = []
        for operation, applied, values in drawn:
            if isinstance(operation, Geometry):
                step = _where(applied, operation.matrix(values), tf.eye(3))
                # What comes later in the policy maps the result to what came before it.
                matrix @= step
            elif isinstance(operation, Color):
                step = _where(applied, operation.affine(values), tf.eye(4))
                color = step @ color
            elif isinstance(operation, (Pixels, Labels)):
                parts = operation.parameters(values)
                step = tf.where(applied[:, tf.newaxis], tf.stack(parts, axis=1), 0.0)
                (pixels if isinstance(operation, Pixels) else labels).append(step)
        return Views(matrix, color[:, :3], tuple(pixels), tuple(labels))

    def sample(self, seed: Any, numbers: Any, indices: Any) -> Views:
        """Draws a batch of views.

        Args:
            seed: int64 [].
            numbers: int64 [B], the pass or view of each image.
            indices: int64 [B], which image.
        """
        return self.compose(self.draw(seed, numbers, indices), indices)


def _where(applied: Any, changed: Any, unchanged: Any) -> Any:
    import tensorflow as tf

    return tf.where(applied[:, tf.newaxis, tf.newaxis], changed, unchanged)
