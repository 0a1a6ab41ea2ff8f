"""Models of studies, against scikit-learn, linear programming and enumeration."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from scipy import optimize
from sklearn.linear_model import Ridge
from sklearn.preprocessing import PolynomialFeatures

from pipelines.recipe.recipe import Recipe
from pipelines.sources.opening.dataset import open_source
from pipelines.studies import augmentation, transfer, transferred_layers
from pipelines.studies.dropout import gaps
from pipelines.studies.experiments.curve_fits import fit_polynomial, network_errors, sample
from pipelines.studies.experiments.dropout_masks import (
    means_of_masks,
    scaled_answers,
    total_variation,
)
from pipelines.studies.experiments.images import train_on, write_table
from pipelines.studies.experiments.linear_paths import descend, solve, whole_gradient
from pipelines.studies.experiments.logic_gates import (
    POINTS,
    TABLES,
    answer_two_layers,
    learn_perceptron,
    learn_two_layers,
)
from pipelines.studies.penalties import KINDS, STRENGTHS, choices
from zoo.backbones.catalog import possible_cuts


@pytest.mark.parametrize("gate", TABLES)
def test_perceptron_learns_what_a_line_separates(gate: str) -> None:
    labels = TABLES[gate]
    signs = 2.0 * labels - 1
    rows = np.hstack([POINTS, np.ones((4, 1))])
    program = optimize.linprog(np.zeros(3), -signs[:, None] * rows, -np.ones(4),
                               bounds=[(None, None)] * 3)  # fmt: skip
    weights, epochs = learn_perceptron(labels, seed=0)
    assert (epochs > 0) == program.success
    if program.success:
        np.testing.assert_array_equal(rows @ weights > 0, labels)


def test_two_layers_solve_xor() -> None:
    weights = learn_two_layers(TABLES["XOR"], seed=0)
    np.testing.assert_allclose(answer_two_layers(weights, POINTS), [0, 1, 1, 0], atol=0.1)


@pytest.mark.parametrize("degree", [0, 3, 9])
def test_polynomials_are_those_of_numpy_and_scikit_learn(degree: int) -> None:
    x, y = sample(0, 18)
    plain = np.polynomial.legendre.legfit(x, y, degree)
    np.testing.assert_allclose(fit_polynomial(x, y, degree, 0.0), plain, rtol=1e-6)
    basis = np.polynomial.legendre.legvander(x, degree)
    ridge = Ridge(alpha=0.01 * len(x), fit_intercept=False).fit(basis, y)
    np.testing.assert_allclose(fit_polynomial(x, y, degree, 0.01), ridge.coef_, rtol=1e-6)
    assert PolynomialFeatures(degree).fit_transform(x[:, None]).shape == basis.shape


def test_penalty_of_a_network_raises_its_error_on_its_points() -> None:
    x, y = sample(0, 18)
    plain, penalized = (network_errors(x, y, x, y, 8, 0, l2)[0] for l2 in (0.0, 10.0))
    assert plain < penalized


def test_mean_of_masks_is_that_of_their_enumeration() -> None:
    """Dropout of half of six hidden units: 64 thinned networks, all equally likely."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(5, 3)).astype(np.float32)
    model = keras.Sequential([
        keras.Input((3,)), keras.layers.Dense(6, "tanh"), keras.layers.Dropout(0.5, seed=0),
        keras.layers.Dense(2),
    ])  # fmt: skip
    first, bias, second, offset = model.get_weights()
    hidden = np.tanh(rows @ first + bias)

    def answer(hidden: np.ndarray) -> np.ndarray:
        exponents = np.exp(hidden @ second + offset)
        return exponents / exponents.sum(axis=1, keepdims=True)

    thinned = np.array([answer(2 * hidden * mask) for mask in itertools.product((0, 1), repeat=6)])
    *_, found = means_of_masks(model, rows, (1, 2000))
    np.testing.assert_allclose(found, thinned.mean(axis=0), atol=0.03)
    # The scaled network is their geometric mean (Srivastava et al., 2014, section 7.5).
    geometric = np.exp(np.log(thinned).mean(axis=0))
    geometric /= geometric.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scaled_answers(model, rows), geometric, atol=1e-6)
    assert total_variation(np.array([[1.0, 0.0]]), np.array([[0.25, 0.75]])) == 0.75


def test_gaps_are_those_of_the_losses() -> None:
    numbers = {"val_loss": {"0.5, 0.0": [1.0, 2.0]}, "loss": {"0.5, 0.0": [0.5, 0.25]}}
    assert gaps(numbers, 0.5) == [0.5, 1.75]


def test_folds_choose_the_strength_of_the_least_loss() -> None:
    folds, unseen = np.random.default_rng(0).uniform(size=(2, len(STRENGTHS), 3))
    numbers = {
        part: {f"{KINDS[0]}, {s:g}": row.tolist() for s, row in zip(STRENGTHS, rows, strict=True)}
        for part, rows in (("folds", folds), ("val_loss", unseen))
    }
    for seed, (strength, chosen, least) in enumerate(choices(numbers, KINDS[0])):
        place = STRENGTHS.index(strength)
        assert folds[place, seed] == folds[:, seed].min()
        assert (chosen, least) == (unseen[place, seed], unseen[:, seed].min())


@pytest.mark.slow
def test_penalized_heads_are_those_of_scikit_learn() -> None:
    data = whole_gradient(0, images=60)
    for kind, (found,) in descend(data, [0.1], epochs=8).items():
        expected = solve(data, kind, 0.1)
        assert np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)
        assert (found == 0).mean() == pytest.approx((expected == 0).mean(), abs=0.02)
        assert ((found == 0).mean() > 0.1) == (kind != "l2")


def test_table_shows_other_images_by_seed_and_tests_on_the_same(tmp_path: Path) -> None:
    def read(path: Path, split: str) -> dict[str, str]:
        with path.open() as file:
            return {row["path"]: row["label"] for row in csv.DictReader(file)
                    if row["split"] == split}  # fmt: skip

    tables = [write_table("signs", tmp_path, per_label=6, tests=4, seed=s) for s in (0, 1)]
    shown, others = (read(table, "train") for table in tables)
    assert read(tables[0], "test") == read(tables[1], "test")
    assert not set(shown) & set(read(tables[0], "test"))
    assert shown != others
    assert len(shown) == 6 * len(set(shown.values()))
    two = write_table("signs", tmp_path, per_label=18, tests=4, seed=0,
                      label_of=lambda name: name if name == "3" else "other")  # fmt: skip
    labels = list(read(two, "train").values())
    assert (labels.count("3"), labels.count("other")) == (18, 18)
    classes = [Path(path).parent.name for path, label in read(two, "train").items()
               if label == "other"]  # fmt: skip
    assert {classes.count(name) for name in set(classes)} == {2}


def test_smallest_table_of_a_study_can_be_divided(tmp_path: Path) -> None:
    for study, data in ((transfer, "signs"), (augmentation, "digits")):
        table = write_table(data, tmp_path, per_label=min(study.COUNTS), tests=4, seed=0)
        source = open_source(str(table), Recipe.for_data(str(table)).data, seed=0)
        assert len(source.train) >= len(source.class_names)


BACKBONES = [
    *transfer.STARTS.values(),
    *({"backbone.name": transferred_layers.SMALL, **way}
      for way in transferred_layers.WAYS.values()),
    *({"backbone.name": transferred_layers.NETWORK, "backbone.truncate_blocks": blocks}
      for blocks in transferred_layers.CUTS),
]  # fmt: skip


@pytest.mark.parametrize(
    "settings", BACKBONES, ids=lambda settings: "-".join(map(str, settings.values()))
)
def test_backbone_of_a_study_can_be_cut_and_fine_tuned(settings: dict[str, Any]) -> None:
    recipe = Recipe.for_data("signs").override(settings).resolve()
    cuts = possible_cuts(recipe.backbone.name, recipe.input.size)
    assert recipe.backbone.truncate_blocks in (0, *cuts)
    assert recipe.fine_tune.blocks <= max(cuts)


@pytest.mark.slow
def test_network_on_a_table_is_that_of_train(tmp_path: Path) -> None:
    import transfer_zoo as tz

    table = write_table("digits", tmp_path, per_label=5, tests=4, seed=0)
    settings = {"seed": 0, "backbone.name": "micro_resnet_s.cifar10"}
    found = train_on(table, settings)
    usual = {"augment.policy": "none", "train.folds": 0}
    recipe = tz.Recipe.for_data(str(table)).override({**settings, **usual})
    run = tz.train(table, recipe, out=tmp_path / "again")
    assert found["accuracy"] == run.metrics["test"]["accuracy"]
    with table.open() as file:
        tests = [row for row in csv.DictReader(file) if row["split"] == "test"]
    answers = [p.label for p in run.predict([tmp_path / row["path"] for row in tests])]
    right = [answer == row["label"] for answer, row in zip(answers, tests, strict=True)]
    assert found["accuracy"] == pytest.approx(np.mean(right))
    assert 1 - found["per_class"]["3"]["recall"] == pytest.approx(
        np.mean([not ok for ok, row in zip(right, tests, strict=True) if row["label"] == "3"])
    )
