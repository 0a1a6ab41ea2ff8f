"""Scores of images: what is kept is what was measured, and what is damaged is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuning.hyperparameters.image_scores import ImageScores, join_folds
from tuning.hyperparameters.search import Journal
from tuning.hyperparameters.trial import Result
from zoo.errors import RunError

RNG = np.random.default_rng(0)
HITS = RNG.integers(0, 2, (3, 40)).astype(np.float32)
LOSSES = RNG.exponential(size=(3, 40)).astype(np.float32)
KEPT = ImageScores.of(HITS, LOSSES)


def check(found: ImageScores) -> None:
    hits, losses = found.values()
    np.testing.assert_array_equal(hits, HITS)
    np.testing.assert_allclose(losses, LOSSES, rtol=2**-11)


def test_what_is_packed_comes_back(tmp_path: Path) -> None:
    check(KEPT)
    KEPT.save(tmp_path / "of_a_trial" / "7.npz")
    assert ImageScores.load(tmp_path / "of_a_trial" / "7.npz") == KEPT
    told = json.loads(json.dumps(Result(score=0.5, loss=1.0, image_scores=KEPT).to_json()))
    assert Result.from_json(told) == Result(score=0.5, loss=1.0, image_scores=KEPT)
    with np.load(tmp_path / "of_a_trial" / "7.npz") as arrays:
        assert sorted(arrays) == ["losses", "scores"]
        np.testing.assert_array_equal(arrays["scores"], HITS)


def test_losses_without_bounds_are_large_and_finite() -> None:
    wild = np.array([[np.inf, np.nan, 1e30]])
    assert ImageScores.of(np.zeros((1, 3)), wild).values()[1].tolist() == [[65504.0] * 3]


def test_fold_that_ended_early_keeps_its_last_values() -> None:
    rows = {epoch: np.full((2, 2), epoch, np.float32) for epoch in range(1, 4)}
    first, second = rows, {1: 10 + rows[1], 2: 10 + rows[2]}
    joined = join_folds([first, second], of_loss=False)
    assert joined.values()[0].tolist() == [[1, 1, 11, 11], [2, 2, 12, 12], [3, 3, 12, 12]]
    scores, losses = join_folds([{0: np.array([[0.5, 0.25], [1, 0]])}], of_loss=True).values()
    np.testing.assert_array_equal(scores, losses)


def test_journal_keeps_them_beside_itself(tmp_path: Path) -> None:
    file = tmp_path / "journal.json"
    journal = Journal(file, {})
    journal.add({"07": Result(score=0.5, image_scores=KEPT), "08": Result(score=0.4)})
    assert "packed" not in file.read_text()
    again = Journal(file, {})
    assert again.results == journal.results
    again.renumber(1000)
    assert again.has_image_scores("007")
    assert not again.has_image_scores("008")
    check(again.image_scores("007"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", "three", "text", "flat", "empty"])
def test_damaged_file_is_named(content: Any, tmp_path: Path) -> None:
    file = tmp_path / "3.npz"
    arrays = {
        "three": np.zeros((3, 2, 2), "f2"),
        "text": np.full((1, 2), "yes"),
        "flat": np.zeros(4, "f2"),
        "empty": np.zeros((0, 4), "f2"),
    }
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        np.savez(file, scores=arrays[content], losses=arrays[content])
    with pytest.raises(RunError, match=r"3\.npz is damaged.*remove it"):
        ImageScores.load(file)
    np.savez(file, scores=np.zeros((1, 2), "f2"), losses=np.zeros((2, 2), "f2"))
    with pytest.raises(RunError, match=r"3\.npz is damaged"):
        ImageScores.load(file)


@pytest.mark.parametrize(
    "changes",
    [{"packed": "no base64"}, {"packed": "AAAA"}, {"num_epochs": 0}, {"num_epochs": 7}, {}],
)
def test_message_with_other_scores_is_refused(changes: dict[str, Any]) -> None:
    values = KEPT.to_json() | changes if changes else {"num_epochs": 3}
    with pytest.raises(ValueError, match=r"image_scores|no scores|base64|Only|padding"):
        Result.from_json({"score": 0.5, "image_scores": values})
