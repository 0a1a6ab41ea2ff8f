"""The section `input` of a recipe: how images reach the network."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from zoo.preprocessing import NORMALIZATIONS, Preprocessing


class InputConfig(Preprocessing):
    """How images reach the network.

    Args:
        size: Height and width in pixels; 0 takes the backbone's own.
        normalization: What becomes of a pixel in 0 to 255, inside the model: a row of
            NORMALIZATIONS, fitted to the training split where it has to be, or `own`
            for what the backbone's weights expect.
        batch_size: Images a step.
        cache_mib: Memory, in MiB, that the decoded training images may take, at
            3 bytes a pixel of the files' own sizes. Counted apart, it is also what the fitted
            validation images may take, at 3 × size². All are kept, or none: where
            they do not all fit, each is read and decoded anew each epoch. 0 keeps
            none.
    """

    size: Annotated[int, Field(ge=0, le=1024)] = 0
    normalization: str = "own"
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 32
    cache_mib: Annotated[int, Field(ge=0)] = 1024

    @field_validator("normalization")
    @classmethod
    def _known(cls, name: str) -> str:
        return name if name == "own" else NORMALIZATIONS[name].name

    @property
    def preprocessing(self) -> Preprocessing:
        """The transform alone."""
        return Preprocessing(size=self.size, fit=self.fit, interpolation=self.interpolation)
