"""Keras itself: on every machine, in every precision, and the one to run on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.features.engines.engine import Engine, EngineRow
from pipelines.features.engines.network import FeatureNetwork

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class KerasEngine:
    """The model as it is, in its backend's own graph.

    Args:
        network: What to run.
    """

    num_callers = 1  # it takes all cores by itself

    def __init__(self, network: FeatureNetwork) -> None:
        import keras

        self.model = network.model
        self.batch_size = 32
        self._graph = None
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            if tf.config.list_physical_devices("GPU"):
                self.batch_size = 256
            shape = (self.batch_size, network.size, network.size, 3)
            self._graph = tf.function(
                lambda images: self.model(images, training=False),
                input_signature=[tf.TensorSpec(shape, tf.uint8)],
                autograph=False,
            )

    def __call__(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Runs a batch."""
        import numpy as np

        if self._graph is None:
            return np.asarray(self.model.predict_on_batch(images))
        return np.asarray(self._graph(images))


def _open(network: FeatureNetwork, folder: Path) -> Engine:
    return KerasEngine(network)


ROWS = (EngineRow("keras", "always there; the fastest on a GPU", _open),)
