"""The pictures of a search, through matplotlib's own objects."""

import json

import cv2
import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection

from pipelines.search.reports.parallel import draw_parallel, log_ticks
from pipelines.search.reports.reporting import (
    PARALLEL_PICTURE,
    SESSIONS,
    SETTINGS_PICTURE,
    reporting,
)
from pipelines.search.reports.settings import draw_settings
from pipelines.storage.search_results import read_results
from tests.support.search_results import draw_search
from zoo.errors import TrainingError

SEARCHES = [draw_search(40), draw_search(60, folds=True, failed=5), draw_search(7)]


def lines_of(figure):
    (collection,) = (c for c in figure.axes[0].collections if isinstance(c, LineCollection))
    return collection


@pytest.mark.parametrize("search", SEARCHES)
def test_parallel_has_a_line_for_each_finished_trial_the_best_last(search):
    trials = read_results(search)
    collection = lines_of(draw_parallel(trials))
    ends = [line[-1, 1] for line in collection.get_segments()]
    assert len(ends) == sum(trial["status"] == "COMPLETED" for trial in search["trials"])
    assert ends == sorted(ends)
    assert collection.get_linewidths()[-1] == max(collection.get_linewidths())


def test_parallel_crosses_each_axis_where_the_value_is():
    trials = read_results(draw_search(50, failed=3))
    segments = lines_of(draw_parallel(trials)).get_segments()
    for place, scale in enumerate(trials.scales):
        crossings = [np.interp(place, line[:, 0], line[:, 1]) for line in segments]
        for trial, height in zip(trials.finished, crossings, strict=True):
            if scale.path not in trial.values:
                assert height < 0
            elif scale.kind == "choice":
                # Within the room of its choice.
                room = len(scale.choices)
                choice = scale.choices.index(trial_words(trial.values[scale.path]))
                assert choice <= height * room <= choice + 1
            else:
                value, low, high = (
                    np.log(v) if scale.kind == "log" else v
                    for v in (trial.values[scale.path], scale.low, scale.high)
                )
                assert height == pytest.approx((value - low) / (high - low), abs=1e-9)


def trial_words(value):
    if isinstance(value, list):
        return str(value[0]) if value else "none"
    return {True: "yes", False: "no"}.get(value, value)


@pytest.mark.parametrize("search", SEARCHES)
def test_settings_has_a_panel_for_each_and_a_point_for_each_trial(search):
    trials = read_results(search)
    panels = [axes for axes in draw_settings(trials).axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in panels] == [s.path for s in trials.scales]
    for axes, scale in zip(panels, trials.scales, strict=True):
        assert axes.get_xscale() == ("log" if scale.kind == "log" else "linear")
        drawn = {}
        for points in axes.collections:
            if isinstance(points, PathCollection):
                drawn.setdefault(points.get_label(), []).extend(points.get_offsets())
        here = [trial for trial in trials.all if scale.path in trial.values]
        finished = [trial for trial in here if trial.finished]
        beyond = drawn.get("beyond the axis", [])
        assert len(drawn.get("trial", [])) + len(beyond) == len(finished)
        assert len(drawn.get("failed", [])) == len(here) - len(finished)
        low, high = axes.get_ylim()
        assert all(low <= y <= high for points in drawn.values() for _, y in points)
        if scale.kind != "choice":
            within = [t for t in finished if t.score in {y for _, y in drawn["trial"]}]
            told = sorted((trial.values[scale.path], trial.score) for trial in within)
            np.testing.assert_allclose(sorted(map(tuple, drawn["trial"])), told)


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED"])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_reports_are_written_of_few_trials_and_of_failed_ones(tmp_path, status, count):
    score = 0.5 if status == "COMPLETED" else None
    trials = [
        {"id": str(i), "status": status, "score": score, "hyperparameters": {"head.dropout": i}}
        for i in range(count)
    ]
    search = {"trials": trials}
    (tmp_path / "search.json").write_text(json.dumps(search))
    with reporting(tmp_path, search):
        pass
    for name in (PARALLEL_PICTURE, SETTINGS_PICTURE):
        assert cv2.imread(str(tmp_path / name)).std() > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [PARALLEL_PICTURE, SETTINGS_PICTURE, SESSIONS.parts[0], "search.json"]
    )


def test_search_that_cannot_be_drawn_is_an_error_once_the_block_is_done(tmp_path):
    done = []
    with (
        pytest.raises(TrainingError, match=r"could not be drawn; received FileNotFoundError"),
        reporting(tmp_path, {"trials": []}),
    ):
        done.append(1)
    assert done


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1e-5, 1e-2, [1e-5, 1e-4, 1e-3, 1e-2]),
        (0.003, 0.04, [0.005, 0.01, 0.02]),
        (3.0, 4.0, [3.0, 4.0]),
    ],
)
def test_log_ticks_are_round(low, high, ticks):
    np.testing.assert_allclose(log_ticks(low, high), ticks)
