"""The depth of a set of PNG files of 16 bits is measured, said, and recorded."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from pipelines.recipe.measured_depth import measure_input_depth
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.opening.dataset import open_source
from tests.support.image_matrix import encode_words
from tests.support.photographs import encode, photo


def _write(folder: Path, bits: int) -> Path:
    """Writes two classes of gray images of 16 bits that use fewer, or of 8."""
    rng = np.random.default_rng(bits)
    for name in ("ants", "bees"):
        (folder / name).mkdir(parents=True)
        for number in range(8):
            words = rng.integers(0, 2**bits, (12, 12)).astype(np.uint16)
            words[0, 0] = 2**bits - 1
            (folder / name / f"{number}.png").write_bytes(encode_words(words))
    return folder


def _measure(folder: Path, **settings: object) -> ResolvedRecipe:
    recipe = Recipe.for_data(folder, settings={"input": settings}).resolve()
    return measure_input_depth(recipe, open_source(str(folder), seed=0).train)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_depth_is_what_the_training_images_use(
    bits: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        recipe = _measure(_write(tmp_path / "data", bits))
    assert recipe.input.depth == recipe.input.preprocessing.depth == bits
    said = f"PNG files of 16 bits use {bits} of them: input.depth={bits}" in caplog.text
    assert said == (bits < 16)
    assert Recipe.from_settings(recipe.to_settings()).resolve().input.depth == bits


def test_depth_that_is_given_is_kept(tmp_path: Path) -> None:
    assert _measure(_write(tmp_path / "data", 10), depth=12).input.depth == 12


def test_files_of_eight_bits_leave_the_depth_as_it_is(tmp_path: Path) -> None:
    for name in ("ants", "bees"):
        (tmp_path / name).mkdir()
        for number in range(8):
            content = encode(photo(number + 10 * (name == "ants"), mode="L"), "PNG")
            (tmp_path / name / f"{number}.png").write_bytes(content)
    assert _measure(tmp_path).input.depth == 16
