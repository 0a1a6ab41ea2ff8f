"""Opening of an inference engine, with a check that its features are those of Keras."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.features.engines.engine import Engine, EngineRow, pad_batch
from pipelines.features.engines.network import FeatureNetwork
from zoo.errors import EngineError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

TOLERANCE = 1e-4
"""Largest deviation from Keras' features, relative to the largest feature of a pooling."""

_NUM_PROBES = 8
_PATCHES = 7
"""Patches of one color along each side of a probe image."""


def open_engine(row: EngineRow, network: FeatureNetwork, folder: Path) -> Engine:
    """Opens an engine and checks that its features match those of Keras.

    They are compared on images made for it, so that the outcome depends on the network and
    the engine alone.

    Args:
        row: The engine.
        network: The network to run.
        folder: The folder of converted networks.

    Raises:
        EngineError: The engine cannot run the network, or its features differ.
        RecipeError: The engine is not installed.
    """
    row.check_installed()
    try:
        engine = row.open(network, folder)
        if row.name == "keras":
            return engine
        images = build_probes(network.size)[: engine.batch_size]
        received = engine(pad_batch(images, engine.batch_size))[: len(images)]
    except EngineError:
        raise
    except Exception as error:
        # Each engine has its own error types for a network that it cannot run.
        raise EngineError(
            f"{row.name} cannot run the backbone",
            received=f"{type(error).__name__}: {str(error)[:120]}",
            mend="--set features.engine=keras",
        ) from error
    _check_agreement(row.name, network, images, received)
    return engine


def build_probes(size: int) -> npt.NDArray[np.uint8]:
    """Builds images to compare or time engines on: colored patches under noise, always the same.

    Args:
        size: S, in pixels.

    Returns:
        uint8 [8, S, S, 3].
    """
    import numpy as np

    rng = np.random.default_rng(0)
    patches = rng.uniform(0, 255, (_NUM_PROBES, _PATCHES, _PATCHES, 3))
    side = math.ceil(size / _PATCHES)
    images = patches.repeat(side, axis=1).repeat(side, axis=2)[:, :size, :size]
    noisy = images + rng.normal(0, 20, images.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _check_agreement(
    name: str,
    network: FeatureNetwork,
    images: npt.NDArray[np.uint8],
    received: npt.NDArray[np.float32],
) -> None:
    import keras
    import numpy as np

    expected = keras.ops.convert_to_numpy(network.model(images, training=False))
    if received.shape == expected.shape:
        # One scale per pooling, because maxima are much larger than means.
        scale = np.abs(expected).max(axis=(0, 2), keepdims=True)
        error = float((np.abs(received - expected) / np.maximum(scale, 1e-30)).max())
    else:
        error = float("inf")
    if not error <= TOLERANCE:
        raise EngineError(
            f"features from {name} differ from those of Keras",
            expected=f"a difference of at most {TOLERANCE:g} of the largest feature",
            received=f"{error:.2g}",
            mend="--set features.engine=keras",
        )
