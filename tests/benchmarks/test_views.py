"""The benchmark of stored views against fresh augmentation: pairs by seed, runs once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import views


def _rows(accuracies: dict[str, list[float]]) -> list[dict[str, Any]]:
    return [
        {"set": "photos", "way": way, "seed": seed, "accuracy": accuracy}
        for way, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]


def test_table_pairs_by_seed(tmp_path: Path) -> None:
    rows = _rows({"fresh": [0.90, 0.80], "K views": [0.91, 0.78], "plain only": [0.85, 0.75]})
    line = views.table(rows[::-1]).splitlines()[2]
    assert line == (
        "| photos | 0.8500 (0.800–0.900) | 0.8450 (0.780–0.910) | 0.8000 (0.750–0.850) "
        "| -0.0050 (-0.020 to +0.010) | -0.0500 (-0.050 to -0.050) |"
    )
    views.plot(rows, tmp_path / "views.png")
    assert (tmp_path / "views.png").stat().st_size > 1000


def test_recipes_differ_only_in_their_features() -> None:
    setting = views.Setting("digits", "digits")
    fresh, kept, plain = (
        views.recipe_for(setting, way, 3, views=4, epochs=2) for way in views.WAYS
    )
    assert (fresh.features.use, kept.features.use, plain.features.use) == (False, True, True)
    assert (kept.features.views, plain.features.views) == (4, 0)
    assert fresh.model_copy(update={"features": kept.features}) == kept


@pytest.mark.slow
def test_finished_runs_are_not_repeated(tiny_folder: Path, tmp_path: Path, capsys: Any) -> None:
    setting = views.Setting("colors", str(tiny_folder), "micro_resnet_s.cifar10", 32)

    def compare() -> list[dict[str, Any]]:
        return views.compare([setting], tmp_path, seeds=1, epochs=1, views=2)

    rows = compare()
    assert [row["way"] for row in rows] == list(views.WAYS)
    assert all(0 <= row["accuracy"] <= 1 for row in rows)
    assert "epoch 1/1" in capsys.readouterr().err
    assert compare() == rows
    assert "epoch" not in capsys.readouterr().err, "finished runs are not repeated"
