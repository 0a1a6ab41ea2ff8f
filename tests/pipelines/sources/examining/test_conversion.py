"""Conversions in the cache: who reads them, what removes them, and how much memory a scan takes."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.inspection.audit import audit
from pipelines.recipe.recipe import Recipe
from pipelines.serving.predict import predict
from pipelines.sources.config import DataConfig
from pipelines.sources.examining import conversion
from pipelines.sources.examining.examination import examine_image
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.opening.describe import describe
from pipelines.sources.opening.evaluation_set import open_evaluation_set
from pipelines.sources.opening.unlabeled import open_unlabeled
from pipelines.sources.scanning.scan import keep_decodable, scan_images
from pipelines.sources.source import Examples, Listing, join_examples
from pipelines.training.train import train
from tests.pipelines.sources.examining.test_examination import CONVERTED, PARTIAL, WHOLE, bilevel
from tests.support.photographs import Fill, encode, photo
from tests.support.tiny import TINY
from zoo.errors import DataError
from zoo.preprocessing import Preprocessing
from zoo.tasks import classification

EVERYTHING = DataConfig(max_undecodable=1.0, damaged="keep")


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("ZOO_CACHE", str(folder))
    return folder


@pytest.fixture
def mixed(fill: Fill) -> Path:
    """Two classes of photographs, with a TIFF, a PGM and three damaged files among them."""
    fill("ants", 4, a__tif=CONVERTED["TIFF"][1], b__pgm=CONVERTED["PGM of 10 bits"][1])
    (half, _), (cut, _) = PARTIAL["gray from the middle on"], WHOLE["JPEG without its end"]
    return fill("bees", 4, gray__jpg=half, cut__jpg=cut)


def read_all(examples: Examples) -> dict[str, bytes]:
    """Returns each image as the network sees it, by name."""
    images = build_image_dataset(examples, Preprocessing(size=16), batch_size=4)
    pixels = np.concatenate([batch.numpy() for batch in images])
    return {name: image.tobytes() for name, image in zip(examples.names, pixels, strict=True)}


def all_of(root: Path, config: DataConfig | None = None) -> Examples:
    return join_examples(list(open_source(str(root), config).splits.values()))


def test_training_reads_conversions_and_names_damage(
    mixed: Path, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = DataConfig(max_undecodable=0.2)
    source = open_source(str(mixed), config)
    assert describe(source) == [
        "skipped bees/gray.jpg: damaged JPEG: premature end of data segment",
        "damaged bees/cut.jpg: its last bytes are missing (kept)",
    ]
    kept = open_source(str(mixed), EVERYTHING)
    assert describe(kept) == [
        "damaged bees/cut.jpg: its last bytes are missing (kept)",
        "damaged bees/gray.jpg: damaged JPEG: premature end of data segment (kept)",
    ]
    examples = join_examples(list(kept.splits.values()))
    assert len(examples) == 12
    seen = read_all(examples)
    for name in ("ants/a.tif", "bees/cut.jpg", "bees/gray.jpg"):
        content = (mixed / name).read_bytes() + (b"\xff\xd9" if name.endswith("jpg") else b"")
        picture = mixed.parent / "picture.png"
        picture.write_bytes(content)
        with Image.open(picture) as opened:
            png = encode(opened.convert("RGB"), "PNG")
        alone = Examples(names=("it",), labels=np.zeros(1, np.int64), encoded=(png,))
        assert read_all(alone)["it"] == seen[name]
    # Neither the scan nor a pass over the images prints what has no name.
    assert "Corrupt JPEG" not in capfd.readouterr().err


def test_digests_are_those_of_the_files(mixed: Path, cache: Path) -> None:
    examples = all_of(mixed, EVERYTHING)
    for name, digest in zip(examples.names, examples.digests, strict=True):
        assert digest == hashlib.sha256((mixed / name).read_bytes()).hexdigest()


def test_audit_evaluation_and_samples_read_conversions(mixed: Path, cache: Path) -> None:
    found = audit(mixed)
    assert found.images == 11
    assert [(f.name, f.reason) for f in found.damaged] == [
        ("bees/cut.jpg", "its last bytes are missing")
    ]
    assert [f.name for f in found.undecodable] == ["bees/gray.jpg"]
    assert "damaged bees/cut.jpg: its last bytes are missing" in found.lines()
    tasks = classification(("ants", "bees"))
    opened = open_evaluation_set(str(mixed), DataConfig(), tasks)
    assert read_all(opened.splits["all"]) == read_all(open_unlabeled(str(mixed)).splits["all"])
    assert [f.name for f in opened.damaged] == ["bees/cut.jpg"]


def test_removed_cache_loses_nothing(mixed: Path, cache: Path) -> None:
    before = read_all(all_of(mixed, EVERYTHING))
    assert len(list((cache / "converted").rglob("*.png"))) == 4
    assert read_all(all_of(mixed, EVERYTHING)) == before  # from the ledger
    for part in ("converted", "."):
        shutil.rmtree(cache / part)
        assert read_all(all_of(mixed, EVERYTHING)) == before


def test_settings_hold_for_files_that_are_in_the_ledger(mixed: Path, cache: Path) -> None:
    aged = 10**9
    for path in mixed.rglob("*.*"):
        os.utime(path, (aged, aged))
    for config, skipped in [
        (EVERYTHING, 0),
        (EVERYTHING.model_copy(update={"damaged": "skip"}), 1),
        (EVERYTHING.model_copy(update={"max_pixels": 1199}), 4),
        (EVERYTHING.model_copy(update={"max_pixels": 1200}), 2),
        (EVERYTHING, 0),
    ]:
        assert len(open_source(str(mixed), config).skipped) == skipped
    text = "320x240 pixels are more than data.max_pixels=1200"
    source = open_source(str(mixed), EVERYTHING.model_copy(update={"max_pixels": 1200}))
    assert {finding.reason for finding in source.skipped} == {text}


def test_conversions_without_a_cache_are_kept_as_long_as_the_process(
    mixed: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read_all(open_source(str(mixed), EVERYTHING).train)
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("ZOO_CACHE", str(file))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    conversion._temporary_folder.cache_clear()
    try:
        assert read_all(open_source(str(mixed), EVERYTHING).train) == expected
        (kept,) = temporary.glob("zoo-converted-*")
        assert len([*kept.glob("*/*.png")]) == 4
        shutil.rmtree(temporary)
        temporary.touch()
        with pytest.raises(DataError, match=r"Cannot keep a converted image .*; set ZOO_CACHE"):
            open_source(str(mixed), EVERYTHING)
    finally:
        conversion._temporary_folder.cache_clear()


def test_conversions_that_nobody_uses_make_room(mixed: Path, cache: Path) -> None:
    expected = read_all(open_source(str(mixed), EVERYTHING).train)
    kept = sorted((cache / "converted").rglob("*.png"))
    assert conversion.evict_conversions(0) == 0, "all are in use"
    for days, file in enumerate(kept):
        os.utime(file, (file.stat().st_mtime - 86400 * (days + 3),) * 2)
    largest = sum(file.stat().st_size for file in kept[:2])
    total = sum(file.stat().st_size for file in kept)
    assert conversion.evict_conversions(total) == 0
    assert conversion.evict_conversions(largest) == total - largest
    assert [file.exists() for file in kept] == [True, True, *[False] * (len(kept) - 2)]
    assert read_all(open_source(str(mixed), EVERYTHING).train) == expected


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"])
def test_what_libtiff_finds_is_named_and_not_printed(
    compression: str, capfd: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(encode(photo(1, (80, 60)), "TIFF", compression=compression))
    content[300:340] = bytes(range(200, 240))
    found = examine_image("it", bytes(content)).scan
    assert re.match(r"damaged TIFF: ([A-Z]\w+: )?[A-Z]\w+ |^$", found.problem)
    cut = examine_image("it", bytes(content[: len(content) // 2])).scan
    assert "decoder error" not in cut.problem
    assert capfd.readouterr().err == ""


def test_images_without_files_are_converted_too(cache: Path) -> None:
    tiff, jpeg, half = CONVERTED["TIFF"][1], encode(photo(5)), PARTIAL["cut off in the middle"][0]
    names = ("all/0", "all/1", "all/2")
    given = Examples(names=names, labels=np.zeros(3, np.int64), encoded=(tiff, jpeg, half))
    listing = Listing(("it",), {"all": given})
    read = keep_decodable(listing, scan_images(listing, DataConfig())).splits["all"]
    assert list(read.names) == ["all/0", "all/1"]
    assert read.encoded is not None
    assert read.encoded[1] == jpeg
    with Image.open(io.BytesIO(read.encoded[0])) as png, Image.open(io.BytesIO(tiff)) as original:
        assert png.format == "PNG"
        np.testing.assert_array_equal(np.asarray(png), np.asarray(original))


@pytest.mark.train
def test_page_beyond_the_size_that_pillow_warns_about_is_read_silently() -> None:
    page = Image.new("1", (9600, 9600), 1)  # 92 megapixels
    found = examine_image("it", encode(page, "TIFF", compression="group4")).scan
    assert (found.problem, found.colors, found.width) == ("", 1, 9600)


@pytest.mark.slow
@pytest.mark.train
def test_run_predicts_what_its_export_refuses(fill: Fill, tmp_path: Path, cache: Path) -> None:
    for name, color in (("red", (220, 30, 30)), ("blue", (30, 30, 220))):
        for index in range(8):
            noise = np.random.default_rng(index).integers(-30, 30, (30, 40, 3))
            pixels = np.clip(noise + np.array(color), 0, 255).astype(np.uint8)
            fill(name, **{f"{index}__tif": encode(Image.fromarray(pixels), "TIFF")})
    root = fill("red")
    plain = {"augment": {"policy": "none"}, "features": {"engine": "keras"}}
    run = train(root, Recipe.from_settings(TINY, plain), out=tmp_path / "run")
    assert run.metrics["val"]["accuracy"] == 1.0
    files = sorted(root.rglob("*.tif"))[::4]
    answers = predict(run.path, files)
    assert [a.label for a in answers] == [file.parent.name for file in files]
    half = tmp_path / "half.jpg"
    half.write_bytes(PARTIAL["gray from the middle on"][0])
    [damaged] = predict(run.path, half)
    assert damaged.error == "damaged JPEG: premature end of data segment"
    run.export(tmp_path / "saved")
    [refused] = predict(tmp_path / "saved", files[0])
    assert refused.error == "TIFF is not read by an exported model: convert it to JPEG or PNG"


_SCAN = """
import sys
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.config import DataConfig
import numpy, tensorflow, cv2, simplejpeg
from tests.support.memory import peak_mb
before = peak_mb()
for folder in sys.argv[1:]:
    source = open_source(folder, DataConfig(max_undecodable=1.0, max_pixels=2**29))
    print(len(source.train), peak_mb() - before)
"""


@pytest.mark.slow
@pytest.mark.train
def test_memory_of_a_scan_is_bounded(tmp_path: Path, cache: Path) -> None:
    side = 4096
    page = np.full((side, side), 255, np.uint8)
    page[-1, -1] = 0
    contents = {
        "png": bilevel(side, black=8),
        "jpeg": bytes(cv2.imencode(".jpg", page)[1]),
        "tiff": encode(Image.fromarray(page).convert("1"), "TIFF", compression="group4"),
    }
    for extension, content in contents.items():
        fill = Fill(tmp_path / extension)
        files = {f"{i}__{extension}": content + bytes(i) for i in range(4)}
        fill("ants", 0, **files)
        fill("bees", 0, **{f"9{name}": body + b"\0" * 9 for name, body in files.items()})
    folders = [str(tmp_path / extension) for extension in contents]
    result = subprocess.run(
        [sys.executable, "-c", _SCAN, *folders], capture_output=True, text=True, check=True
    )
    lines = result.stdout.splitlines()
    assert len(lines) == len(contents)
    for extension, line in zip(contents, lines, strict=True):
        count, mib = map(int, line.split())
        assert count == 6
        # Eight images of 16 megapixels; as RGB, each takes 48 MiB.
        assert mib < 400, extension
