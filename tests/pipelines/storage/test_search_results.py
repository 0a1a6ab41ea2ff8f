"""SearchResults: the scale of a setting, from the values alone."""

import math

import numpy as np
import pytest

from pipelines.storage.search_results import format_value, jitter, read_results
from tests.support.search_results import draw_search


def one_setting(values, **told):
    trials = [
        {"id": str(i), "status": "COMPLETED", "score": i / 10, "hyperparameters": {"a.b": value}}
        for i, value in enumerate(values)
    ]
    (scale,) = read_results({"trials": trials, **told}).scales
    return scale


@pytest.mark.parametrize("count", [12, 40, 300])
def test_scales_of_the_default_space_are_told_by_its_values(count):
    kinds = {scale.path: scale.kind for scale in read_results(draw_search(count)).scales}
    assert kinds == {
        "head.input_dropout": "linear",
        "head.hidden": "choice",
        "head.activation": "choice",
        "head.batch_norm": "choice",
        "head.dropout": "linear",
        "optimizer.name": "choice",
        "optimizer.learning_rate": "log",
        "schedule.name": "choice",
        "penalty.name": "choice",
        "penalty.l1": "log",
        "penalty.l2": "log",
    }


def test_scale_is_the_one_the_space_tells():
    values = [1.0, 2.0, 4.0, 8.0]
    for log, kind in ((True, "log"), (False, "linear")):
        assert one_setting(values, space={"a.b": {"log": log}}).kind == kind


@pytest.mark.parametrize("kind", ["linear", "log"])
def test_share_rises_with_the_value_from_end_to_end(kind):
    values = [1e-4, 3e-4, 1e-2, 0.5]
    scale = one_setting(values, space={"a.b": {"log": kind == "log"}})
    shares = [scale.share(scale.position(value)) for value in values]
    transform = np.log if kind == "log" else np.asarray
    moved = transform(values)
    np.testing.assert_allclose(shares, (moved - moved[0]) / (moved[-1] - moved[0]), atol=1e-12)


def test_choices_are_sorted_by_size_then_word_with_none_first():
    assert one_setting([[256], [], [64], [256]]).choices == ("none", "64", "256")
    assert one_setting(["sgd", "none", "adam"]).choices == ("none", "adam", "sgd")
    assert one_setting([True, False, True]).choices == ("no", "yes")
    assert one_setting([32, 8, 16, 8, 32, 16]).choices == ("8", "16", "32")


def test_settings_that_never_change_are_left_out():
    trials = read_results(
        {
            "trials": [
                {"id": "0", "status": "COMPLETED", "score": 1, "hyperparameters": {"a": 1, "b": 2}},
                {"id": "1", "status": "COMPLETED", "score": 1, "hyperparameters": {"a": 1, "b": 3}},
            ]
        }
    )
    assert [scale.path for scale in trials.scales] == ["b"]


def test_score_range_leaves_out_the_diverged_and_never_the_best():
    scores = [*np.linspace(0.90, 0.92, 40), 0.10, 0.99]
    trials = [
        {"id": str(i), "status": "COMPLETED", "score": s, "hyperparameters": {}}
        for i, s in enumerate(scores)
    ]
    low, high = read_results({"trials": trials}).score_range()
    assert 0.85 < low < 0.90
    assert high > 0.99
    # Of a loss the least is the best.
    search = {"trials": trials, "objective": {"name": "val_loss", "direction": "min"}}
    assert read_results(search).score_range()[0] < 0.10
    assert "best val_loss 0.1000" in read_results(search).title


def test_title_counts_and_names_the_best():
    search = draw_search(30, failed=2)
    trials = read_results(search)
    best = search["best"]
    assert len(trials.failed) == 2
    assert trials.title == (
        f"30 trials, 2 failed; best score {best['score']:.4f}, trial {best['id']}"
    )


def test_spread_is_even_for_any_count():
    for count in (1, 2, 7, 60):
        places = np.sort(jitter(count))
        assert np.all(np.abs(places) <= 0.5)
        gaps = np.diff(np.concatenate([[places[-1] - 1], places]))
        # Three gap theorem (Steinhaus): none is more than the golden ratio squared of another.
        assert gaps.max() / gaps.min() < 1 + (1 + math.sqrt(5)) / 2 + 1e-6


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.00123456, "0.001235"),
        ([], "none"),
        ([256, 128], "256, 128"),
        (True, "yes"),
        ("relu", "relu"),
        ({"name": "l1", "l1": 1e-5}, "name l1, l1 1e-05"),
    ],
)
def test_in_words(value, words):
    assert format_value(value) == words


def test_best_of_equal_scores_is_the_one_of_the_least_loss_then_the_first():
    losses = [0.5, 0.3, 0.3, None]
    trials = [
        {"id": str(i), "status": "COMPLETED", "score": 0.9, "loss": loss, "hyperparameters": {}}
        for i, loss in enumerate(losses)
    ]
    finished = read_results({"trials": trials}).finished
    assert [trial.id for trial in finished] == ["3", "0", "2", "1"]
