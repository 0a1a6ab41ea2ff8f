"""Read the embedded data set `signs`: 1,000 photographs of hand signs for the digits 0 to 9.

Mavi, 2020, https://arxiv.org/abs/2011.08927; photographs by students of a high school in
Ankara. Apache-2.0; `signs.md` beside this file says more.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from pipelines.sources.source import Examples, Listing

ARCHIVE = Path(__file__).with_name("signs.zip")
"""JPEG files `SPLIT/CLASS/NAME.jpg`, stored in order; `convert` makes it."""

CLASS_NAMES = tuple("0123456789")


def read_signs(data: str = "signs") -> Listing:
    """Lists the photographs in memory: 600 to train on, 150 val and 250 test images.

    The file says which split an image belongs to, so that figures on the test images
    compare between recipes of any seed.
    """
    import numpy as np

    splits: dict[str, list[tuple[str, bytes]]] = {"train": [], "val": [], "test": []}
    with zipfile.ZipFile(ARCHIVE) as archive:
        for name in archive.namelist():
            splits[name.partition("/")[0]].append((name, archive.read(name)))
    return Listing(
        CLASS_NAMES,
        {
            split: Examples(
                names=tuple(name for name, _ in images),
                labels=np.array([int(name.split("/")[1]) for name, _ in images], np.int64),
                encoded=tuple(content for _, content in images),
            )
            for split, images in splits.items()
        },
    )
