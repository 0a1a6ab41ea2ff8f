"""The section `input` of a recipe: preprocessing, batch size and image cache."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from zoo.normalization import NORMALIZATIONS
from zoo.preprocessing import Depth, Preprocessing, PreprocessingSettings


class InputConfig(PreprocessingSettings):
    """Preprocessing, normalization, batch size and image cache.

    Args:
        size: Height and width of the network's input, in pixels; 0 takes the size that the
            backbone was trained at.
        depth: How many bits the colors of PNG files of 16 bits use, 8 to 16; `auto` takes as
            many as the training images need. Files of 8 bits are not affected.
        normalization: How the model normalizes pixels in 0 to 255: a row of NORMALIZATIONS,
            fitted to the training split if it has statistics to fit, or `own` for the
            normalization that the backbone was trained with.
        batch_size: Images per training step.
        cache_mib: Memory for the decoded training images, in MiB, at 3 bytes per pixel of
            the original files; the same again for the fitted validation images, at
            3 × size² bytes each. If a split does not fit as a whole, each epoch decodes
            it anew. 0 turns the cache off.
    """

    size: Annotated[int, Field(ge=0, le=1024)] = 0
    depth: Depth | Literal["auto"] = "auto"
    normalization: str = "own"
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 32
    cache_mib: Annotated[int, Field(ge=0)] = 1024

    @field_validator("normalization")
    @classmethod
    def _known(cls, name: str) -> str:
        return name if name == "own" else NORMALIZATIONS[name].name

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing alone, without batch size and cache."""
        settings = {name: getattr(self, name) for name in PreprocessingSettings.model_fields}
        return Preprocessing(**settings, depth=16 if self.depth == "auto" else self.depth)
