"""Look at augmentation: compare policies on a data set's own images.

    python examples/preview_augmentation.py [FOLDER]

Draws a picture for each policy: a row for each operation, and some for the whole policy.
"""

from __future__ import annotations

import sys
from pathlib import Path

import transfer_zoo as tz

POLICIES = {
    "preset": "textures",
    "stronger": "hue(60)|contrast(0.6)|perspective(0.2)",
}


def main(folder: Path) -> None:
    """Draws the pictures."""
    for name in ("hue", "perspective"):
        row = tz.augmentations[name]
        print(f"{name}: {row.summary} ({row.stage})")
    for name, policy in POLICIES.items():
        recipe = tz.Recipe.for_data("textures").override({"augment.policy": policy})
        print(tz.preview("textures", recipe, picture=folder / f"{name}.png"))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/example_augmentation"))
