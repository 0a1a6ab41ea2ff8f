"""Ranking: the order, which differences are real, and which variant to take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.evaluation.classification import wilson_interval
from pipelines.inspection.probe import ProbeScore
from pipelines.inspection.ranking import Ranking, Variant, rank_variants
from pipelines.inspection.ranking_picture import draw_ranking

COUNT = 200

BIG = Variant("big.imagenet", 0, 1, 224, 900, 9, 36.0, "MIT", "keras", 10.0)
SMALL = replace(BIG, backbone="small.imagenet", multiply_adds=300, images_per_s=30.0)
CUT = replace(SMALL, truncate_blocks=2, multiply_adds=250, images_per_s=36.0)


def _score(wrong: range, loss: float = 0.1) -> ProbeScore:
    """Returns a score with some images wrong, each of which costs as much as ten right ones."""
    hits = ~np.isin(np.arange(COUNT), wrong)
    return ProbeScore(0.1, np.where(hits, loss, 10 * loss).astype(np.float32), hits)


def _ranking(*scored: tuple[Variant, ProbeScore]) -> Ranking:
    return Ranking("photos/", COUNT, 2, 5, rank_variants(scored))


def test_rows_go_by_accuracy_then_log_loss_then_cost() -> None:
    good, bad = _score(range(5)), _score(range(30))
    tied = _ranking((BIG, good), (SMALL, good), (CUT, bad))
    assert [row.variant for row in tied.rows] == [SMALL, BIG, CUT]
    better = _ranking((SMALL, good), (BIG, _score(range(5), loss=0.05)))
    assert [row.variant for row in better.rows] == [BIG, SMALL]
    row = tied.rows[0]
    assert row.accuracy == 0.975
    assert row.accuracy_interval == tuple(wilson_interval(195, COUNT))
    assert row.log_loss == pytest.approx(0.1 * 0.975 + 1.0 * 0.025)


def test_cheapest_of_those_that_are_not_really_worse_is_taken() -> None:
    # Of 13 images that only one of both gets right, each gets about as many.
    first, close, far = _score(range(6)), _score(range(4, 11)), _score(range(60))
    ranking = _ranking((BIG, first), (SMALL, close), (CUT, far))
    assert [row.worse_in for row in ranking.rows] == [(), (), ("accuracy", "log_loss")]
    assert ranking.take.variant is SMALL
    assert ranking.reason.startswith("no real difference from the first, big.imagenet (accuracy 0")
    assert "33% of its multiply-adds" in ranking.reason
    without = _ranking((BIG, first), (CUT, far))
    assert without.take.variant is BIG
    assert without.reason == "it is the most accurate, and each cheaper one is measurably worse"


def test_equal_hits_with_a_worse_log_loss_are_really_worse() -> None:
    ranking = _ranking((BIG, _score(range(6))), (SMALL, _score(range(6), loss=0.2)))
    assert ranking.rows[1].worse_in == ("log_loss",)
    assert ranking.rows[1].p_value == 1
    assert ranking.rows[1].log_loss_interval[0] > 0
    assert ranking.take.variant is BIG


def test_tiny_differences_in_log_loss_do_not_count() -> None:
    right = range(0)
    scored = [(BIG, _score(right, loss=0.001)), (SMALL, _score(right, loss=0.009))]
    ranking = _ranking(*scored)
    assert ranking.rows[1].log_loss_interval[0] > 0
    assert ranking.rows[1].worse_in == ()
    assert ranking.take.variant is SMALL


def test_measured_speed_changes_nothing_but_its_column() -> None:
    scores = [(BIG, _score(range(6))), (SMALL, _score(range(4, 11))), (CUT, _score(range(60)))]
    slowed = [(replace(v, images_per_s=1 / v.images_per_s), score) for v, score in scores]
    first, again = _ranking(*scores).to_json(), _ranking(*slowed).to_json()
    for row in (*first["ranking"], *again["ranking"]):
        del row["images_per_s"]
    assert first == again


def test_options_are_those_of_train() -> None:
    assert BIG.options == "--backbone big.imagenet"
    assert CUT.options == "--backbone small.imagenet --set backbone.truncate_blocks=2"
    assert CUT.label == "small.imagenet -2"


def test_picture_draws_many_variants_with_literal_names(tmp_path: Path) -> None:
    scored = [
        (
            replace(BIG, backbone=f"runs/$x_{n}$/pretrained.npz", truncate_blocks=cut,
                    images_per_s=10.0 + n + cut),
            _score(range(n + cut)),
        )
        for n in range(12)
        for cut in range(3)
    ]  # fmt: skip
    file = tmp_path / "ranking.png"
    draw_ranking(_ranking(*scored), file)
    with Image.open(file) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert picture.width > picture.height > 500
    draw_ranking(_ranking(scored[0]), file)
