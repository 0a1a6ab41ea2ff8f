"""POLICIES, the named augmentation presets, and AugmentConfig, the recipe's [augment] section."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import field_validator

from pipelines.augment.base import GeometryOperation, MixingOperation
from pipelines.augment.color import PcaNoise
from pipelines.augment.operations import AnyOperation, Choose, expand_groups, parse_operation
from pipelines.augment.shorthand import format_policy, parse_policy
from zoo.config import Config
from zoo.table import Table


@dataclass(frozen=True)
class Policy:
    """Operations that suit one kind of image; a row of POLICIES.

    Args:
        name: Key of the row.
        summary: The kind of image, and what the policy avoids.
        operations: The policy in the shorthand.
    """

    name: str
    summary: str
    operations: str


POLICIES: Table[Policy] = Table(
    "policy",
    [
        Policy(
            "photo",
            "photographs: horizontal flip, moderate crop",
            "flip_lr(0.5)|crop(0.6, aspect=1.2)",
        ),
        Policy(
            "digits",
            "digits, letters and wearable-sensor images: no flip, no rotation",
            "crop(0.8, aspect=1.1)",
        ),
        Policy(
            "textures",
            "surfaces: both flips and a shift; no scaling, since scale identifies the class",
            "flip_lr(0.5)|flip_ud(0.5)|shift(0.125)",
        ),
        Policy(
            "medical",
            "medical images: no flip, since the side matters; weak color changes",
            "rotate(10)|zoom(1.1)|shift(0.05)|brightness(0.08)|contrast(0.15)"
            "|gaussian_noise(0.02, p=0.5)",
        ),
        Policy(
            "strong",
            "long training on many photographs: two of twelve operations, as in RandAugment",
            "flip_lr(0.5)|crop(0.35)"
            "|choose(2, rotate(30), shear(17), shift(0.15), zoom(1.3), perspective(0.15),"
            " brightness(0.3), contrast(0.6), saturation(0.8), hue(30), pca_noise(0.5),"
            " gaussian_blur(1.5, p=1), gaussian_noise(0.08))"
            "|erase(0.25)",
        ),
        Policy("none", "no augmentation: the evaluation transform", ""),
    ],
)

_PRESETS = {policy.name: policy.operations for policy in POLICIES.values()}


class AugmentConfig(Config):
    """Augmentation of the training images.

    Args:
        policy: The operations, in order. It is written as a preset's name (`zoo list
            policies`), as the shorthand `flip_lr(0.5)|rotate(15)`, or as a list of tables
            with a `name` and settings. `auto` takes `candidate` if a head on features
            validates better with it than without augmentation, and where nothing can be
            measured before training.
        candidate: The policy that `auto` considers: a row of POLICIES that suits the images.
            Geometry is always rendered first, in one resampling, then color, then
            filters, then mixing; the order matters within each stage.
        border: Pixels beyond the image: its mirror image (`reflect`), its edge pixels
            (`edge`), or black.
        renderer: `opencv` renders on the CPU; `tensorflow` uses TensorFlow operations
            alone, which also run on an accelerator and are slower without one.
    """

    policy: tuple[AnyOperation, ...] | Literal["auto"] = "auto"
    candidate: str = "photo"
    border: Literal["reflect", "edge", "black"] = "reflect"
    renderer: Literal["opencv", "tensorflow"] = "opencv"

    @field_validator("policy", mode="before")
    @classmethod
    def _parse_shorthand(cls, value: Any) -> Any:
        is_shorthand = isinstance(value, str) and value != "auto"
        return parse_policy(value, _PRESETS) if is_shorthand else value

    @field_validator("candidate")
    @classmethod
    def _known_candidate(cls, name: str) -> str:
        return POLICIES[name].name

    @property
    def operations(self) -> tuple[AnyOperation, ...]:
        """The operations; those of the candidate where the policy is `auto`."""
        if self.policy == "auto":
            policy = parse_policy(_PRESETS[self.candidate])
            return tuple(map(parse_operation, policy))
        return self.policy

    def with_policy(self, policy: Sequence[AnyOperation]) -> AugmentConfig:
        """Returns the section with other operations.

        Args:
            policy: In order; empty for no augmentation.
        """
        return self.model_copy(update={"policy": tuple(policy)})

    @property
    def blends(self) -> bool:
        """Whether the policy mixes images with others of their batch."""
        return any(isinstance(op, MixingOperation) for op in expand_groups(self.operations))

    @property
    def smallest_view(self) -> float:
        """The smallest part of the evaluation crop's side that a view can show, above 0 to 1.

        Of an image, views need as many times more pixels than evaluation does.
        """
        smallest = 1.0
        for operation in self.operations:
            count = operation.count if isinstance(operation, Choose) else 1
            parts = sorted(
                member.smallest_view
                for member in expand_groups([operation])
                if isinstance(member, GeometryOperation) and member.p and operation.p
            )
            smallest *= math.prod(parts[:count])
        return smallest

    @property
    def needs_color_axes(self) -> bool:
        """Whether the policy needs the principal components of the training images' colors."""
        return any(isinstance(op, PcaNoise) for op in expand_groups(self.operations))

    def __str__(self) -> str:
        """Formats the policy in the shorthand, prefixed by the name of the preset it equals."""
        if self.policy == "auto":
            return f"auto: none or {self.candidate}"
        text = format_policy(self.policy)
        for name in POLICIES:
            if AugmentConfig.model_validate({"policy": name}).policy == self.policy:
                return f"{name}: {text}" if text else name
        return text
