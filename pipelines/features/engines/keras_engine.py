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


_CPU_BATCH, _GPU_BATCH = 48, 256
"""Images that the network computes at once, copies included."""

_COPIES = 4
"""Copies of the last image at the end of a batch."""


class KerasEngine:
    """Runs the model in its backend: a TensorFlow graph, or `predict_on_batch` elsewhere.

    On CPUs, TensorFlow computes the end of a tensor with other kernels than the rest, and they
    round otherwise: the last images of a batch would have other features than anywhere else.
    Products of matrices end so in what is left over from blocks of 6, 12, 16 or 24 rows, of which
    48 images leave nothing over; convolutions do with the last image or two. So the last four
    images are copies, and are left out.

    Args:
        network: The network to run.
    """

    num_callers = 1  # one call uses all cores

    def __init__(self, network: FeatureNetwork) -> None:
        import keras

        self.model = network.model
        computed = _CPU_BATCH
        self._graph = None
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            if tf.config.list_physical_devices("GPU"):
                computed = _GPU_BATCH
            shape = (computed, network.size, network.size, 3)
            # TensorFlow counts the traces of lambdas as those of one function, and warns of them.
            self._graph = tf.function(
                partial(self.model, training=False),
                input_signature=[tf.TensorSpec(shape, tf.uint8)],
                autograph=False,
            )
        self.batch_size = computed - _COPIES

    def __call__(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Runs one batch."""
        import numpy as np

        padded = np.concatenate([images, np.repeat(images[-1:], _COPIES, axis=0)])
        run = self._graph or self.model.predict_on_batch
        return np.asarray(run(padded))[:-_COPIES]


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
