"""MicroResNet: a small residual network for 32 px images that trains in minutes.

Few, wide layers, as in DAVIDNet (Page, 2018,
https://myrtle.ai/learn/how-to-train-your-resnet/), ResNet-9 and airbench (Jordan,
2024, https://arxiv.org/abs/2404.00498):

    whiten  2x2 convolution to 24 channels, fitted to the images, then frozen
    stage   3x3 convolution, 2x2 max pooling, residual pair of 3x3 convolutions

Batch normalization without a scale, then ReLU, follow every convolution after the
first. The initialization, after airbench, lets the network learn in few epochs:

- The first convolution projects 2x2 patches onto their principal components, scaled to
  unit variance and with both signs, so that ReLU loses nothing (`whiten`).
- The other kernels start as the identity on as many channels as they can pass on
  (Zagoruyko and Komodakis, 2017, https://arxiv.org/abs/1706.00388); their remaining
  filters are uniform with variance 1 / (3 × fan-in).

Weights: trained by this project (Apache-2.0), shipped in zoo/pretrained/ with a card
each. The networks use Keras' own layers alone: they run on any Keras backend, and a
saved one loads without this project.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.backbones.base import Backbone
from zoo.weights.row import Weights

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Added to each variance, so that components near zero are not amplified to noise.
_WHITENING_EPSILON = 5e-4


def build_micro_resnet(name: str, widths: tuple[int, int, int], size: int) -> Any:
    """Builds a MicroResNet with random weights; `whiten` then fits its first layer.

    Args:
        name: The model's name.
        widths: Filters of each stage.
        size: S, height and width of the input in pixels, at least 9, since S - 1 is
            halved three times; designed for 32 and more.

    Returns:
        A `keras.Model` from normalized float32 [B, S, S, 3] to features float32
        [B, (S - 1) // 8, (S - 1) // 8, F], F the last of `widths`, at least 0.
    """
    from keras import Input, Model, initializers
    from keras.layers import Activation, Add, BatchNormalization, Conv2D, MaxPooling2D

    def convolve(x: Any, filters: int, name: str) -> Any:
        return Conv2D(
            filters,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer=initializers.VarianceScaling(1 / 3, "fan_in", "uniform"),
            name=name,
        )(x)

    def normalize(x: Any, name: str) -> Any:
        # In so few steps, moving averages with Keras' momentum of 0.99 would lag behind.
        return BatchNormalization(momentum=0.9, scale=False, name=f"{name}_bn")(x)

    def activate(x: Any, name: str) -> Any:
        return Activation("relu", name=f"{name}_relu")(x)

    inputs = Input((size, size, 3))
    # Frozen, so that training keeps the kernel that `whiten` fits.
    x = Conv2D(24, 2, use_bias=False, trainable=False, name="whiten")(inputs)
    x = activate(x, "whiten")
    for index, width in enumerate(widths, start=1):
        stage = f"stage{index}"
        x = convolve(x, width, f"{stage}_conv")
        # Pooling before normalization leaves a quarter of the values to normalize.
        x = MaxPooling2D(2, name=f"{stage}_pool")(x)
        x = activate(normalize(x, f"{stage}_conv"), f"{stage}_conv")
        residual = convolve(x, width, f"{stage}_res1")
        residual = activate(normalize(residual, f"{stage}_res1"), f"{stage}_res1")
        residual = convolve(residual, width, f"{stage}_res2")
        residual = normalize(residual, f"{stage}_res2")
        x = Add(name=f"{stage}_add")([x, residual])
        x = activate(x, f"{stage}_add")
    model = Model(inputs, x, name=name)
    for layer in model.layers:
        if layer.name.startswith("stage") and isinstance(layer, Conv2D):
            layer.kernel.assign(_with_identity_filters(layer.get_weights()[0]))
    return model


def _with_identity_filters(kernel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Replaces the first filters of a kernel [h, w, in, out] by the identity."""
    height, width, num_inputs, num_filters = kernel.shape
    num_identity = min(num_inputs, num_filters)
    kernel[..., :num_identity] = 0.0
    kernel[height // 2, width // 2, range(num_identity), range(num_identity)] = 1.0
    return kernel


def whiten(model: Any, images: npt.NDArray[np.float32]) -> None:
    """Fits the first convolution to images: uncorrelated channels of unit variance.

    Reference: Jordan, 2024, https://arxiv.org/abs/2404.00498, section 3.1

    Args:
        model: A MicroResNet.
        images: float32 [N, S, S, 3], normalized; a few thousand are enough.
    """
    import numpy as np

    patches = np.lib.stride_tricks.sliding_window_view(images, (2, 2), axis=(1, 2))
    # [N, S-1, S-1, 3, 2, 2] → [patches, 12], in the kernel's order: row, column, channel
    flat = patches.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 12).astype(np.float64)
    variances, vectors = np.linalg.eigh(flat.T @ flat / len(flat))
    kernel = (vectors / np.sqrt(variances + _WHITENING_EPSILON)).reshape(2, 2, 3, 12)
    layer = model.get_layer("whiten")
    layer.kernel.assign(np.concatenate([kernel, -kernel], axis=-1).astype(np.float32))


def _load(model: Any, path: Path) -> None:
    from zoo.weights.archive import load_backbone

    load_backbone(model, path)


def _cifar10(name: str, sha256: str, top1: float) -> Weights:
    return Weights(
        name=f"{name}.cifar10",
        url=f"{name}.cifar10.npz",
        file=f"{name}.cifar10.npz",
        sha256=sha256,
        license="Apache-2.0",
        data="CIFAR-10",
        input_size=32,
        normalization="cifar10",
        top1=top1,
        origin=f"trained by this project: zoo/pretrained/{name}.cifar10.toml",
    )


def _row(
    name: str,
    widths: tuple[int, int, int],
    parameters: int,
    summary: str,
    weights: tuple[Weights, ...] = (),
) -> Backbone:
    return Backbone(
        name=name,
        summary=summary,
        build=partial(build_micro_resnet, name, widths),
        fit_stem=whiten,
        load=_load,
        input_size=32,
        min_size=32,
        normalization="cifar10",
        num_features=widths[-1],
        num_parameters=parameters,
        # One block a convolution: the last stage alone holds most of the weights.
        block_pattern=r"stage\d_(?:conv|res\d)",
        paper="Page, 2018, https://myrtle.ai/learn/how-to-train-your-resnet/",
        weights=weights,
    )


ROWS: tuple[Backbone, ...] = (
    _row(
        "micro_resnet_s",
        (32, 64, 128),
        488_448,
        "smallest; for images of about 32 px on a slow machine, trains in minutes",
        (
            _cifar10(
                "micro_resnet_s",
                "c8f649cc9efe33696f1c86d473523eb22729d92512000a01a52ba00f5bbbe7c6",
                0.8629,
            ),
        ),
    ),
    _row(
        "micro_resnet_m",
        (64, 128, 256),
        1_935_072,
        "first choice for images of about 32 px",
        (
            _cifar10(
                "micro_resnet_m",
                "5aedb3444ad3d8abd2dbab49bc5d7c2eceac11feadc34a597844f89f4d934b2c",
                0.8984,
            ),
        ),
    ),
    _row(
        "micro_resnet_l",
        (96, 192, 256),
        2_643_264,
        "most accurate with shipped weights for images of about 32 px",
        (
            _cifar10(
                "micro_resnet_l",
                "f338ca06072900e5f5600496c5ca10f2f51152e59995b986f66cb8831f141e9c",
                0.9044,
            ),
        ),
    ),
    _row(
        "micro_resnet_xl",
        (128, 256, 512),
        7_703_712,
        "most accurate for images of about 32 px; needs a GPU; no pretrained weights",
    ),
)
