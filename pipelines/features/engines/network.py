"""Network: a frozen backbone with its normalization and pooling, and what identifies it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.runtime.devices import quiet_start
from zoo.errors import EngineError
from zoo.files import replacing

STORED_POOLINGS = ("avg", "max")
"""What is kept of a feature map, in this order: its mean and its maximum."""

# The newest that ONNX Runtime, OpenVINO and tf2onnx all know.
_OPSET = 18


@dataclass(frozen=True)
class FeatureNetwork:
    """What features are computed by.

    Args:
        model: A `keras.Model` from uint8 [B, S, S, 3] to float32 [B, 2, F]: of every
            channel of the backbone's output, its mean and its maximum.
        size: S, in pixels.
        digest: SHA-256, hexadecimal, of all that its answers depend on: weights,
            layers, size and precision.
        precision: The Keras dtype policy it computes in.
    """

    model: Any
    size: int
    digest: str
    precision: str

    @property
    def num_features(self) -> int:
        """F, the channels of the backbone's output."""
        return int(self.model.output_shape[-1])

    def onnx_file(self, folder: Path) -> Path:
        """Returns the network as an ONNX file, which is written if it is not there.

        Args:
            folder: Where to keep it.

        Raises:
            EngineError: It cannot be converted.
        """
        path = folder / f"{self.digest}.onnx"
        if not path.exists():
            with replacing(path) as temporary, quiet_start():
                try:
                    _write_onnx(self, temporary)
                except Exception as error:
                    # tf2onnx raises whatever a layer it does not know leads to.
                    raise EngineError(
                        "the backbone cannot be converted to ONNX",
                        received=f"{type(error).__name__}: {str(error)[:120]}",
                        mend="--set features.engine=keras",
                    ) from error
        return path


def build_feature_network(classifier: Any) -> FeatureNetwork:
    """Cuts the frozen part out of a classifier.

    Args:
        classifier: As `zoo.models.classifier.build_classifier` made it; its weights are
            shared, and their values at this moment are what the digest is of.
    """
    import keras

    boundary = classifier.get_layer("pool").input
    trunk = keras.Model(classifier.input, boundary, name="trunk")
    size = int(classifier.input_shape[1])
    images = keras.Input((size, size, 3), dtype="uint8", name="images")
    # float32 whatever the policy: a mean of halves would lose what the head is to see.
    maps = keras.ops.cast(trunk(keras.ops.cast(images, "float32"), training=False), "float32")
    pooled = [keras.ops.mean(maps, axis=(1, 2)), keras.ops.max(maps, axis=(1, 2))]
    model = keras.Model(images, keras.ops.stack(pooled, axis=1), name="features")
    precision = keras.mixed_precision.global_policy().name
    return FeatureNetwork(model, size, _digest_of(trunk, size, precision), precision)


def _digest_of(trunk: Any, size: int, precision: str) -> str:
    import keras

    digest = hashlib.sha256(f"{size} {precision} {STORED_POOLINGS}".encode())
    for step in trunk.operations:
        # A backbone is known by its name and weights; its layers count their names up
        # from one model of a process to the next.
        known = isinstance(step, keras.Model)
        config = {"name": step.name} if known else _config_of(step)
        digest.update(json.dumps([type(step).__name__, config], sort_keys=True).encode())
    for weight in trunk.weights:
        value = keras.ops.convert_to_numpy(weight)
        digest.update(f"{value.shape} {value.dtype}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _config_of(step: Any) -> dict[str, str]:
    config = step.get_config() if hasattr(step, "get_config") else {}
    return {key: str(value) for key, value in config.items() if key not in ("name", "dtype")}


def _write_onnx(network: FeatureNetwork, path: Path) -> None:
    import onnx
    import tensorflow as tf
    import tf2onnx

    shape = (None, network.size, network.size, 3)
    signature = [tf.TensorSpec(shape, tf.uint8, name="images")]
    function = tf.function(
        lambda images: network.model(images, training=False), input_signature=signature
    )
    model, _ = tf2onnx.convert.from_function(function, signature, opset=_OPSET)
    # Keras keeps a normalization's mean as a tensor, not a variable; tf2onnx makes inputs
    # of such, which are constants all the same.
    captures = function.get_concrete_function().graph.captures
    values = {inner.name: value for value, inner in captures if value.dtype != tf.resource}
    inputs = list(model.graph.input)
    del model.graph.input[:]
    for tensor in inputs:
        if tensor.name in values:
            constant = onnx.numpy_helper.from_array(values[tensor.name].numpy(), tensor.name)
            model.graph.initializer.append(constant)
        else:
            model.graph.input.append(tensor)
    onnx.save(model, path)
