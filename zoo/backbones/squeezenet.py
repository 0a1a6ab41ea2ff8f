"""SqueezeNet 1.1: AlexNet's accuracy in 0.7 M parameters.

Paper: Iandola et al., 2016, https://arxiv.org/abs/1602.07360. Version 1.1 is the
authors' own, with 2.4 times less arithmetic:
https://github.com/forresti/SqueezeNet/tree/master/SqueezeNet_v1.1 (BSD); this code
follows its train_val.prototxt.

Weights: the authors' Caffe model, converted to Keras 1 by
https://github.com/DeepCognition/keras-squeezenet (MIT). Caffe rounds the size of a
pooled map up, Keras' "valid" padding rounds it down; this network rounds up, as the
weights were trained. At 224 px both agree; at 227 px the last map is 14x14 in Caffe and
would be 13x13 with "valid".

Measured on hymenoptera (ants and bees, 244 training and 153 validation photographs) at
224 px, with average-pooled features and scikit-learn's logistic regression at its
defaults: validation accuracy 91.5 % cropped, 89.5 % stretched, 90.8 % padded. One
photograph is 0.65 %.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.backbones.base import Backbone
from zoo.errors import WeightsError
from zoo.weights.row import Weights

# Filters of the squeeze layer and of each expand layer, fire2 to fire9.
_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))


def build_squeezenet(size: int) -> Any:
    """Builds SqueezeNet 1.1 without conv10 and what follows, with random weights.

    Args:
        size: Height and width of the input, in pixels, at least 32.

    Returns:
        A `keras.Model` from BGR float32 [B, S, S, 3] minus ImageNet's means to
        features float32 [B, h, w, 512], h = w ≈ S / 16.
    """
    from keras import Input, Model
    from keras.layers import Concatenate, Conv2D

    def convolve(x: Any, filters: int, kernel: int, name: str, **options: Any) -> Any:
        return Conv2D(
            filters,
            kernel,
            activation="relu",
            kernel_initializer="glorot_uniform",  # Caffe's "xavier"
            name=name,
            **options,
        )(x)

    inputs = Input((size, size, 3))
    x = convolve(inputs, 64, 3, "conv1", strides=2)
    x = _pool(x, "pool1")
    for index, (squeeze, expand) in enumerate(_FIRES, start=2):
        fire = f"fire{index}"
        squeezed = convolve(x, squeeze, 1, f"{fire}_squeeze1x1")
        narrow = convolve(squeezed, expand, 1, f"{fire}_expand1x1")
        wide = convolve(squeezed, expand, 3, f"{fire}_expand3x3", padding="same")
        x = Concatenate(name=f"{fire}_concat")([narrow, wide])
        if index in (3, 5):
            x = _pool(x, f"pool{index}")
    return Model(inputs, x, name="squeezenet1_1")


def _pool(x: Any, name: str) -> Any:
    """Pools 3x3 at stride 2 as Caffe does: size rounded up, no padding at the top or left."""
    from keras.layers import MaxPooling2D

    # At an even size "same" pads at the bottom and right alone; at an odd size it would
    # pad on all sides, and "valid" leaves no remainder to round.
    padding = "same" if x.shape[1] % 2 == 0 else "valid"
    return MaxPooling2D(3, strides=2, padding=padding, name=name)(x)


def load_squeezenet(model: Any, path: Path) -> None:
    """Loads the published Keras 1 file into a SqueezeNet, layer by layer.

    Keras itself cannot: the file names its layers `fire2/squeeze1x1`, and Keras 3 allows
    no slash in a layer's name.

    Args:
        model: A model from `build_squeezenet`. On an error it stays unchanged.
        path: An HDF5 file with one group for each layer, which holds one kernel and one
            bias under any names.

    Raises:
        WeightsError: The file is not HDF5, or its layers or shapes differ.
    """
    import h5py

    layers = {layer.name: layer for layer in model.layers if layer.weights}
    mend = "remove the file, and the next run downloads it again"
    mismatch = f"{path.name} does not fit {model.name}"
    try:
        with h5py.File(path, "r") as file:
            stored = _arrays_by_layer(file)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"{path.name} cannot be read", expected="an HDF5 file", received=str(error), mend=mend
        ) from None
    if stored.keys() != layers.keys():
        raise WeightsError(
            mismatch,
            expected=f"one group for each of {', '.join(sorted(layers))}",
            received=", ".join(sorted(stored)) or "none",
            mend=mend,
        )
    values = {name: [stored[name].get(v.ndim) for v in layers[name].weights] for name in layers}
    for name, layer in layers.items():
        expected = [tuple(v.shape) for v in layer.weights]
        received = [array.shape for array in stored[name].values()]
        if sorted(expected) != sorted(received):
            raise WeightsError(
                mismatch,
                expected=f"shapes {expected} in {name}",
                received=str(received),
                mend=mend,
            )
    for name, layer in layers.items():
        layer.set_weights(values[name])


def _arrays_by_layer(file: Any) -> dict[str, dict[int, Any]]:
    """Returns the arrays of a file, by layer name and then by number of dimensions.

    The first parts of a path such as `fire2/expand1x1/fire2/expand1x1_b` name the layer:
    one part for conv1, two parts inside a fire module.
    """
    import h5py

    stored: dict[str, dict[int, Any]] = {}

    def visit(path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            parts = path.split("/")
            layer = "_".join(parts[: 2 if parts[0].startswith("fire") else 1])
            stored.setdefault(layer, {})[item.ndim] = item[()]

    file.visititems(visit)
    return stored


_FILE = "squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5"
_REVISION = "a73d4339aa4d37c51a0b3ba044bed55477abec73"

ROWS: tuple[Backbone, ...] = (
    Backbone(
        name="squeezenet1_1",
        summary="fastest with ImageNet weights, a 2.9 MB file; least accurate",
        build=build_squeezenet,
        load=load_squeezenet,
        input_size=227,
        min_size=32,
        normalization="caffe",
        num_features=512,
        num_parameters=722_496,
        block_pattern=r"fire\d",
        paper="Iandola et al., 2016, https://arxiv.org/abs/1602.07360",
        weights=(
            Weights(
                name="squeezenet1_1.imagenet",
                url=f"https://github.com/DeepCognition/keras-squeezenet/raw/{_REVISION}/{_FILE}",
                file=_FILE,
                sha256="17154246284f555591549ac2c83e127abfbf4307dc4b0060fdaa2931d0fa38da",
                license="MIT",
                data="ImageNet-1k",
                input_size=227,
                normalization="caffe",
                max_bytes=3_002_560,
                origin=(
                    "DeepCognition, converted from the authors' Caffe model, whose "
                    "prototxt gives input and padding; neither states a top-1"
                ),
            ),
        ),
    ),
)
