"""POLICIES: which operations suit which images; and the recipe's section for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import field_validator

from pipelines.augment.mixing import Labels
from pipelines.augment.operations import AnyOperation, Choose, read_operation
from pipelines.augment.shorthand import parse_policy, print_policy
from zoo.config import Config
from zoo.table import Table


@dataclass(frozen=True)
class Policy:
    """Operations that suit a kind of image.

    Args:
        name: The key in POLICIES.
        summary: For which images, and what it leaves out.
        operations: In the shorthand.
    """

    name: str
    summary: str
    operations: str


POLICIES: Table[Policy] = Table(
    "policy",
    [
        Policy(
            "photo",
            "photographs: mirrored, moderately cropped",
            "flip_lr(0.5)|crop(0.6, aspect=1.2)",
        ),
        Policy(
            "digits",
            "digits, letters and worn sensors: no flip, no rotation",
            "crop(0.8, aspect=1.1)",
        ),
        Policy(
            "textures",
            "surfaces: mirrored both ways and shifted, never rescaled, since scale tells",
            "flip_lr(0.5)|flip_ud(0.5)|shift(0.125)",
        ),
        Policy(
            "medical",
            "medical images: no flip, since sides matter; little color, since it tells",
            "rotate(10)|zoom(1.1)|shift(0.05)|brightness(0.08)|contrast(0.15)"
            "|gaussian_noise(0.02, p=0.5)",
        ),
        Policy(
            "strong",
            "many epochs on many photographs: two of twelve, as RandAugment has it",
            "flip_lr(0.5)|crop(0.35)"
            "|choose(2, rotate(30), shear(17), shift(0.15), zoom(1.3), perspective(0.15),"
            " brightness(0.3), contrast(0.6), saturation(0.8), hue(30), pca_noise(0.5),"
            " gaussian_blur(1.5, p=1), gaussian_noise(0.08))"
            "|erase(0.25)",
        ),
        Policy("none", "nothing: what validation sees", ""),
    ],
)

_PRESETS = {policy.name: policy.operations for policy in POLICIES.values()}


class AugmentConfig(Config):
    """How training images vary from epoch to epoch.

    Args:
        policy: The operations, in order; by default those of `photo`. It is written as a
            preset's name (`zoo list policies`), as the shorthand
            `flip_lr(0.5)|rotate(15)`, or as a list of tables with a `name` and settings.
            Whatever the order, geometry is drawn first, in one resampling, then color,
            then what changes pixels on their own.
        border: What comes into view from beyond the image: its mirror image, its
            edge drawn on, or black.
        renderer: What draws: OpenCV on the processor, or TensorFlow's operations
            alone, which also run on an accelerator and are slower without one.
    """

    policy: tuple[AnyOperation, ...] = tuple(map(read_operation, parse_policy(_PRESETS["photo"])))
    border: Literal["reflect", "edge", "black"] = "reflect"
    renderer: Literal["opencv", "tensorflow"] = "opencv"

    @field_validator("policy", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return parse_policy(value, _PRESETS) if isinstance(value, str) else value

    @property
    def blends(self) -> bool:
        """Whether the policy blends images with others of their batch."""
        members = [
            member
            for operation in self.policy
            for member in (operation.operations if isinstance(operation, Choose) else (operation,))
        ]
        return any(isinstance(member, Labels) for member in members)

    def __str__(self) -> str:
        """The policy in the shorthand, after the name of the preset it is, if it is one."""
        text = print_policy(self.policy)
        for name in POLICIES:
            if AugmentConfig.model_validate({"policy": name}).policy == self.policy:
                return f"{name}: {text}" if text else name
        return text
