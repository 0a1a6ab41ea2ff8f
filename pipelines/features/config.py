"""FeatureConfig: whether a head is trained from features, and how those are computed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from pipelines.features.engines.catalog import ENGINES
from zoo.config import Config


class FeatureConfig(Config):
    """Features of a frozen backbone, computed once and kept on disk.

    Args:
        use: Whether a head on a frozen backbone is trained from features; `auto` does
            so wherever the backbone is frozen and the policy blends no images. Without,
            every image goes through the backbone in every epoch, freshly augmented.
        views: Augmented views kept of each training image, beside the plain one. An
            epoch takes one of an image's views, all in turn. 0, or a policy that
            changes nothing, keeps the plain one alone.
        engine: What runs the backbone, a row of ENGINES; `auto` is the one that is
            fastest in a short trial. Each is held to Keras' own answers.
        cache_gib: Space on disk, in GiB, that features of all jobs may take; the
            longest unused are removed. A job keeps what it needs itself.
    """

    use: bool | Literal["auto"] = "auto"
    views: Annotated[int, Field(ge=0, le=1000)] = 4
    engine: str = "auto"
    cache_gib: Annotated[float, Field(gt=0, le=1e6)] = 16.0

    @field_validator("engine")
    @classmethod
    def _known(cls, engine: str) -> str:
        return engine if engine == "auto" else ENGINES[engine].name
