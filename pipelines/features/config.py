"""The section `features` of a recipe: training a head from features of a frozen backbone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from pipelines.features.engines.catalog import ENGINES
from pipelines.features.engines.choice import CHOICES
from zoo.config import Config
from zoo.table import unknown_name


class FeatureConfig(Config):
    """Features of a frozen backbone, computed once and kept on disk.

    Args:
        use: Whether the head is trained from features; `auto` does so if the backbone is
            frozen and the policy blends no images. Otherwise every epoch augments every
            image anew and runs it through the backbone.
        views: Augmented views of each training image, in addition to the plain one. An
            epoch shows one view of an image, and successive epochs go through all of
            them. With 0, or an empty policy, only the plain view is kept. `auto` takes 1,
            and doubles it up to 8 as long as that lowers the log loss of images put aside by
            more than 0.01 nats and by more than the standard error of the difference; it takes
            4 where nothing is measured (several tasks, too few images, no features).
        engine: Inference engine for the backbone, a row of ENGINES. `auto` chooses it by
            rule, from the network, the processor and what is installed, so that the same
            command gives the same weights; `fastest` by a short trial, whose winner may be
            another on a busy machine. Every engine's features are checked against Keras.
        cache_gib: Disk space for the features of all jobs, in GiB; the least recently
            used are removed first, but never those of the running job.
    """

    use: bool | Literal["auto"] = "auto"
    views: Annotated[int, Field(ge=0, le=1000)] | Literal["auto"] = "auto"
    engine: str = "auto"
    cache_gib: Annotated[float, Field(gt=0, le=1e6)] = 16.0

    @field_validator("engine")
    @classmethod
    def _known(cls, engine: str) -> str:
        if engine not in CHOICES and engine not in ENGINES:
            raise unknown_name("engine", engine, [*CHOICES, *ENGINES])
        return engine

    @property
    def engine_is_open(self) -> bool:
        """Whether `engine` is a way to choose an engine, and not a row of ENGINES."""
        return self.engine in CHOICES
