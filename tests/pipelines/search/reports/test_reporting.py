"""Reporting: a search is drawn beside the retraining of its best, and neither harms the other."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.recipe.recipe import Recipe
from pipelines.search.tune import tune
from tests.support.tiny import TINY

pytestmark = pytest.mark.train


def test_what_is_drawn_beside_the_retraining_is_left_alone(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    killed, drawn = out / ".search.0123abcd.json", out / ".settings.4567abcd.png"

    @contextlib.contextmanager
    def drawing(folder: Path, search: Any) -> Iterator[None]:
        assert not killed.exists(), "what an earlier process left is gone before"
        drawn.write_bytes(b"half of a picture")
        yield
        assert drawn.read_bytes() == b"half of a picture"

    out.mkdir()
    killed.write_bytes(b"half of one")
    monkeypatch.setattr(sys.modules["pipelines.search.tune"], "reporting", drawing)
    plain = {"augment": {"policy": "none"}, "features": {"engine": "keras"}}
    recipe = Recipe.from_settings(TINY, plain, {"head": {"hidden": []}})
    space = {"optimizer.learning_rate": [0.01]}
    run = tune(tiny_folder, recipe, out=out, trials=1, epochs=1, space=space)
    assert run.metrics["val"]
