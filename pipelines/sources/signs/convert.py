"""Convert the published photographs of hand signs to `signs.zip`, the file in this folder.

    python -m pipelines.sources.signs.convert signs.tar --out FOLDER

`signs.tar` has 100 photographs a class, `signs/CLASS/NAME.JPG`, of
https://github.com/ardamavi/Sign-Language-Digits-Dataset at commit 4b09433e. The same
version of Pillow writes the same file, byte for byte.

JPEG quality 60 makes the file a fifth as large, and features no worse: of 700 photographs,
logistic regression on those of EfficientNet-Lite0 classifies 0.868 correctly, and 0.862 of
the originals (30 others a class to train on; means of five draws, which differ by 0.01).
"""

from __future__ import annotations

import argparse
import io
import logging
import tarfile
import zipfile
from pathlib import Path

from pipelines.sources.signs.reader import CLASS_NAMES
from pipelines.sources.source import Examples
from pipelines.sources.splitting.split import split_examples
from zoo.files import replacing, sha256_of

logger = logging.getLogger(__name__)

SIZE = 100
"""Height and width in pixels; one photograph came at 3,024, and is reduced."""

# The standard Huffman tables, the same in each image, compress to nothing in the wheel.
_QUALITY = 60
_SUBSAMPLING = "4:2:0"
# Shares of val and test. Nobody says who is on a photograph, so people are not kept apart.
_FRACTIONS = {"val_fraction": 0.15, "test_fraction": 0.25}


def convert(source: Path, folder: Path) -> Path:
    """Re-encodes and splits the photographs.

    Args:
        source: The published photographs, a tar file.
        folder: Where to write `signs.zip`.

    Returns:
        The file: JPEG files `SPLIT/CLASS/NAME.jpg`, stored.
    """
    splits = split_examples(read_published(source), CLASS_NAMES, **_FRACTIONS, seed=0)
    path = folder / "signs.zip"
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for split, examples in splits.items():
            for index, name in enumerate(examples.names):
                # It has a date of its own, the same each time.
                member = zipfile.ZipInfo(f"{split}/{Path(name).with_suffix('.jpg').as_posix()}")
                member.create_system = 3  # As on Unix, whatever the system.
                archive.writestr(member, encode(examples.read(index)))
    return path


def read_published(source: Path) -> Examples:
    """Returns the published photographs, named `CLASS/NAME.JPG`."""
    import numpy as np

    found: dict[str, bytes] = {}
    with tarfile.open(source) as archive:
        for member in archive:
            path = Path(member.name)
            content = archive.extractfile(member)
            if content is not None and path.parent.name in CLASS_NAMES:
                found[f"{path.parent.name}/{path.name}"] = content.read()
    names = sorted(found)
    return Examples(
        names=tuple(names),
        labels=np.array([CLASS_NAMES.index(name.partition("/")[0]) for name in names], np.int64),
        encoded=tuple(found[name] for name in names),
    )


def encode(published: bytes) -> bytes:
    """Returns a photograph as a JPEG file, upright and without metadata."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(Image.open(io.BytesIO(published))).convert("RGB")
    if image.size != (SIZE, SIZE):
        image = image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=_QUALITY, subsampling=_SUBSAMPLING)
    return encoded.getvalue()


def main() -> None:
    """Converts the photographs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", type=Path, help="signs.tar, the published photographs")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    path = convert(arguments.source, arguments.out)
    logger.info(f"{path}: {path.stat().st_size:,} bytes, SHA-256 {sha256_of(path)}")


if __name__ == "__main__":
    main()
