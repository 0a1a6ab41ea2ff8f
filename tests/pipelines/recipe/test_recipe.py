"""Recipe: what it refuses, and that TOML carries all of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import given, reject

from pipelines.recipe.overrides import parse_overrides, setting_paths
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.training.phases import build_phases
from pipelines.training.train import train
from tests.support.recipe_strategies import recipes
from tuning.optimization.optimizer_config import build_optimizer, build_rules
from tuning.optimization.schedules import build_schedule
from zoo.errors import RecipeError, TrainingError, UnknownNameError
from zoo.heads.head import build_head

ALL_ROWS = bool(os.environ.get("ZOO_ALL_ROWS"))
some_examples = hypothesis.settings(max_examples=100 if ALL_ROWS else 50)


def _resolved(layer: Any) -> ResolvedRecipe:
    """The recipe of generated settings; those that exclude each other are rejected."""
    try:
        return Recipe.from_settings(layer).resolve()
    except RecipeError:
        reject()


def test_every_setting_is_drawn() -> None:
    drawn: set[str] = set()

    @hypothesis.settings(max_examples=600, derandomize=True, phases=[hypothesis.Phase.generate])
    @given(recipes)
    def collect(layer: dict[str, Any]) -> None:
        drawn.update(_paths(layer))

    collect()
    assert drawn == set(setting_paths(Recipe))


def _paths(settings: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in settings.items():
        if isinstance(value, dict) and name != "tasks":
            yield from _paths(value, f"{prefix}{name}.")
        else:
            yield prefix + name


@some_examples
@given(recipes)
def test_recipe_survives_toml(tmp_path_factory: pytest.TempPathFactory, layer: Any) -> None:
    recipe = _resolved(layer)
    file = tmp_path_factory.getbasetemp() / "recipe.toml"
    file.write_text(recipe.to_toml(), encoding="utf-8")
    again = Recipe.from_toml(file)
    assert again.to_settings() == recipe.to_settings()
    assert list(again.tasks) == list(recipe.tasks), "in their order"
    assert again.resolve() == recipe
    assert again.to_toml() == recipe.to_toml()
    measured = recipe.without_measuring()
    file.write_text(measured.to_toml(), encoding="utf-8")
    assert ResolvedRecipe.from_toml(file) == Recipe.from_toml(file).resolve() == measured


@pytest.mark.train
@some_examples
@given(recipes)
def test_recipe_that_is_accepted_can_be_trained_by(layer: Any) -> None:
    recipe = _resolved(layer)
    head = keras.Input((2, 2, 3))
    model = keras.Model(head, build_head(head, recipe.head, 3))
    images = np.random.default_rng(0).normal(size=(4, 2, 2, 3)).astype(np.float32)
    for phase in build_phases(recipe):
        assert phase.last_epoch > phase.first_epoch
        rate = build_schedule(recipe.schedule, phase.learning_rate, 20, 5)
        config = recipe.optimizer.by_gradient_steps
        rules = build_rules(config, recipe.penalty)
        optimizer = build_optimizer(config, rate, rule_of=rules, steps_per_epoch=2)
        optimizer.build(model.trainable_variables)
        gradients = [1e-3 * keras.ops.ones_like(v) for v in model.trainable_variables]
        for _ in range(2):
            optimizer.apply(gradients)
    assert np.isfinite(np.asarray(model(images))).all()


@pytest.mark.slow
@hypothesis.settings(max_examples=15 if ALL_ROWS else 8, phases=[hypothesis.Phase.generate])
@given(recipes)
def test_recipe_that_is_accepted_trains(
    tmp_path_factory: pytest.TempPathFactory, layer: Any
) -> None:
    recipe = _resolved(layer)
    small = {
        "data": {
            "source": "",
            "exclude": [],
            "group": "",
            "val_fraction": 0.05,
            "train_per_class": 3,
        },
        "backbone": {"name": "micro_resnet_s", "frozen": True},
        "input": {"size": 32, "batch_size": 8},
        "train": {"epochs": 2},
        # As many batches as there are.
        "optimizer": {"accumulation_steps": min(recipe.optimizer.accumulation_steps, 8)},
        "fine_tune": {"blocks": min(recipe.fine_tune.blocks, 2), "gradual": 0, "epochs": 1},
        # A digit is a class, a set of one label, and a number.
        "tasks": {name: {"column": "label"} for name in recipe.tasks},
        # TensorFlow is held to repeatable kernels for the rest of a process.
        "device": {"deterministic": True, "xla": "auto"},
    }
    settings = recipe.model_dump(mode="json", exclude_none=True)
    out = tmp_path_factory.mktemp("run") / "run"
    # A rate that is too high for these images is nothing that a recipe shows.
    with contextlib.suppress(TrainingError):
        run = train("digits", Recipe.from_settings(settings, small), out=out)
        # Images that are trained on validate nothing.
        metrics = run.metrics["train" if recipe.trains_on_validation else "val"]
        tasks = metrics.get("tasks", {"label": metrics})
        assert all(np.isfinite(task.get("loss", task.get("mae"))) for task in tasks.values())


def test_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Recipe().seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        (
            "head.dropuot=0.3",
            r"Unknown recipe key 'head\.dropuot'\. Did you mean 'head\.dropout' or",
        ),
        ("haed.dropout=0.3", r"Unknown recipe key 'haed'\."),
        (
            "head.dropout=1.0",
            r"head\.dropout does not fit; expected less than 1; received 1\.0; set",
        ),
        ("head.dropout=high", r"head\.dropout does not fit; expected a valid number.*'high'"),
        ("head.hidden=3", r"head\.hidden does not fit; expected a valid tuple; received 3"),
        ('head.hidden=["8"]', r"head\.hidden does not fit; expected a valid integer; received '8'"),
        ('train.epochs="3"', r"train\.epochs does not fit; expected a valid integer; received '3'"),
        ("seed=true", r"seed does not fit; expected a valid integer; received True"),
        ("device.xla=true", r"device contradicts itself: xla = true needs deterministic = false"),
        ("head.hidden=[0]", r"head\.hidden does not fit; expected greater than or equal to 1"),
        (
            "train.epochs=2.5",
            r"train\.epochs does not fit; expected a valid integer.*received 2\.5",
        ),
        ("optimizer.learning_rate=nan", r"optimizer\.learning_rate does not fit.*received nan"),
        ("device.xla=maybe", r"device\.xla does not fit; expected a valid boolean.* or 'auto'"),
        ("head=3", r"head does not fit; expected"),
        ("head.dropout", r"--set does not understand its argument; expected PATH=VALUE"),
        ("=3", r"--set does not understand its argument"),
        ("penalty.l1=0.1", r"penalty contradicts itself: name = 'l2' has no l1; expected l1 = 0"),
        ("schedule.name=multi_step", r"schedule contradicts itself: .* milestones = \[\]"),
        ("schedule.milestones=[3, 2]", r"schedule\.milestones .* do not increase"),
        (
            "fine_tune={blocks=4, gradual=5}",
            r"fine_tune contradicts itself: .*at least 16, not 10",
        ),
        (
            "optimizer.accumulation_steps=0",
            r"optimizer\.accumulation_steps does not fit.* or equal to 1",
        ),
        ("input.size=4000", r"input\.size does not fit; expected less than or equal to 1024"),
    ],
)
def test_wrong_setting_says_how_to_mend_it(assignment: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        Recipe.from_settings(parse_overrides([assignment]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "kind", "message"),
    [
        ({"backbone": {"name": "resnet_50"}}, UnknownNameError, "Did you mean 'resnet50"),
        ({"optimizer": {"name": "adm"}}, UnknownNameError, "Did you mean 'adam'"),
    ],
)
def test_unknown_name_names_the_nearest(layer: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        Recipe.from_settings(layer)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            {"backbone": {"name": "micro_resnet_s"}, "input": {"size": 16}},
            r"input\.size is too small for micro_resnet_s; expected at least 32; received 16",
        ),
        (
            {"backbone": {"name": "micro_resnet_s"}, "fine_tune": {"blocks": 1}},
            r"fine_tune\.blocks unfreezes a frozen backbone",
        ),
        (
            {
                "backbone": {"name": "resnet50.imagenet"},
                "input": {"normalization": "standardize"},
            },
            r"resnet50\.imagenet was trained with 'caffe' and is frozen; expected",
        ),
        (
            {"backbone": {"name": "efficientnet_b0"}, "input": {"normalization": "center"}},
            r"efficientnet_b0 normalizes inside; expected input\.normalization = 'own'",
        ),
        (
            {"optimizer": {"name": "lion"}, "penalty": {"name": "l1"}},
            r"lion's steps do not grow with the gradient.*--set penalty\.name=l2",
        ),
        (
            {"input": {"batch_size": 1}, "head": {"hidden": [8]}},
            r"batch normalization subtracts .* --set head\.batch_norm=false",
        ),
        (
            {"input": {"batch_size": 1}, "tasks": {"a": {"hidden": [8]}}},
            r"expected input\.batch_size of 2 or more",
        ),
        (
            {"optimizer": {"ema": 0.9}, "penalty": {"name": "elastic_net"}},
            r"optimizer\.ema undoes L1",
        ),
        (
            {"schedule": {"name": "reduce_on_plateau", "patience": 9}},
            r"training stops before the schedule reduce_on_plateau ever lowers the rate",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(layer: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.from_settings(layer).resolve()


def test_one_image_a_step_suits_a_head_without_batch_normalization() -> None:
    for head in ({"hidden": []}, {"hidden": [8], "batch_norm": False}):
        Recipe.from_settings({"input": {"batch_size": 1}, "head": head}).resolve()


def test_later_settings_win_and_keep_what_they_do_not_name() -> None:
    recipe = Recipe.from_settings(
        {"head": {"hidden": [8], "dropout": 0.1}}, {"head": {"dropout": 0.2}}
    )
    assert recipe.head.hidden == (8,)
    assert recipe.head.dropout == 0.2


def test_another_backbone_decides_anew_what_is_frozen_and_its_size() -> None:
    recipe = Recipe.from_preset("textures", backbone="vgg16.imagenet").resolve()
    assert recipe.backbone.frozen is True
    assert recipe.input.size == 224
    given = Recipe.from_preset(
        "textures", backbone="vgg16.imagenet", settings={"input": {"size": 96}}
    )
    assert given.resolve().input.size == 96


def test_normalization_may_be_chosen_where_the_backbone_learns_it() -> None:
    for name, frozen in (("resnet50", "auto"), ("resnet50.imagenet", False)):
        for chosen in ("standardize", "center", "signed_unit", "caffe"):
            recipe = Recipe.from_settings(
                {"backbone": {"name": name, "frozen": frozen}, "input": {"normalization": chosen}}
            )
            assert recipe.resolve().input.normalization == chosen
    same = {"backbone": {"name": "resnet50.imagenet"}, "input": {"normalization": "caffe"}}
    assert Recipe.from_settings(same).resolve().input.normalization == "caffe"


def test_frozen_auto_keeps_pretrained_weights_and_trains_random_ones() -> None:
    assert Recipe.from_preset(backbone="vgg16.imagenet").resolve().backbone.frozen is True
    assert Recipe.from_preset(backbone="vgg16").resolve().backbone.frozen is False


def test_setting_overrides_the_data_set_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(Recipe.for_data("digits").to_toml(), encoding="utf-8")
    assert Recipe.for_data(None, file=file).data.source == "digits"
    settings = {"data": {"source": "textures"}}
    assert Recipe.for_data(None, file=file, settings=settings).data.source == "textures"
    assert Recipe.for_data("digits", file=file, settings=settings).data.source == "digits"
