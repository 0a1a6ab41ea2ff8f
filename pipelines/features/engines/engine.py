"""Engine: what runs a frozen network on images as fast as this machine can."""

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
    """A network made ready to be run, from as many threads at once as `num_callers` says."""

    @property
    def batch_size(self) -> int:
        """How many images it takes at a time."""

    @property
    def num_callers(self) -> int:
        """How many threads should call it at once."""

    def __call__(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Maps images uint8 [batch_size, S, S, 3] to pooled features float32 [batch_size, 2, F]."""


@dataclass(frozen=True)
class EngineRow:
    """One way to run a network.

    Args:
        name: The key in ENGINES.
        summary: When it is the fastest.
        open: Makes a network ready; may write into a folder what takes long to make.
        packages: What has to be installed, by the names they are imported by.
        extra: The extra of this project that installs them.
    """

    name: str
    summary: str
    open: Callable[[FeatureNetwork, Path], Engine]
    packages: tuple[str, ...] = ()
    extra: str = ""

    @property
    def installed(self) -> bool:
        """Whether its packages are there."""
        return all(importlib.util.find_spec(package) for package in self.packages)

    def check_installed(self) -> None:
        """Checks that its packages are there.

        Raises:
            RecipeError: One is missing.
        """
        if not self.installed:
            raise RecipeError(
                f"features.engine = {self.name!r} is not installed",
                expected=" and ".join(self.packages),
                mend=f"pip install 'transfer-zoo[{self.extra}]', or --set features.engine=auto",
            )


def cache_sized_batch(size: int) -> int:
    """Returns how many images of a size a core should take at a time.

    Few: what one layer writes for two photographs of 224 px still is in the core's
    cache when the next layer reads it. Seen here, one thread of ONNX Runtime on
    MobileNetV2: 234 images/s in twos, 147 in batches of 32. Of small images it takes
    more to be worth the call.

    Args:
        size: Height and width in pixels.

    Example:
        >>> cache_sized_batch(224), cache_sized_batch(32), cache_sized_batch(600)
        (2, 64, 1)
    """
    return max(1, min(64, round(2 * 224**2 / size**2)))


def pad_batch(images: Any, batch_size: int) -> Any:
    """Returns a batch filled up to its full size with copies of its last image.

    Kernels may differ by the size of a batch, and with them the last bits of a
    feature; an image's features should not depend on how many were left over.

    Args:
        images: uint8 [b, S, S, 3], 1 ≤ b ≤ `batch_size`.
        batch_size: Images in a full batch.
    """
    import numpy as np

    missing = batch_size - len(images)
    return np.concatenate([images, np.repeat(images[-1:], missing, axis=0)]) if missing else images
