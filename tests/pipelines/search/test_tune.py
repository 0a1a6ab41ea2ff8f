"""Tune: the best trial is the one that `zoo train` repeats, whatever happened on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.cli.main import run_command
from pipelines.evaluation.evaluate import evaluate
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.devices import prepare_devices
from pipelines.search.job import SearchJob
from pipelines.search.plan import SearchPlan
from pipelines.search.trial_trainer import TrialTrainer, divide_into_folds
from pipelines.search.tune import tune
from pipelines.serving.run import Run
from pipelines.sources.opening.dataset import open_source
from pipelines.training.train import train
from tests.support.tiny import TINY, write_images
from tuning.hyperparameters.trial import Result, Trial
from zoo.errors import InputError, RecipeError, RunError, TrainingError

pytestmark = pytest.mark.train

SPACE: dict[str, Any] = {
    "head.hidden": [[], [8]],
    "head.dropout": {"min": 0.0, "max": 0.6, "when": {"head.hidden": [[8]]}},
    "optimizer.name": ["nesterov", "adam"],
    "optimizer.learning_rate": {"min": 1e-3, "max": 0.3, "log": True},
    "penalty.name": ["none", "l2"],
    "penalty.l2": {"min": 1e-4, "max": 0.1, "log": True, "when": {"penalty.name": ["l2"]}},
}


def recipe_of(**layer: Any) -> Recipe:
    return Recipe.from_settings(TINY, {"features": {"engine": "keras", "views": 1}}, layer)


def linear_recipe(**layer: Any) -> Recipe:
    """A linear head on features of plain images, which trains fastest."""
    plain = {"augment": {"policy": "none"}, "features": {"engine": "keras", "views": 0}}
    head = {"head": {"hidden": []}, "optimizer": {"name": "nesterov"}}
    return Recipe.from_settings(TINY, plain, head, layer)


@pytest.fixture(scope="module")
def searched(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("searches") / "run"
    return tune(tiny_folder, recipe_of(), out=out, trials=8, epochs=2, space=SPACE)


def test_search_is_told_as_the_design_has_it(searched: Run) -> None:
    search = searched.search
    assert [trial["id"] for trial in search["trials"]] == [str(i) for i in range(8)]
    for trial in search["trials"]:
        assert trial["status"] == "COMPLETED"
        assert 0 <= trial["score"] <= 1
        assert trial["score_std"] is None
        assert trial["epochs"] == 2
        values = trial["hyperparameters"]
        assert ("penalty.l2" in values) == (values["penalty.name"] == "l2")
        assert ("head.dropout" in values) == (values["head.hidden"] == [8])
    assert search["best"]["score"] == max(trial["score"] for trial in search["trials"])
    assert search["best"] in search["trials"]
    timing = search["timing"]
    assert timing["wall_s"] > timing["search_s"] > 0
    assert timing["extract_s"] > 0
    assert search["space"]["optimizer.learning_rate"]["log"]
    for name in ("parallel_coordinates.png", "settings.png"):
        assert (searched.path / name).stat().st_size > 10_000
    assert (searched.path / "logs" / "search").is_dir()


def test_what_images_scored_is_kept_and_corrects_the_best_score(searched: Run) -> None:
    search, num_images = searched.search, searched.metrics["val"]["num_images"]
    for trial in search["trials"]:
        with np.load(searched.path / "search" / "image_scores" / f"{trial['id']}.npz") as kept:
            assert kept["scores"].shape == (2, num_images)
            best = trial["best_epoch"] - 1
            assert kept["scores"][best].mean() == pytest.approx(trial["score"])
            losses = kept["losses"][best].astype(np.float64)
            assert losses.mean() == pytest.approx(trial["loss"], rel=1e-3)
    corrected = search["corrected"]
    assert (corrected["images"], corrected["trials"]) == (num_images, 8)
    low, high = corrected["interval"]
    assert low <= corrected["score"] <= high
    assert corrected["score"] <= search["best"]["score"] + 0.02


def test_best_trial_is_what_train_makes_of_its_recipe(searched: Run, tmp_path: Path) -> None:
    best = searched.search["best"]
    recipe = searched.recipe
    assert list(recipe.head.hidden) == best["hyperparameters"]["head.hidden"]
    rate = best["hyperparameters"]["optimizer.learning_rate"]
    assert recipe.optimizer.learning_rate == pytest.approx(rate)
    assert recipe.train.epochs == 2
    assert searched.metrics["val"]["accuracy"] == pytest.approx(best["score"])
    assert searched.metrics["val"]["loss"] == pytest.approx(best["loss"], rel=1e-3, abs=1e-6)
    again = train(None, Recipe.from_toml(searched.recipe_file), out=tmp_path / "again")
    pairs = zip(searched.load_model().get_weights(), again.load_model().get_weights(), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)


def test_run_of_a_search_is_a_run_like_any_other(searched: Run, tiny_folder: Path) -> None:
    measured = evaluate(searched.path, str(tiny_folder), split="val")
    assert measured["val"]["accuracy"] == pytest.approx(searched.metrics["val"]["accuracy"])
    image = next(tiny_folder.rglob("*.jpg"))
    assert searched.predict([image])[0].error == ""


def test_finished_search_is_left_as_it_is(
    searched: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = searched.search
    assert tune(None, out=searched.path, resume=True).search == before
    assert "finished already" in capsys.readouterr().err


def test_what_names_no_cluster_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--cluster names no cluster; expected local, local:N"):
        tune("no such folder", out=tmp_path / "run", cluster="remote")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tuner": "grid", "trials": 9}, "the tuner changed"),
        ({"epochs": 3}, "the recipe changed"),
        ({"space": {"head.hidden": [[], [8]]}}, "the space changed"),
        ({"space": {"head.dropout": {"min": 0.0, "max": 0.5}}, "folds": 2}, "space and the tuner"),
    ],
)
def test_search_is_not_gone_on_with_as_another(
    changes: dict[str, Any], message: str, searched: Run
) -> None:
    with pytest.raises(RunError, match=f"belongs to another search.*{message}"):
        tune(None, out=searched.path, resume=True, **changes)


def test_search_is_not_gone_on_with_on_other_images(searched: Run, tmp_path: Path) -> None:
    other = write_images(tmp_path / "other", 5, seed=9)
    with pytest.raises(RunError, match="belongs to another search: the images changed"):
        tune(other, out=searched.path, resume=True)


def test_taken_directory_is_refused(searched: Run, tiny_run: Run) -> None:
    with pytest.raises(RunError, match=r"already holds a search.*--resume"):
        tune(None, recipe_of(), out=searched.path)
    with pytest.raises(RunError, match="holds no search"):
        tune(None, recipe_of(), out=tiny_run.path, resume=True)


def test_failed_trials_are_named_and_never_win(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = {"hidden": [64] * 3, "batch_norm": False, "activation": "relu"}
    recipe = recipe_of(head=deep, optimizer={"name": "sgd"})
    space: dict[str, Any] = {
        "optimizer.name": ["sgd", "lion"],
        "penalty.name": ["l1", "none"],
        "optimizer.learning_rate": {"choice": [1e-6, 10.0], "when": {"optimizer.name": ["sgd"]}},
    }
    out = tmp_path / "run"
    run = tune(tiny_folder, recipe, out=out, trials=9, epochs=2, space=space, tuner="grid")
    trials = run.search["trials"]
    assert len(trials) == 6
    said = capsys.readouterr().err
    failed = [trial for trial in trials if trial["status"] == "FAILED"]
    for trial in failed:
        assert trial["score"] is None
        assert f"trial {trial['id']} failed" in said
    reasons = {
        (values["optimizer.name"], values["penalty.name"], values.get("optimizer.learning_rate")): (
            trial["failure"]
        )
        for trial in failed
        for values in [trial["hyperparameters"]]
    }
    contradiction = reasons.pop(("lion", "l1", None))
    assert "an L1 penalty could hold no weight at 0" in contradiction
    assert set(reasons) == {("sgd", "l1", 10.0), ("sgd", "none", 10.0)}
    assert all("loss is not finite" in reason for reason in reasons.values())
    assert run.search["best"]["status"] == "COMPLETED"
    with pytest.raises(TrainingError, match=r"all 1 trials failed.*loss is not finite"):
        tune(
            tiny_folder,
            recipe,
            out=tmp_path / "all",
            trials=3,
            epochs=2,
            space={"optimizer.learning_rate": [10.0]},
        )


def test_trial_has_its_engine_and_trains_alone_where_its_head_cannot_stack(
    tiny_folder: Path, tmp_path: Path
) -> None:
    recipe = linear_recipe()
    space = {"optimizer.name": ["adafactor"], "features.engine": ["onnxruntime"]}
    run = tune(tiny_folder, recipe, out=tmp_path / "run", trials=1, epochs=2, space=space)
    assert recipe.features.engine != "onnxruntime", "whose features were computed first"
    assert run.recipe.features.engine == "onnxruntime"
    assert run.metrics["val"]["accuracy"] == pytest.approx(run.search["best"]["score"])
    assert run.metrics["val"]["loss"] == pytest.approx(run.search["best"]["loss"], rel=1e-4)
    assert not (run.path / "search" / "trials").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "space",
    [
        {"features.views": [0, 2], "input.batch_size": [8, 12]},
        {"augment.policy": ["none", "photo"], "head.pooling": ["avg", "concatenated"]},
        {"backbone.frozen": [True, False], "train.class_weights": ["none", "balanced"]},
        {"input.size": [32, 48], "optimizer.name": ["gradient_descent", "adam"]},
    ],
    ids=lambda space: " ".join(space),
)
def test_any_setting_can_be_searched_and_is_retrained_the_same(
    space: dict[str, Any], tiny_folder: Path, tmp_path: Path
) -> None:
    run = tune(
        tiny_folder,
        recipe_of(),
        out=tmp_path / "run",
        trials=4,
        epochs=2,
        space=space,
        tuner="grid",
    )
    assert [trial["status"] for trial in run.search["trials"]] == ["COMPLETED"] * 4
    assert run.metrics["val"]["accuracy"] == pytest.approx(run.search["best"]["score"])
    assert run.metrics["val"]["loss"] == pytest.approx(
        run.search["best"]["loss"], rel=2e-3, abs=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize("tuner", ["bayesian", "hyperband", "grid"])
def test_every_tuner_searches(tuner: str, tiny_folder: Path, tmp_path: Path) -> None:
    run = tune(
        tiny_folder,
        recipe_of(),
        out=tmp_path / "run",
        trials=10,
        epochs=4,
        space=SPACE,
        tuner=tuner,
    )
    trials = run.search["trials"]
    assert len(trials) == 10
    assert run.search["best"]["score"] == max(trial["score"] for trial in trials)
    if tuner == "hyperband":
        assert {trial["epochs"] for trial in trials} == {2, 4}


def test_trial_stopped_early_is_the_start_of_the_whole_one(
    tiny_folder: Path, tmp_path: Path
) -> None:
    recipe = linear_recipe(
        schedule={"name": "cosine"}, train={"epochs": 4}, stopping={"patience": 0}
    )
    trials = [
        Trial(f"{name}{epochs}", {"optimizer.name": name}, epochs)
        for name in ("adam", "lamb")
        for epochs in (0, 2)
    ]
    results = _train(trials, recipe, tiny_folder, tmp_path, folds=0)
    for name in ("adam", "lamb"):
        assert results[f"{name}0"].epochs == 4
        assert results[f"{name}2"].epochs == 2
        assert results[f"{name}2"].loss != results[f"{name}0"].loss


def test_fold_scores_are_those_of_the_folds_alone(tiny_folder: Path, tmp_path: Path) -> None:
    recipe = linear_recipe(train={"epochs": 1})  # the best of all folds together is that of each
    trials = [Trial(name, {"optimizer.name": name}) for name in ("adam", "adafactor")]
    together = _train(trials, recipe, tiny_folder, tmp_path, folds=2)
    source = open_source(str(tiny_folder), recipe.data, seed=0)
    devices = prepare_devices(recipe.device, on_images=False)
    alone = []
    for fold in divide_into_folds(source, 2, recipe.seed):
        assert len(fold.train) + len(fold.val) == 36
        trainer = TrialTrainer(
            recipe, ["optimizer.name"], fold, devices, folds=0, scratch=tmp_path / "alone"
        )
        found: dict[str, Result] = {}
        for some in trainer(trials):
            found |= some
        alone.append(found)
    for trial in trials:
        scores = [found[trial.id].score or 0.0 for found in alone]
        assert together[trial.id].score == pytest.approx(np.mean(scores))
        assert together[trial.id].score_std == pytest.approx(np.std(scores))
        parts = [found[trial.id].image_scores for found in alone]
        joined = np.concatenate([part.values() for part in parts if part], axis=2)
        of_images = together[trial.id].image_scores
        assert of_images is not None
        np.testing.assert_array_equal(of_images.values()[0], joined[0])
        np.testing.assert_allclose(of_images.values()[1], joined[1], rtol=2e-3)


def _train(
    trials: list[Trial], recipe: Recipe, folder: Path, scratch: Path, *, folds: int
) -> dict[str, Result]:
    source = open_source(str(folder), recipe.data, seed=0)
    devices = prepare_devices(recipe.device, on_images=False)
    trainer = TrialTrainer(
        recipe, ["optimizer.name"], source, devices, folds=folds, scratch=scratch / "trials"
    )
    results: dict[str, Result] = {}
    for some in trainer(trials):
        results |= some
    return results


def test_after_folds_the_best_is_trained_on_the_validation_images_too(
    tiny_folder: Path, tmp_path: Path
) -> None:
    space: dict[str, Any] = {"optimizer.learning_rate": [0.01, 0.1]}
    options: dict[str, Any] = {"trials": 2, "epochs": 3, "folds": 2}
    run = tune(tiny_folder, linear_recipe(), out=tmp_path / "run", space=space, **options)
    assert run.recipe.train.with_validation
    assert run.recipe.train.epochs == run.search["best"]["best_epoch"]
    assert run.metrics["train"]["num_images"] == 36
    assert "val" not in run.metrics
    assert all(trial["score_std"] is not None for trial in run.search["trials"])
    # A schedule that waits for a plateau needs them.
    space = {"schedule.name": ["reduce_on_plateau"]}
    job = SearchJob.prepare(tiny_folder, linear_recipe(), None, space=space, **options)
    waiting = linear_recipe(schedule={"name": "reduce_on_plateau"})
    assert not job.plan.final_recipe(waiting, 1).train.with_validation
    with pytest.raises(RecipeError, match=r"schedule\.name of the space.*needs a validation loss"):
        tune(
            tiny_folder,
            linear_recipe(),
            out=tmp_path / "no",
            space=space,
            retrain_on_val=True,
            **options,
        )
    assert not (tmp_path / "no").exists()


def test_levels_and_cuts_are_searched_together_and_validation_images_kept(
    tiny_folder: Path, tmp_path: Path
) -> None:
    space = {
        "backbone.levels": [1, 2],
        "backbone.truncate_blocks": {"choice": [0, 2], "when": {"backbone.levels": [1]}},
        "head.pooling": ["concatenated"],
    }
    options: dict[str, Any] = {"trials": 3, "folds": 2, "epochs": 1, "retrain_on_val": False}
    out = tmp_path / "run"
    # Without trained weights the residual blocks add nothing, and a cut would change nothing.
    trained = {"name": "micro_resnet_s.cifar10"}
    recipe = linear_recipe(backbone=trained)
    run = tune(tiny_folder, recipe, out=out, space=space, tuner="grid", **options)
    assert run.metrics["val"]["num_images"] == 6
    read = [trial["hyperparameters"] for trial in run.search["trials"]]
    pairs = {(v["backbone.levels"], v.get("backbone.truncate_blocks", 0)) for v in read}
    assert pairs == {(1, 0), (1, 2), (2, 0)}
    assert len({trial["loss"] for trial in run.search["trials"]}) == 3
    recipe = linear_recipe(
        backbone={**trained, "levels": 2, "truncate_blocks": 2}, head={"pooling": "concatenated"}
    )
    both = train(tiny_folder, recipe, out=tmp_path / "both")
    # Trained from stored features; evaluated from images by the model as it was saved.
    found = evaluate(both.path, tiny_folder, split="val")["val"]
    assert found["loss"] == pytest.approx(both.metrics["val"]["loss"], rel=1e-4)
    kernel = both.model.get_layer("logits").kernel
    channels = sum(layer.output.shape[-1] for layer in both.model.layers if "pool_" in layer.name)
    assert kernel.shape[0] == channels + both.model.get_layer("pool").output.shape[-1]


@pytest.mark.slow
def test_fine_tuning_is_searched_and_trials_share_their_maps(
    tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = linear_recipe(fine_tune={"epochs": 2, "maps": "float32"}, backbone={"levels": 1})
    settings: dict[str, Any] = {"trials": 12, "epochs": 2, "fine_tune": True}
    with caplog.at_level("INFO", "pipelines"):
        run = tune(tiny_folder, recipe, out=tmp_path / "run", **settings)
    read = [trial["hyperparameters"] for trial in run.search["trials"]]
    counts = [values["fine_tune.blocks"] for values in read]
    assert set(counts) == {0, 1, 2, 3}
    for values in read:
        rates = {"fine_tune.learning_rate", "fine_tune.block_decay"}
        assert (rates <= values.keys()) == bool(values["fine_tune.blocks"])
    said = [record.getMessage() for record in caplog.records]
    on_maps = [line for line in said if line.startswith("fine-tuning the top")]
    assert len(on_maps) >= sum(count > 0 for count in counts)
    # The features of the head and the maps of three cuts: once for each of two splits.
    assert len([line for line in said if line.startswith("computing features")]) <= 2 * (1 + 3)
    best = run.search["best"]
    assert run.metrics["val"]["loss"] == pytest.approx(best["loss"], rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"space": {"head.dropuot": [0.1]}}, InputError, r"Did you mean 'head\.dropout'"),
        ({"space": {"head.dropout": [0.1, 1.5]}}, RecipeError, r"head\.dropout of the space.*1\.5"),
        ({"space": {"penalty.l1": [0.1]}}, RecipeError, "has no l1"),
        ({"space": {"train.epochs": [1, 2]}}, InputError, "Unknown setting to search"),
        (
            {"space": {"calibration.method": ["none", "auto"]}},
            InputError,
            "Unknown setting to search",
        ),
        ({"space": {"unknown.share": [0.05, 0.1]}}, InputError, "Unknown setting to search"),
        ({"space": {"train.folds": [0, 5]}}, InputError, "Unknown setting to search"),
        ({"folds": 1}, InputError, "--folds does not fit.*leaves nothing to train on"),
        ({"folds": 40}, InputError, "fewer images than there are folds"),
        ({"tuner": "bayes"}, InputError, "Did you mean 'bayesian'"),
        ({"space": "absent.toml"}, RecipeError, "absent.toml cannot be read"),
        ({"space": SPACE, "fine_tune": True}, InputError, "expected --space or --fine-tune"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_written(
    settings: dict[str, Any],
    error: type[Exception],
    message: str,
    tiny_folder: Path,
    tmp_path: Path,
) -> None:
    with pytest.raises(error, match=message):
        tune(tiny_folder, recipe_of(), out=tmp_path / "run", trials=2, **settings)
    assert not (tmp_path / "run").exists()


def test_search_goes_on_with_more_trials_as_if_asked_at_first(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, space = tmp_path / "recipe.toml", tmp_path / "space.toml"
    recipe.write_text(linear_recipe().to_toml(), encoding="utf-8")
    space.write_text("[optimizer]\nlearning_rate = { min = 0.001, max = 0.1, log = true }\n")
    command = ["tune", str(tiny_folder), "--recipe", str(recipe), "--space", str(space)]
    command += ["--folds", "0", "--epochs", "1", "--out"]
    out = tmp_path / "more"
    assert run_command([*command, str(out), "--trials", "3"]) == 0
    shown = capsys.readouterr()
    assert "optimizer.learning_rate=0.0" in shown.out
    assert "3 of 3 trials, best val_accuracy" in shown.err
    assert "corrected for the choice among 3: val_accuracy" in shown.out
    with pytest.raises(RunError, match=r"can have more trials, and no fewer; expected --trials 3"):
        tune(None, None, out=out, trials=2, resume=True)
    resume = ["tune", str(tiny_folder), "--out", str(out), "--resume", "--json"]
    assert run_command([*resume, "--trials", "6"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["metrics"]["val"]["accuracy"] == pytest.approx(told["best"]["score"])
    assert run_command([*command, str(tmp_path / "first"), "--trials", "6"]) == 0
    extended, at_first = Run.open(out), Run.open(tmp_path / "first")
    assert len(told["trials"]) == len(extended.search["trials"]) == 6
    # Heads that train beside others differ in the last bits of their losses.
    pairs = zip(extended.search["trials"], at_first.search["trials"], strict=True)
    for mine, other in pairs:
        assert mine.pop("loss") == pytest.approx(other.pop("loss"), rel=1e-5)
        assert mine == other
    assert extended.search["best"]["id"] == at_first.search["best"]["id"]
    weights, expected = (run.load_model().get_weights() for run in (extended, at_first))
    assert all(np.array_equal(a, b) for a, b in zip(weights, expected, strict=True))


def test_number_of_trials_is_kept_where_proposals_depend_on_it() -> None:
    plan = SearchPlan(tuner="bayesian", trials=12)
    with pytest.raises(RunError, match=r"what bayesian proposes depends on the number of trials"):
        plan.count_added(SearchPlan(tuner="bayesian", trials=6))
    assert SearchPlan(trials=120).count_added(SearchPlan()) == 20
