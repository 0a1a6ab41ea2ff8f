"""Tables and plots of the long benchmarks, from small synthetic results."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks import (
    answers,
    augment,
    calibration,
    default,
    distillation,
    imbalance,
    transfer,
    unlabeled,
)


def test_augment_reports_the_median_of_ratios_within_rounds(tmp_path: Path) -> None:
    rates = {
        "this project": [100.0, 300.0, 200.0],
        "Keras layers": [10.0, 10.0, 10.0],
        "Albumentations": [50.0, 100.0, 100.0],
    }
    found = {name: {"mean": 0.0, "std": 0.0, "rates": each} for name, each in rates.items()}
    line = augment.format_table({"32 px": found}).splitlines()[2]
    assert line == "| 32 px | 200 | 10 | 100 | 20.0 (10.0 to 30.0) | 2.0 (2.0 to 3.0) |"
    augment.plot({"32 px": found}, tmp_path / "augment.png")
    assert (tmp_path / "augment.png").stat().st_size > 1000


def test_augment_measures_this_project_beside_keras_layers() -> None:
    scenario = augment.Scenario("16 px", 16, 8)
    images = augment.build_images(augment.NUM_IMAGES, 16, 16)
    keras.utils.set_random_seed(0)
    own = np.stack(list(islice(augment.this_project(scenario, images), 32)))
    peer = np.stack(list(islice(augment.keras_layers(scenario, images), 32)))
    assert own.shape == peer.shape == (32, 8, 16, 16, 3)
    # This project's values are 0 to 255, Keras' 0 to 1. The mean of a batch varies by 0.05, and
    # Keras erases slightly larger areas.
    np.testing.assert_allclose(np.mean(own) / 255, np.mean(peer), atol=0.08)


def test_transfer_reports_mean_and_range_over_seeds(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"set": "digits", "labels": labels, "method": method, "seed": seed, "accuracy": accuracy}
        for labels in (5, 20)
        for method in transfer.METHODS
        for seed, accuracy in enumerate((0.5, 0.7, 0.9))
    ]
    rows = [row for row in rows if (row["labels"], row["method"]) != (20, "scratch")]
    lines = transfer.table_of(rows).splitlines()
    figures = "0.700 (0.500–0.900)"
    assert lines[1] == "|---" * 7 + "|"
    assert lines[2] == f"| digits | 5 |{f' {figures} |' * 5}"
    assert lines[3] == f"| digits | 20 |{f' {figures} |' * 3}  | {figures} |"
    transfer.draw(rows, tmp_path / "transfer.png")
    assert (tmp_path / "transfer.png").stat().st_size > 1000


def test_distillation_reports_gains_seed_by_seed() -> None:
    rows = [
        {"seed": 0, "teacher": 0.8, "alone": 0.70, "labeled": 0.71, "taught": 0.75},
        {"seed": 1, "teacher": 0.9, "alone": 0.72, "labeled": 0.70, "taught": 0.76},
    ]
    lines = distillation.table_of(rows).splitlines()
    assert lines[2] == "| teacher | 0.850 (0.800–0.900) |  |"
    assert lines[4] == "| labeled | 0.705 (0.700–0.710) | -0.5 (-2.0 to +1.0) points |"
    assert lines[5] == "| taught | 0.755 (0.750–0.760) | +4.5 (+4.0 to +5.0) points |"


def test_answers_reports_gains_image_by_image() -> None:
    def method(hits: list[bool], cost: int) -> dict[str, Any]:
        return {"hits": hits, "losses": [0.5] * len(hits), "multiply_adds": cost}

    base = method([True, False, True, False], 10)
    found = dict.fromkeys(answers.METHODS, base) | {"both": method([True] * 4, 60)}
    rows = [{"set": "a", "seed": seed, "methods": found} for seed in range(2)]
    lines = answers.table_of(rows).splitlines()
    assert lines[2] == "| one split | 1.0 | 0.500, 0.500 (+0.0 ± 0.0, +0.000 ± 0.000) |"
    assert lines[3] == "| fold heads | 1.0 | 0.500, 0.500 |"
    # Of 0, 1, 0, 1 twice the standard deviation is 0.535, and of their mean 0.189.
    assert lines[-1] == "| both | 6.0 | 1.000, 0.500 (+50.0 ± 18.9, +0.000 ± 0.000) |"


def test_default_reports_means_over_seeds_and_sets(tmp_path: Path) -> None:
    def row(name: str, seed: int, accuracy: float) -> dict[str, Any]:
        peer = {"accuracy": 0.5, "loss": 1.0}
        own = {"accuracy": accuracy, "loss": 0.25}
        methods = {"train": own, "peer": peer, "peer by log loss": peer, "peer on all": peer}
        return {"backbone": "lite.tag", "set": name, "seed": seed, **methods}

    rows = [row("a", 0, 0.6), row("a", 1, 0.8), row("b", 0, 0.9)]
    assert default.table_of(rows).splitlines()[2:] == [
        "| lite.tag | a | 0.700 / 0.250 |  |  | 0.500 / 1.000 | 0.500 / 1.000 |",
        "| lite.tag | b | 0.900 / 0.250 |  |  | 0.500 / 1.000 | 0.500 / 1.000 |",
        "| mean | | 0.800 / 0.250 |  |  | 0.500 / 1.000 | 0.500 / 1.000 |",
    ]
    default.draw(rows, tmp_path / "default.png")
    assert (tmp_path / "default.png").stat().st_size > 1000


def test_default_divides_images_as_it_says(tmp_path: Path) -> None:
    for name in ("0", "1"):
        (tmp_path / "signs" / name).mkdir(parents=True)
        for number in range(100):
            (tmp_path / "signs" / name / f"{number}.jpg").touch()
    sets = default.data_sets(tmp_path, 0, None, tmp_path / "signs", None)
    tables = [Path(data).read_text(encoding="utf-8") for _, data, _ in islice(sets, 2)]
    for table, count in zip(tables, (30, 70), strict=True):
        lines = table.splitlines()[1:]
        assert len(lines) == len({line.split(",")[0] for line in lines}) == 2 * (count + 30)
        assert sum(line.endswith("train") for line in lines) == 2 * count
    tests = [{x for x in table.splitlines() if x.endswith("test")} for table in tables]
    assert tests[0] == tests[1], "the same images test both"


def test_imbalance_reports_every_way() -> None:
    recalls = {name: {"recall": 0.2} for name in imbalance.RARE} | {"rings": {"recall": 0.8}}
    figures = imbalance.compute_figures({"test": {"per_class": recalls, "macro_f1": 0.6}})
    assert figures["common"] == 0.8
    rows = [{"way": way, "seed": 0, **figures} for way in imbalance.WAYS]
    table = imbalance.table_of(rows)
    for way in imbalance.WAYS:
        cells = ["0.200 (0.200–0.200)", "0.800 (0.800–0.800)", "0.600 (0.600–0.600)"]
        assert f"| {way} | {' | '.join(cells)} |" in table


def test_unlabeled_reports_both_starts_of_each_network() -> None:
    rows: list[dict[str, Any]] = [
        {"method": method, "labels": labels, "start": start, "seed": seed, "accuracy": accuracy}
        for method in unlabeled.NETWORKS
        for labels in unlabeled.LABELS
        for start, shift in (("random", 0.0), ("pretrained", 0.1))
        for seed, accuracy in enumerate((0.5 + shift, 0.6 + shift))
    ]
    lines = unlabeled.table_of(rows).splitlines()
    cells = "0.550 (0.500–0.600) | 0.650 (0.600–0.700)"
    assert lines[2] == f"| deep_belief_network, rbm | 5 | {cells} |"
    assert lines[5] == f"| micro_resnet_s, autoencoder | 20 | {cells} |"


def test_unlabeled_compares_the_same_training_on_the_same_images() -> None:
    for method, network in unlabeled.NETWORKS.items():
        recipe = unlabeled.recipe_for(method, network["backbone"], 5, 1, steps=600)
        before = unlabeled.pretraining_recipe(method, 1)
        assert recipe.train.epochs == 384
        assert (before.seed, before.data.test_fraction) == (recipe.seed, recipe.data.test_fraction)
        assert before.data.val_fraction == recipe.data.val_fraction
        assert before.pretraining.method == method


def test_calibration_counts_each_image_in_the_bin_of_its_confidence(tmp_path: Path) -> None:
    rows = np.array([[0.95, 0.05], [0.45, 0.55], [0.42, 0.58], [0.0, 1.0]], np.float32)
    found = calibration.judge(rows, np.array([0, 1, 0, 1]))
    assert np.flatnonzero(found["images"]).tolist() == [5, 9]
    assert found["images"][5] == found["images"][9] == 2
    np.testing.assert_allclose([found["confidence"][5], found["hits"][5]], [1.13, 1])
    np.testing.assert_allclose([found["confidence"][9], found["hits"][9]], [1.95, 2])
    np.testing.assert_allclose(found["loss"], -np.log([0.95, 0.55, 0.42, 1.0]).mean(), rtol=1e-6)

    def run(seed: int, before: float, after: float) -> dict[str, Any]:
        sides = {
            side: found | dict.fromkeys(calibration.METRICS, value)
            for side, value in (("before", before), ("after", after))
        }
        return {"set": "signs", "head": "linear", "seed": seed, "temperature": 1.5 + seed, **sides}

    runs = [run(0, 0.5, 0.3), run(1, 0.7, 0.3)]
    cell = "0.600 to 0.300 (-0.300 ± 0.100)"
    expected = f"| signs | linear | 1.5 to 2.5 | {cell} | {cell} | {cell} |"
    assert calibration.table_of(runs).splitlines()[2] == expected
    calibration.draw(runs, tmp_path / "calibration.png")
    assert (tmp_path / "calibration.png").stat().st_size > 1000
