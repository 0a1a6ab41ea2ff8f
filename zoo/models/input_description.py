"""What a saved model wants of its images, written into the .keras file itself.

Keras keeps its version and a date in the archive's metadata.json and reads neither; the
description stands beside them, so that it goes wherever the file goes.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.files import replacing
from zoo.preprocessing import Preprocessing
from zoo.tasks import Task

KEY = "transfer_zoo"
"""The description's key in metadata.json."""

_MEMBER = "metadata.json"

_FITS = {
    "crop": "the largest centered square of the image",
    "stretch": "the whole image, without its aspect ratio",
    "pad": "the smallest centered square around the image, black where that is outside of it",
}


def describe_input(preprocessing: Preprocessing, tasks: Sequence[Task]) -> dict[str, Any]:
    """Returns what a model wants of its images and what its outputs mean, as JSON values.

    Args:
        preprocessing: The transform that the model was validated with.
        tasks: What the model predicts.
    """
    size = preprocessing.size
    settings = preprocessing.model_dump(mode="json")
    return {
        "input": {
            "shape": [None, size, size, 3],
            "dtype": "float32",
            "range": [0, 255],
            "channels": "RGB",
            **settings,
            "antialias": True,
        },
        "steps": [
            "decode the file"
            + (
                f", a JPEG at the smallest of 1/1, 1/2, 1/4 and 1/8 of its size whose "
                f"{'longer' if preprocessing.fit == 'pad' else 'shorter'} side has {size} pixels"
                if preprocessing.decode == "scaled"
                else " at its full size"
            ),
            "turn it upright by its EXIF orientation",
            f"composite it over {preprocessing.background} where it is transparent",
            f"resample {_FITS[preprocessing.fit]} to {size} x {size} pixels, "
            f"{preprocessing.interpolation} with antialiasing, and round to whole numbers",
            "pass the numbers 0 to 255 as they are: normalization is in the model",
        ],
        "tasks": [task.to_json() for task in tasks],
    }


def write_description(file: Path, description: dict[str, Any]) -> None:
    """Writes a description into a .keras file, whose other parts stay as they are.

    Args:
        file: A file that Keras wrote.
        description: JSON values.
    """
    with (
        replacing(file) as temporary,
        zipfile.ZipFile(file) as source,
        zipfile.ZipFile(temporary, "w") as target,
    ):
        for member in source.infolist():
            if member.filename == _MEMBER:
                metadata = {**json.loads(source.read(member)), KEY: description}
                target.writestr(member, json.dumps(metadata))
                continue
            with source.open(member) as old, target.open(member, "w", force_zip64=True) as new:
                shutil.copyfileobj(old, new, 2**20)


def read_description(file: Path) -> dict[str, Any] | None:
    """Returns the description in a .keras file; None where there is none."""
    with zipfile.ZipFile(file) as archive:
        metadata = json.loads(archive.read(_MEMBER))
    found = metadata.get(KEY)
    return found if isinstance(found, dict) else None
