"""Backbones of keras.applications: the row builder that the family files share.

Code: Keras' own (Apache-2.0), called with `include_top=False`; this project copies
none of it. Weights: the files that Keras itself downloads, at the addresses and with
the digests of Keras 3.15's source, against which a test compares them (MD5; SHA-256
for ConvNeXt; none for MobileNet and MobileNetV2). Licenses: for networks up to 2018 as
the Keras 2.2 documentation lists them, for later ones the license of the repository
that the weights were converted from.

Top-1 is single-crop ImageNet validation accuracy as
https://keras.io/api/applications/ states it. Tests count parameters and features on
the built models, and compare loading with Keras' own path on files of its format; the
published files themselves were not loaded here.

Three properties of Keras 3.15 shape this code:

- EfficientNetV2 and ConvNeXt look up their configuration by the model's name, and
  EfficientNetV2 its preprocessing too: `build_application` renames a model after
  building it.
- The first EfficientNet has an additional rescaling layer only if Keras downloads the
  weights itself: see `zoo.backbones.efficientnet`.
- Automatic layer names such as `conv2d_93` count up over all models of a process: no
  `block_pattern` may match one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from zoo.backbones.base import Backbone, load_weights
from zoo.weights.row import Weights

_HOST = "https://storage.googleapis.com"


@dataclass(frozen=True, kw_only=True)
class KerasFamily:
    """The fields that all architectures of one paper share.

    Args:
        paper: Authors, year and address.
        license: SPDX identifier of the weights' license.
        origin: Who trained the weights, or where they were converted from.
        normalization: A row of NORMALIZATIONS.
        block_pattern: As in `Backbone`.
        block_ends: As in `Backbone`.
        folder: The files' folder on Keras' host.
        file_template: The files' name; `{}` stands for a row's `file_key`.
        min_size: The smallest height and width that Keras accepts, in pixels.
        data: What the weights were trained on.
        load: Reads a verified weight file into a built model.
    """

    paper: str
    license: str
    origin: str
    normalization: str
    block_pattern: str
    block_ends: bool = False
    folder: str
    file_template: str = "{}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    min_size: int = 32
    data: str = "ImageNet-1k"
    load: Callable[[Any, Path], None] = load_weights

    def row(
        self,
        name: str,
        symbol: str,
        *,
        input_size: int,
        num_features: int,
        num_parameters: int,
        top1: float,
        summary: str,
        file_key: str,
        md5: str = "",
        sha256: str = "",
    ) -> Backbone:
        """Builds the row of one architecture and of its ImageNet weights.

        Args:
            name: The architecture's name in BACKBONES.
            symbol: The name of its function in `keras.applications`.
            input_size: Height and width it was trained at, in pixels.
            num_features: Channels of its last feature map.
            num_parameters: Without the classification top.
            top1: ImageNet validation accuracy, a fraction.
            summary: One line on when to use it.
            file_key: What `file_template` is filled with.
            md5: The digest that Keras publishes, if it is an MD5.
            sha256: The digest that Keras publishes, if it is a SHA-256.
        """
        file = self.file_template.format(file_key)
        weights = Weights(
            name=f"{name}.imagenet",
            url=f"{_HOST}/{self.folder}/{file}",
            file=file,
            md5=md5,
            sha256=sha256,
            license=self.license,
            data=self.data,
            input_size=input_size,
            normalization=self.normalization,
            top1=top1,
            max_bytes=_max_bytes(num_parameters),
            origin=f"{self.origin}; published by Keras, whose documentation states top-1",
        )
        return Backbone(
            name=name,
            summary=summary,
            build=partial(build_application, name, symbol),
            load=self.load,
            input_size=input_size,
            min_size=self.min_size,
            normalization=self.normalization,
            num_features=num_features,
            num_parameters=num_parameters,
            block_pattern=self.block_pattern,
            block_ends=self.block_ends,
            paper=self.paper,
            weights=(weights,),
        )


def _max_bytes(num_parameters: int) -> int:
    """Returns the size of a file of so many float32 weights, with room for the layers' names."""
    return 5 * num_parameters + 4_000_000


def build_application(name: str, symbol: str, size: int) -> Any:
    """Builds a network of keras.applications without its top, with random weights.

    Args:
        name: The name to give the model.
        symbol: The name of its function in `keras.applications`.
        size: Height and width of the input, in pixels.

    Returns:
        A `keras.Model` from float32 [B, S, S, 3] to features float32 [B, h, w, F].
    """
    import keras

    model = getattr(keras.applications, symbol)(
        weights=None, include_top=False, input_shape=(size, size, 3)
    )
    model.name = name
    return model
