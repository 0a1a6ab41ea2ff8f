"""Keras as the inference engine: always available, in every precision, and on GPUs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.features.engines.engine import Engine, EngineRow
from pipelines.features.engines.network import FeatureNetwork

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class KerasEngine:
    """Runs the model in its backend: a TensorFlow graph, or `predict_on_batch` elsewhere.

    TensorFlow's convolutions on CPUs read the end of a tensor in another way than the rest, and
    round otherwise there: the last image of a batch would have other features than anywhere
    else. So the network's last image is one more than `batch_size`, and is left out.

    Args:
        network: The network to run.
    """

    num_callers = 1  # one call uses all cores

    def __init__(self, network: FeatureNetwork) -> None:
        import keras

        self.model = network.model
        self.batch_size = 32
        self._graph = None
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            if tf.config.list_physical_devices("GPU"):
                self.batch_size = 256
            shape = (self.batch_size + 1, network.size, network.size, 3)
            # TensorFlow counts the traces of lambdas as those of one function, and warns of them.
            self._graph = tf.function(
                partial(self.model, training=False),
                input_signature=[tf.TensorSpec(shape, tf.uint8)],
                autograph=False,
            )

    def __call__(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Runs one batch."""
        import numpy as np

        padded = np.concatenate([images, images[-1:]])
        run = self._graph or self.model.predict_on_batch
        return np.asarray(run(padded))[:-1]


def _platform() -> str:
    import keras

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return f"jax {jax.default_backend()}"
    import tensorflow as tf

    return f"{backend} {'gpu' if tf.config.list_physical_devices('GPU') else 'cpu'}"


def _open(network: FeatureNetwork, folder: Path) -> Engine:
    return KerasEngine(network)


ROWS = (EngineRow("keras", "always available; fastest on a GPU", _open, platform=_platform),)
