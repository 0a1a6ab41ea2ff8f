"""Every code block of README and docs runs, or says why it does not."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.support.code_blocks import LANGUAGES, PageRunner, read_code_blocks

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
    if "_build" not in path.parts
)
# Pages that take a quarter of a minute or more.
SLOW = {
    "README.md",
    "docs/guides/augmentation.md",
    "docs/guides/choose.md",
    "docs/guides/cluster.md",
    "docs/guides/data.md",
    "docs/guides/export.md",
    "docs/guides/fine_tuning.md",
    "docs/guides/imbalance.md",
    "docs/guides/kerashub.md",
    "docs/guides/own_loop.md",
    "docs/guides/predict.md",
    "docs/guides/pretraining.md",
    "docs/guides/report.md",
    "docs/guides/search.md",
    "docs/guides/several_tasks.md",
    "docs/tutorial.md",
}
CLASSES = ("bricks", "checks", "dots")


def marked(page: str) -> Any:
    blocks = list(read_code_blocks((ROOT / page).read_text(encoding="utf-8")))
    runs = [block for block in blocks if block.language in ("console", "python")]
    trains = any(not block.reason for block in runs)
    marks = [pytest.mark.slow] if page in SLOW else [pytest.mark.train] if trains else []
    return pytest.param(page, marks=marks)


def save_as_jpeg(encoded: bytes, file: Path) -> None:
    Image.open(io.BytesIO(encoded)).convert("RGB").save(file, quality=95)


@pytest.fixture(scope="module")
def textures() -> Any:
    """The data set `textures`, from which the folders of images are taken."""
    from pipelines.sources.config import DataConfig
    from pipelines.sources.opening.dataset import open_source

    return open_source("textures", DataConfig(), seed=0)


@pytest.fixture
def reader_folder(textures: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages speak of: photos/, new_photos/, new.jpg and photos.csv."""
    monkeypatch.chdir(tmp_path)
    rows = ["path,label"]
    for name in CLASSES:
        label = textures.class_names.index(name)
        indices = [i for i, value in enumerate(textures.train.labels) if value == label][:20]
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in indices:
            file = tmp_path / "photos" / name / f"{index:04d}.jpg"
            save_as_jpeg(textures.train.read(index), file)
            rows.append(f"{file.relative_to(tmp_path)},{name}")
    new_photos = tmp_path / "new_photos"
    new_photos.mkdir()
    for index in range(4):
        save_as_jpeg(textures.test.read(index), new_photos / f"{index}.jpg")
    save_as_jpeg(textures.test.read(index), tmp_path / "new.jpg")
    (tmp_path / "photos.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


@pytest.mark.parametrize("page", [marked(page) for page in PAGES])
def test_code_blocks_run(
    page: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = PageRunner(page, (ROOT / page).read_text(encoding="utf-8"))
    if not any(block.language in ("console", "python") for block in runner.runnable):
        return
    request.getfixturevalue("reader_folder")
    if not runner.as_written:
        from pipelines.recipe.presets import PRESETS

        monkeypatch.setitem(PRESETS, "photo", {"backbone": {"name": "micro_resnet_s.cifar10"}})
    # A slow machine logs progress where the page shows none.
    monkeypatch.setattr(logging.getLogger("zoo.progress"), "disabled", True)
    runner.run()


@pytest.mark.parametrize("page", PAGES)
def test_code_blocks_have_a_language_and_none_is_indented(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in read_code_blocks(text):
        assert block.language in LANGUAGES, f"{page}:{block.line}"
    # An indented block has no language, and no test would find it.
    outside = True
    previous = ""
    for number, line in enumerate(text.splitlines(), 1):
        outside ^= line.startswith("```")
        if outside and line.startswith("    ") and not previous.strip():
            raise AssertionError(f"{page}:{number}: put code between ``` fences")
        previous = line
