"""Candidates: weights on this machine, in ZOO_WEIGHTS, in the cache, and by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipelines.inspection.candidates import list_candidates, name_candidates
from zoo.backbones.catalog import WEIGHTS
from zoo.errors import RecipeError, UnknownNameError
from zoo.weights.fetch import SHIPPED_FOLDER, find_at_hand

SHIPPED = {name for name, weights in WEIGHTS.items() if weights.shipped}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ZOO_WEIGHTS", raising=False)


def test_shipped_weights_are_at_hand_and_the_others_absent() -> None:
    at_hand, absent = list_candidates(at_hand=True), list_candidates(at_hand=False)
    assert {candidate.name for candidate in at_hand} == SHIPPED
    assert {candidate.name for candidate in absent} == set(WEIGHTS) - SHIPPED
    for candidate in at_hand:
        size = (SHIPPED_FOLDER / candidate.weights.url).stat().st_size
        assert candidate.file_mb == pytest.approx(size / 1e6, abs=0.05)
    resnet50 = next(c for c in absent if c.name == "resnet50.imagenet")
    assert resnet50.file_mb == pytest.approx(94, abs=2)


def test_weights_of_the_users_folder_are_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = WEIGHTS["squeezenet1_1.imagenet"]
    (tmp_path / weights.file).write_bytes(b"found by its name, verified when it is fetched")
    monkeypatch.setenv("ZOO_WEIGHTS", str(tmp_path))
    assert weights.name in {candidate.name for candidate in list_candidates(at_hand=True)}
    assert find_at_hand(weights) == tmp_path / weights.file


def test_own_file_is_named_and_each_name_counts_once(tmp_path: Path) -> None:
    file = tmp_path / "pretrained.npz"
    shutil.copy(SHIPPED_FOLDER / "micro_resnet_s.cifar10.npz", file)
    found = name_candidates([str(file), "micro_resnet_s.cifar10", str(file)])
    assert [candidate.name for candidate in found] == [str(file), "micro_resnet_s.cifar10"]
    assert found[0].file_mb == found[1].file_mb > 0
    assert found[0].weights.license == "its owner's"


def test_random_weights_and_unknown_names_raise() -> None:
    with pytest.raises(RecipeError, match=r"random weights.*take resnet50\.imagenet"):
        name_candidates(["resnet50"])
    with pytest.raises(UnknownNameError, match="Did you mean"):
        name_candidates(["resnet50.imagent"])
