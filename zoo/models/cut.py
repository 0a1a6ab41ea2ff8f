"""A frozen backbone in two parts: what is below its trainable blocks, and what is above the cut.

What enters the trainable blocks is the same in every epoch, and need be computed only once:

    images [B, S, S, 3] → normalization → frozen blocks → maps, side by side [B, D]
    maps [B, D] → trainable blocks → pooling → head → logits
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from zoo.backbones.base import tensors_below
from zoo.backbones.catalog import resolve
from zoo.models.blocks import backbone_of
from zoo.models.trainable import build_head_model, feature_maps, pooled_features
from zoo.private_api import inputs_in
from zoo.tasks import CLASSIFICATION, Task


class CutBackbone:
    """A classifier whose frozen backbone is cut below its top blocks.

    Args:
        classifier: From `build_classifier` or `build_multi_task`, built frozen.
        backbone: The name it was built with.
        num_blocks: The number of top blocks above the cut, at least 1.

    Attributes:
        shapes: The shapes of the maps that cross the cut, without the batch.
    """

    def __init__(self, classifier: Any, backbone: str, num_blocks: int) -> None:
        self.classifier, self.num_blocks = classifier, num_blocks
        self._network = backbone_of(classifier, backbone)
        self._tensors = tensors_below(resolve(backbone)[0], self._network, num_blocks)
        self.shapes = [tuple(tensor.shape[1:]) for tensor in self._tensors]
        self._inputs = inputs_in(classifier)[id(self._network)]

    @property
    def num_values(self) -> int:
        """D, numbers of all maps of an image."""
        return sum(math.prod(shape) for shape in self.shapes)

    @property
    def exists(self) -> bool:
        """Whether anything with weights is below the cut, and the backbone runs once an image."""
        if len(self._inputs) != 1:  # a symmetry runs it on several views
            return False
        return any(tensor is not self._network.input for tensor in self._tensors)

    def lower_maps(self) -> tuple[Any, list[Any]]:
        """Returns the images and the maps that cross the cut, as Keras tensors.

        The images are float32 [B, S, S, 3] in 0 to 255; a map is [B, …].
        """
        import keras

        name = f"{self._network.name}_below_{self.num_blocks}"
        below = keras.Model(self._network.input, self._tensors, name=name)
        return self.classifier.input, keras.tree.flatten(below(self._inputs[0]))

    def build_upper_model(
        self, *, tasks: Sequence[Task] = (CLASSIFICATION,), standardize: Any = None
    ) -> Any:
        """Builds the model from maps to logits, which shares its weights with the classifier.

        The backbone runs in inference mode, also in training; see `build_logits_model`.

        Args:
            tasks: What the classifier predicts.
            standardize: As `build_logits_model` takes it.

        Returns:
            A `keras.Model` from maps [B, D], of any floating dtype, to the outputs of
            `build_logits_model`; to be trained, not to be saved.
        """
        import keras

        shapes = self.shapes
        sizes = [math.prod(shape) for shape in shapes]
        boundary = feature_maps(self.classifier)
        # Some of the outputs may be maps as they cross the cut: those of lower levels.
        places = {id(tensor): place for place, tensor in enumerate(self._tensors)}
        outputs = self._network.outputs
        computed = [output for output in outputs if id(output) not in places]
        upper = keras.Model(self._tensors, computed, name="upper_blocks")
        pool = keras.Model(boundary, pooled_features(self.classifier), name="pooling")
        head = build_head_model(self.classifier, tasks=tasks, standardize=standardize)

        class UpperModel(keras.Model):
            """Blocks in inference mode, and a head."""

            def __init__(self) -> None:
                super().__init__(name="upper")
                self.blocks, self.pool, self.head = upper, pool, head

            def call(self, rows: Any, training: bool | None = None) -> Any:
                """Maps rows of maps to logits."""
                ends = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
                parts = keras.ops.split(rows, ends, axis=1) if ends else [rows]
                maps = [
                    keras.ops.reshape(part, (-1, *shape))
                    for part, shape in zip(parts, shapes, strict=True)
                ]
                found = iter(keras.tree.flatten(self.blocks(maps, training=False)))
                out = [maps[places[id(o)]] if id(o) in places else next(found) for o in outputs]
                pooled = self.pool(out if len(out) > 1 else out[0], training=training)
                return self.head(pooled, training=training)

        model = UpperModel()
        model.build((None, self.num_values))
        return model
