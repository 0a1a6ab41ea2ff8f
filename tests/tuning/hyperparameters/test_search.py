"""Hyperparameter search: the same trials whoever trains them, in any order, resumed or not."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuning.hyperparameters.oracles import TUNERS, BatchedOracle
from tuning.hyperparameters.search import Journal, Search, compute_fingerprint
from tuning.hyperparameters.space import SearchSpace
from tuning.hyperparameters.trial import Result, Trial, best_first
from zoo.errors import RunError, UnknownNameError

SETTINGS = {
    "x": {"min": 0.0, "max": 1.0},
    "kind": ["a", "b"],
    "y": {"min": 1e-3, "max": 1.0, "log": True, "when": {"kind": ["b"]}},
    "sizes": [[], [1, 2]],
}
SPACE = SearchSpace.from_settings(SETTINGS, list(SETTINGS), lambda values: None)
EPOCHS = 9


def oracle_of(tuner: str, trials: int, space: SearchSpace = SPACE, seed: int = 0) -> BatchedOracle:
    return BatchedOracle(
        tuner,
        space,
        objective="val_accuracy",
        maximize=True,
        num_trials=trials,
        epochs=EPOCHS,
        seed=seed,
    )


def train(trial: Trial) -> Result:
    """Scores a trial on a smooth hill; one trial in eight fails."""
    if hashlib.sha256(trial.id.encode()).digest()[0] < 32:
        return Result(failure="the loss is no longer a number")
    x, y = trial.values["x"], trial.values.get("y", 0.5)
    value = 1 - (x - 0.7) ** 2 - 0.1 * abs(math.log10(y)) + 0.01 * trial.epochs
    return Result(value, None, 1 - value, trial.epochs or EPOCHS, 1)


def run_search(
    tuner: str,
    trials: int,
    file: Path,
    *,
    pace: Callable[[int], int] = lambda num_trials: num_trials,
    stop_after: int = 10**6,
    space: SearchSpace = SPACE,
) -> list[tuple[Trial, Result]]:
    """Runs a search, asking for `pace` trials at a time and telling them in reverse order."""
    search = Search(
        oracle_of(tuner, trials, space), Journal(file, {"all": ""}), trials, lambda: 0.0
    )
    num_told = 0
    while batch := search.ask(pace(trials)):
        for trial in reversed(batch):
            if num_told == stop_after:
                return []
            search.tell({trial.id: train(trial)})
            num_told += 1
    assert search.finished
    assert search.remaining == 0
    return search.completed


@pytest.mark.train
@pytest.mark.parametrize("tuner", TUNERS)
def test_search_is_independent_of_pace_and_interruptions(tuner: str, tmp_path: Path) -> None:
    trials = 14 if tuner == "bayesian" else 40  # half a second a trial
    undisturbed = run_search(tuner, trials, tmp_path / "one.json")
    assert [trial.id for trial, _ in undisturbed] == [f"{i:02d}" for i in range(trials)]
    assert run_search(tuner, trials, tmp_path / "two.json", pace=lambda _: 3) == undisturbed
    rng, file = np.random.default_rng(1), tmp_path / "three.json"
    for _ in range(4):
        assert run_search(tuner, trials, file, stop_after=int(rng.integers(1, 5))) == []
    before = len(json.loads(file.read_text())["results"])
    assert 4 <= before < trials
    assert run_search(tuner, trials, file) == undisturbed
    results = [
        json.loads((tmp_path / f).read_text())["results"] for f in ("one.json", "three.json")
    ]
    assert results[0] == results[1]


def test_resumed_search_repeats_no_completed_trial(tmp_path: Path) -> None:
    file = tmp_path / "journal.json"
    run_search("random", 12, file, stop_after=5)
    done = set(Journal(file, {"all": ""}).results)
    search = Search(oracle_of("random", 12), Journal(file, {"all": ""}), 12, lambda: 0.0)
    assert len(done) == 5
    assert {trial.id for trial in search.ask(100)} == {f"{i:02d}" for i in range(12)} - done


def test_seed_determines_the_trials() -> None:
    first, again, other = (
        [trial.values for trial in oracle_of("random", 8, seed=seed).ask()] for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


@pytest.mark.slow
def test_bayesian_search_trains_no_setting_twice(tmp_path: Path) -> None:
    choices = {"kind": ["a", "b", "c"], "sizes": [[], [1], [2], [3], [1, 2], [2, 3]]}
    space = SearchSpace.from_settings(choices, list(choices), lambda values: None)
    oracle = oracle_of("bayesian", 18, space)
    trials: list[Trial] = []
    while batch := oracle.ask():
        trials += batch
        oracle.tell({t.id: Result(score=float("abc".index(t.values["kind"]))) for t in batch})
    settings = {json.dumps(trial.values, sort_keys=True) for trial in trials}
    assert len(trials) == len(settings) == 18


@pytest.mark.slow
def test_bayesian_search_approaches_the_best_value(tmp_path: Path) -> None:
    completed = run_search("bayesian", 36, tmp_path / "journal.json")
    far = [abs(trial.values["x"] - 0.7) for trial, _ in completed]
    assert np.mean(far[-12:]) < 0.6 * np.mean(far[:12])


def test_hyperband_promotes_the_better_third_to_three_times_the_epochs(tmp_path: Path) -> None:
    search = Search(
        oracle_of("hyperband", 30), Journal(tmp_path / "journal.json", {}), 30, lambda: 0.0
    )
    while trials := search.ask(30):
        # The further right, the better, and the longer the better.
        search.tell({t.id: Result(t.values["x"] + t.epochs, None, 0.0) for t in trials})
    # The first bracket: nine trials of one epoch, three of three and one of all nine.
    trials = [trial for trial, _ in search.completed]
    first = sorted(trials[:9], key=lambda trial: -trial.values["x"])
    assert {trial.epochs for trial in first} == {1}
    first_values = values_of(first)
    for epochs, count in ((3, 3), (0, 1)):
        promoted = [t.values for t in trials if t.epochs == epochs and t.values in first_values]
        assert promoted == values_of(first[:count])
    # Each promotion names the trial that it continues.
    by_id = {trial.id: trial for trial in trials}
    continued = [trial for trial in trials if trial.promoted_from]
    assert {trial.epochs for trial in continued} == {3, 0}
    for trial in continued:
        before = by_id[trial.promoted_from]
        assert (before.values, before.epochs) == (trial.values, trial.trained_epochs)
    assert all(not trial.promoted_from for trial in trials[:9])


def values_of(trials: list[Trial]) -> list[Any]:
    return [trial.values for trial in trials]


def test_grid_search_visits_every_combination_once(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "kind": ["a", "b"],
        "sizes": {"choice": [[], [1], [2, 3]], "when": {"kind": ["b"]}},
        "x": {"min": 0, "max": 2},
    }
    space = SearchSpace.from_settings(settings, list(settings), lambda values: None)
    oracle, found = oracle_of("grid", 100, space), []
    while batch := oracle.ask():
        found += [trial.values for trial in batch]
        oracle.tell({trial.id: Result(0.5, None, 0.5) for trial in batch})
    expected = [{"kind": "a", "x": x} for x in range(3)]
    expected += [{"kind": "b", "sizes": s, "x": x} for s in ([], [1], [2, 3]) for x in range(3)]
    assert len(found) == len(expected)
    assert all(values in found for values in expected)


def test_search_ends_when_the_space_is_exhausted(tmp_path: Path) -> None:
    settings = {"kind": ["a", "b", "c"]}
    space = SearchSpace.from_settings(settings, list(settings), lambda values: None)
    search = Search(
        oracle_of("random", 50, space),
        Journal(tmp_path / "journal.json", {}),
        50,
        lambda: 0.0,
    )
    trials = search.ask(50)
    assert sorted(trial.values["kind"] for trial in trials) == ["a", "b", "c"]
    search.tell({trial.id: Result(0.5, None, 0.5) for trial in trials})
    assert search.finished


@pytest.mark.parametrize("tuner", TUNERS)
def test_search_continues_when_every_trial_fails(tuner: str, tmp_path: Path) -> None:
    search = Search(oracle_of(tuner, 9), Journal(tmp_path / "journal.json", {}), 9, lambda: 0.0)
    while trials := search.ask(9):
        search.tell({trial.id: Result(failure="diverged") for trial in trials})
    assert len(search.completed) == 9
    assert best_first(search.completed, maximize=True) == []


def test_trials_are_ranked_by_score_then_loss_then_order() -> None:
    scores = [(0.5, 0.1), (0.9, 0.4), (0.9, 0.3), (None, None), (0.9, 0.3)]
    done = [(Trial(str(i), {}), Result(s, None, loss)) for i, (s, loss) in enumerate(scores)]
    assert [trial.id for trial, _ in best_first(done, maximize=True)] == ["2", "4", "1", "0"]
    assert [trial.id for trial, _ in best_first(done, maximize=False)] == ["0", "2", "4", "1"]


def test_journal_of_another_search_raises_and_names_the_difference(tmp_path: Path) -> None:
    file = tmp_path / "journal.json"
    Journal(file, {"the images": "a", "the space": "b"}).add({"0": Result(0.5)})
    with pytest.raises(RunError, match="belongs to another search: the space changed since"):
        Journal(file, {"the images": "a", "the space": "c"})
    with pytest.raises(RunError, match="the images and the space changed"):
        Journal(file, {"the images": "x", "the space": "c"})
    assert Journal(file, {"the images": "a", "the space": "b"}).results == {"0": Result(0.5)}


_OF_RESULTS = '{"fingerprint": {}, "search_s": 1, "results": %s}'


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"results": {"0": {"point": 1}}}'),
        _OF_RESULTS % '{"0": {"score": "high"}}',
        _OF_RESULTS % '{"0": {"epochs": []}}',
        _OF_RESULTS % '{"0": {"score": 0.5, "score_std": -1}}',
        _OF_RESULTS % '{"0": {"score": 0.5, "score_std": NaN}}',
        _OF_RESULTS % '{"0": {"score": 1e999}}',
        _OF_RESULTS % '{"first": {"score": 0.5}}',
        _OF_RESULTS % "[3]",
    ],
)
def test_damaged_journal_raises(text: str, tmp_path: Path) -> None:
    file = tmp_path / "journal.json"
    file.write_text(text)
    with pytest.raises(RunError, match="is damaged"):
        Journal(file, {})


def test_oracle_writes_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    oracle = oracle_of("hyperband", 4)
    oracle.tell({trial.id: train(trial) for trial in oracle.ask()})
    assert list(tmp_path.iterdir()) == []


def test_ask_before_tell_raises() -> None:
    oracle = oracle_of("random", 4)
    oracle.ask()
    with pytest.raises(ValueError, match="no results yet"):
        oracle.ask()


def test_unknown_tuner_raises_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'random'"):
        oracle_of("randon", 4)


def test_fingerprint_ignores_the_order_of_keys() -> None:
    assert compute_fingerprint({"a": 1, "b": [2]}) == compute_fingerprint({"b": [2], "a": 1})
    assert compute_fingerprint({"a": 1}) != compute_fingerprint({"a": 2})
