"""Feature network: a frozen backbone with normalization and pooling, and its digest."""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.runtime.stderr import suppress_stderr
from zoo.errors import EngineError
from zoo.export.onnx_graph import build_onnx_model
from zoo.files import replacing
from zoo.models.trainable import feature_maps
from zoo.printable import printable

logger = logging.getLogger(__name__)

STORED_POOLINGS = ("avg", "max")
"""Poolings of the feature map that are stored, in this order: its mean and its maximum."""

MAPS = "maps"
"""In the place of poolings: whole feature maps, all their values side by side."""

# Weights from which on a conversion takes gigabytes.
_LARGE = 16_000_000


@dataclass(frozen=True)
class FeatureNetwork:
    """The network that computes features.

    Args:
        model: A `keras.Model` from uint8 [B, S, S, 3] to float32 [B, P, F]: mean and
            maximum of every channel of the backbone's output, or its maps as they are.
        size: S, in pixels.
        digest: Hexadecimal SHA-256 of all that the features depend on: weights, layers,
            size and precision.
        precision: The Keras dtype policy of its computation.
        poolings: The names of the P poolings.
        dtype: What its features are stored as.
    """

    model: Any
    size: int
    digest: str
    precision: str
    poolings: tuple[str, ...] = STORED_POOLINGS
    dtype: str = "float32"

    @property
    def num_features(self) -> int:
        """F, channels of the backbone's output, or numbers of its maps."""
        return int(self.model.output_shape[-1])

    def onnx_file(self, folder: Path) -> Path:
        """Returns the network's ONNX file, and writes it first if the folder lacks it.

        tf2onnx lists the shapes of tensors in an order that varies from process to process,
        and so do the bytes of the file; nodes, weights and features are the same.

        Where the folder cannot be written, the file lies in a temporary one as long as this
        process: without it, another engine would compute the features.

        Args:
            folder: The folder of converted networks.

        Raises:
            EngineError: tf2onnx cannot convert the network.
            OSError: The temporary folder cannot be written either.
        """
        path = folder / f"{self.digest}.onnx"
        if path.exists():
            return path
        try:
            with suppress_stderr():
                content = _convert(self)
        except Exception as error:
            # tf2onnx raises errors of any type for a layer that it does not know.
            raise EngineError(
                "the backbone cannot be converted to ONNX",
                received=f"{type(error).__name__}: {str(error)[:120]}",
                mend="--set features.engine=keras",
            ) from error
        try:
            _write(path, content)
        except OSError as error:
            path = _temporary_folder() / path.name
            logger.warning(f"{printable(str(error))}; this job keeps its network in {path}")
            _write(path, content)
        return path


def build_feature_network(classifier: Any) -> FeatureNetwork:
    """Builds the feature network of a classifier: everything below its head.

    Args:
        classifier: From `zoo.models.classifier.build_classifier`. The network shares its
            weights, and the digest covers their present values.
    """
    import keras

    return build_pooled_network(
        keras.Model(classifier.input, feature_maps(classifier), name="trunk")
    )


def build_pooled_network(trunk: Any) -> FeatureNetwork:
    """Builds the feature network of a model that ends in feature maps.

    Args:
        trunk: A `keras.Model` named `trunk`, from float32 [B, S, S, 3] in 0 to 255 to one
            feature map [B, h, w, F] or to several, whose channels are put side by side. Its
            digest covers the names of nested models, not their layers.
    """
    import keras

    size = int(trunk.input_shape[1])
    images = keras.Input((size, size, 3), dtype="uint8", name="images")
    maps = keras.tree.flatten(trunk(keras.ops.cast(images, "float32"), training=False))
    # In float32 under every dtype policy: a mean in half precision would lose digits.
    maps = [keras.ops.cast(one, "float32") for one in maps]
    pooled = [
        _join([keras.ops.mean(one, axis=(1, 2)) for one in maps]),
        _join([keras.ops.max(one, axis=(1, 2)) for one in maps]),
    ]
    model = keras.Model(images, keras.ops.stack(pooled, axis=1), name="features")
    precision = keras.mixed_precision.global_policy().name
    return FeatureNetwork(model, size, _digest_of(trunk, size, precision), precision)


def build_map_network(images: Any, maps: list[Any], dtype: str) -> FeatureNetwork:
    """Builds the network of feature maps as they are, whose values are put side by side.

    Args:
        images: A Keras tensor float32 [B, S, S, 3] in 0 to 255.
        maps: Keras tensors [B, …] that depend on it alone.
        dtype: What they are stored as, `float16` or `float32`.
    """
    import keras

    size = int(images.shape[1])
    trunk = keras.Model(images, maps, name="trunk")
    pixels = keras.Input((size, size, 3), dtype="uint8", name="images")
    found = keras.tree.flatten(trunk(keras.ops.cast(pixels, "float32"), training=False))
    rows = [keras.layers.Reshape((1, -1))(keras.ops.cast(one, "float32")) for one in found]
    model = keras.Model(pixels, _join(rows), name="maps")
    precision = keras.mixed_precision.global_policy().name
    digest = _digest_of(trunk, size, precision, (MAPS,))
    return FeatureNetwork(model, size, digest, precision, (MAPS,), dtype)


def _join(rows: list[Any]) -> Any:
    import keras

    return rows[0] if len(rows) == 1 else keras.ops.concatenate(rows, axis=-1)


def _digest_of(
    trunk: Any, size: int, precision: str, poolings: tuple[str, ...] = STORED_POOLINGS
) -> str:
    import keras

    digest = hashlib.sha256(f"{size} {precision} {poolings}".encode())
    if len(trunk.outputs) > 1 or poolings == (MAPS,):
        digest.update(repr([tuple(output.shape) for output in trunk.outputs]).encode())
    for operation in trunk.operations:
        # A nested backbone is identified by its name and weights: the names of its layers
        # are numbered through the process, so its config is not reproducible.
        is_backbone = isinstance(operation, keras.Model)
        config = {"name": operation.name} if is_backbone else _config_of(operation)
        digest.update(json.dumps([type(operation).__name__, config], sort_keys=True).encode())
    for weight in trunk.weights:
        value = keras.ops.convert_to_numpy(weight)
        digest.update(f"{value.shape} {value.dtype}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _config_of(operation: Any) -> dict[str, str]:
    config = operation.get_config() if hasattr(operation, "get_config") else {}
    return {key: str(value) for key, value in config.items() if key not in ("name", "dtype")}


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@functools.cache
def _temporary_folder() -> Path:
    """Returns a folder for networks that goes with this process."""
    folder = tempfile.mkdtemp(prefix="zoo-networks-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _convert(network: FeatureNetwork) -> bytes:
    """Returns the network as an ONNX model."""
    import tensorflow as tf

    shape = (None, network.size, network.size, 3)
    images = tf.TensorSpec(shape, tf.uint8, name="images")
    large = network.model.count_params() >= _LARGE
    function = functools.partial(network.model, training=False)
    content: bytes = build_onnx_model(function, images, large=large).SerializeToString()
    return content
