"""Label errors on features that separate the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pipelines.inspection import label_errors
from pipelines.inspection.label_errors import NUM_FOLDS, judge_labels
from tuning.linear_heads.strengths import STRENGTHS


def _features(sizes: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centers = rng.normal(size=(len(sizes), 16))
    rows = 2 * centers[labels] + rng.normal(size=(len(labels), 16))
    return rows.astype(np.float32), labels


def test_flipped_labels_are_found_with_their_classes() -> None:
    rows, true = _features((40, 40, 40))
    labels = true.copy()
    labels[[3, 50, 99]] = (true[[3, 50, 99]] + 1) % 3
    judged = judge_labels(rows, labels, np.arange(120), 3, seed=0)
    assert judged.too_small == ()
    assert judged.doubted is not None
    found = judged.doubted
    assert sorted(found.images[:3].tolist()) == [3, 50, 99]
    np.testing.assert_array_equal(found.suggested[:3], true[found.images[:3]])
    assert 2 <= found.num_errors <= 3
    assert np.all(np.diff(found.scores) >= 0)


def test_near_duplicates_with_the_same_wrong_label_do_not_confirm_each_other() -> None:
    rows, true = _features((40, 40))
    labels = true.copy()
    wrong = [0, 1, 2, 3, 4, 5, 6]
    rows[wrong], labels[wrong] = rows[0], 1 - true[0]
    groups = np.arange(80)
    groups[wrong] = 0
    judged = judge_labels(rows, labels, groups, 2, seed=0)
    assert judged.doubted is not None
    assert set(wrong) <= set(judged.doubted.images[: judged.doubted.num_errors].tolist())


def test_classes_of_few_different_images_are_not_judged() -> None:
    rows, labels = _features((30, 4, 30, 6))
    groups = np.arange(70)
    # Six images, four of them different.
    groups[np.flatnonzero(labels == 3)[:3]] = 1000
    judged = judge_labels(rows, labels, groups, 4, seed=0)
    assert judged.too_small == (1, 3)
    assert judged.doubted is not None
    assert not np.isin(labels[judged.doubted.images], [1, 3]).any()
    assert not np.isin(judged.doubted.suggested, [1, 3]).any()


def test_of_many_images_the_strength_is_sought_on_some(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, true = _features((200, 200, 200))
    labels = true.copy()
    wrong = np.arange(0, 600, 40)
    labels[wrong] = (true[wrong] + 1) % 3
    tried: list[tuple[int, int]] = []
    predict = label_errors.predict_out_of_fold

    def spy(rows: np.ndarray, *args: Any, strengths: Sequence[float] = STRENGTHS) -> Any:
        tried.append((len(rows), len(strengths)))
        return predict(rows, *args, strengths=strengths)

    monkeypatch.setattr(label_errors, "predict_out_of_fold", spy)
    whole = judge_labels(rows, labels, np.arange(600), 3, seed=0).doubted
    monkeypatch.setattr(label_errors, "_MANY", 150)
    quick = judge_labels(rows, labels, np.arange(600), 3, seed=0).doubted
    assert tried == [(600, len(STRENGTHS)), (150, len(STRENGTHS)), (600, 3)]
    assert whole is not None
    assert quick is not None
    count = len(wrong)
    assert set(whole.images[:count]) == set(quick.images[:count]) == set(wrong)
    assert abs(whole.num_errors - quick.num_errors) <= 1


def test_class_that_a_part_lacks_is_judged_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = _features((100, 100, 6))
    monkeypatch.setattr(label_errors, "_MANY", 40)
    judged = judge_labels(rows, labels, np.arange(206), 3, seed=0)
    assert judged.too_small == ()
    assert judged.doubted is not None


def test_one_class_is_not_judged() -> None:
    rows, labels = _features((30, NUM_FOLDS - 1))
    judged = judge_labels(rows, labels, np.arange(34), 2, seed=0)
    assert (judged.doubted, judged.too_small) == (None, (1,))
