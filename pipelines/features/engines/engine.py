"""Inference engine: the interface, a table row, and batches of the size an engine takes."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from zoo.errors import RecipeError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipelines.features.engines.network import FeatureNetwork


class Engine(Protocol):
    """A frozen backbone ready for inference; `num_callers` threads may call it at once.

    An image's features are the same bits in any batch of `batch_size`, at any place in it, from
    any thread and however busy the machine is: none divides a sum by what happens to be idle.
    Another number of cores or another processor may round otherwise.
    """

    @property
    def batch_size(self) -> int:
        """Images per call."""

    @property
    def num_callers(self) -> int:
        """Number of threads that call it at once for the highest throughput."""

    def __call__(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Maps uint8 [batch_size, S, S, 3] images to float32 [batch_size, P, F] features."""


@dataclass(frozen=True)
class EngineRow:
    """A row of ENGINES.

    Args:
        name: The key in ENGINES.
        summary: Where the engine is fastest.
        open: Prepares a network for inference; keeps converted networks in the folder.
        packages: Import names of the packages it needs.
        extra: The extra of this project that installs them.
        platform: Names what the engine runs on in this process, where there are several such,
            each of which rounds in its own way.
    """

    name: str
    summary: str
    open: Callable[[FeatureNetwork, Path], Engine]
    packages: tuple[str, ...] = ()
    extra: str = ""
    platform: Callable[[], str] = str

    @property
    def installed(self) -> bool:
        """Whether all its packages are installed."""
        return all(importlib.util.find_spec(package) for package in self.packages)

    def check_installed(self) -> None:
        """Checks that all its packages are installed.

        Raises:
            RecipeError: A package is missing.
        """
        if not self.installed:
            raise RecipeError(
                f"features.engine = {self.name!r} is not installed",
                expected=" and ".join(self.packages),
                mend=f"pip install 'transfer-zoo[{self.extra}]', or --set features.engine=auto",
            )


def cache_sized_batch(size: int) -> int:
    """Returns the batch size at which a layer's output stays in the cache of one core.

    At 224 px that is two images: the next layer reads its input from the cache. Measured
    with one thread of ONNX Runtime on MobileNetV2: 234 images/s in batches of 2, 147 in
    batches of 32. Smaller images need larger batches to amortize the call.

    Args:
        size: Height and width of the images, in pixels.

    Example:
        >>> cache_sized_batch(224), cache_sized_batch(32), cache_sized_batch(600)
        (2, 64, 1)
    """
    return max(1, min(64, round(2 * 224**2 / size**2)))


def pad_batch(images: Any, batch_size: int) -> Any:
    """Pads a batch with copies of its last image; returns uint8 [batch_size, S, S, 3].

    An engine may choose its kernels by batch size, and they differ in the last bits; with
    padding, an image's features do not depend on the size of the last batch.

    Args:
        images: uint8 [b, S, S, 3], 1 ≤ b ≤ `batch_size`.
        batch_size: Images per full batch.
    """
    import numpy as np

    missing = batch_size - len(images)
    return np.concatenate([images, np.repeat(images[-1:], missing, axis=0)]) if missing else images
