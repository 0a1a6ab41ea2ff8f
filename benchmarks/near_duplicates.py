"""Benchmark of near-duplicates: half of a data set's images planted again in one of eight ways.

    python benchmarks/near_duplicates.py photos/ signs/ --out runs/near_duplicates

The copies are encoded at quality 60; resized by 0.7; cropped by 5 % at one edge, at two, around the
center or at every edge; mirrored; or made 10 % brighter. Other images of the set count as
different, whether they are or not. Writes OUT/near_duplicates.json and OUT/near_duplicates.md: the
share of the planted copies that is found, the share of the pairs found that is planted, and seconds
of reading, hashing and comparing all images, with an empty cache.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image, ImageEnhance, ImageOps

from pipelines.sources.examining.kept_images import KeptImages
from pipelines.sources.opening.unlabeled import open_unlabeled
from pipelines.sources.scanning.hashed_images import are_comparable, hash_examples
from pipelines.sources.splitting.near_duplicates import find_near_duplicates
from zoo.decoding.image_decoder import ImageDecoder
from zoo.files import write_json, write_text

Change = Callable[[Image.Image], Image.Image]

CROP = 0.05


def _crop(left: float, top: float, right: float, bottom: float) -> Change:
    def change(image: Image.Image) -> Image.Image:
        width, height = image.size
        start = round(left * width), round(top * height)
        return image.crop((*start, round((1 - right) * width), round((1 - bottom) * height)))

    return change


def _shrink(image: Image.Image) -> Image.Image:
    return image.resize((round(0.7 * image.width), round(0.7 * image.height)))


CHANGES: dict[str, Change] = {
    "encoded at quality 60": lambda image: image,
    "resized by 0.7": _shrink,
    "cropped at one edge": _crop(CROP, 0, 0, 0),
    "cropped at two edges": _crop(CROP, CROP, 0, 0),
    "cropped around the center": _crop(CROP / 2, CROP / 2, CROP / 2, CROP / 2),
    "cropped at every edge": _crop(CROP, CROP, CROP, CROP),
    "mirrored": ImageOps.mirror,
    "10 % brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
}


def plant(files: list[Path], folder: Path, seed: int) -> dict[str, tuple[str, str]]:
    """Writes images, and a changed copy of every second one in random order.

    Returns:
        The name of the image and the change, by the name of the copy.
    """
    chosen = np.random.default_rng(seed).permutation(len(files))[: len(files) // 2].tolist()
    planted = {}
    names = [f"{index:06d}{file.suffix.lower()}" for index, file in enumerate(files)]
    for name, file in zip(names, files, strict=True):
        os.symlink(file.resolve(), folder / name)
    for position, index in enumerate(chosen):
        change = list(CHANGES)[position % len(CHANGES)]
        copy = f"{index:06d}-copy.jpg"
        image = ImageOps.exif_transpose(Image.open(files[index])).convert("RGB")
        quality = 60 if change.startswith("encoded") else 95
        CHANGES[change](image).save(folder / copy, quality=quality)
        planted[copy] = (names[index], change)
    return planted


def measure(data: Path, most: int, seed: int) -> dict[str, Any]:
    """Plants copies among the images of a folder, and finds near-duplicates."""
    files = sorted(f for f in data.rglob("*") if f.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if len(files) > most:
        taken = np.random.default_rng(seed).choice(len(files), most, replace=False)
        files = [files[index] for index in sorted(taken.tolist())]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "images")
        folder.mkdir()
        os.environ["ZOO_CACHE"] = str(Path(scratch, "cache"))
        planted = plant(files, folder, seed)
        started = time.perf_counter()
        kept = KeptImages(ImageDecoder(needed=224), 4096)
        examples = open_unlabeled(str(folder), kept=kept).splits["all"]
        examples = examples.take(np.flatnonzero(are_comparable(examples)))
        read_s = time.perf_counter() - started
        hashes = hash_examples(examples)
        hash_s = time.perf_counter() - started - read_s
        pairs = find_near_duplicates(hashes).tolist()
        compare_s = time.perf_counter() - started - read_s - hash_s
    names = [Path(name).name for name in examples.names]
    found = {frozenset((names[one], names[other])) for one, other in pairs}
    wanted = {frozenset((copy, image)): change for copy, (image, change) in planted.items()}
    by_change = {
        change: sum(pair in found for pair, own in wanted.items() if own == change)
        / max(sum(own == change for own in wanted.values()), 1)
        for change in CHANGES
    }
    return {
        "data": str(data),
        "images": len(files),
        "planted": len(planted),
        "found": len(found & wanted.keys()) / len(wanted),
        "planted_of_found": len(found & wanted.keys()) / max(len(found), 1),
        "by_change": by_change,
        "read_s": round(read_s, 2),
        "hash_s": round(hash_s, 2),
        "compare_s": round(compare_s, 2),
    }


def format_table(rows: list[dict[str, Any]]) -> str:
    """Returns the results as a Markdown table."""
    lines = [
        "| data | planted | found | of the pairs found, planted | read, s | hash, s | compare, s |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        lines.append(
            f"| {row['data']}, {row['images']} images | {row['planted']} | {row['found']:.3f} | "
            f"{row['planted_of_found']:.3f} | {row['read_s']:.1f} | {row['hash_s']:.1f} | "
            f"{row['compare_s']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main(
    data: Annotated[list[Path], typer.Argument(help="Folders of JPEG or PNG files.")],
    out: Annotated[Path, typer.Option(help="Folder of the results.")],
    most: Annotated[int, typer.Option(help="Images of each folder, at most.")] = 4000,
    seed: Annotated[int, typer.Option(help="Of the choice of images.")] = 0,
) -> None:
    """Measures how many planted near-duplicates are found."""
    rows = [measure(folder, most, seed) for folder in data]
    write_json(out / "near_duplicates.json", rows)
    write_text(out / "near_duplicates.md", format_table(rows))
    print(format_table(rows), end="")


if __name__ == "__main__":
    typer.run(main)
