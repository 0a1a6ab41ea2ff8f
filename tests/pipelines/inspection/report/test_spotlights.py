"""Spotlights: where a mask lies on its image, what it darkens, and that cards have them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.evaluation.predictions import compute_predictions
from pipelines.inspection.report import task_report
from pipelines.inspection.report.measured_run import MeasuredRun
from pipelines.inspection.report.spotlights import compute_spotlights, encode_mask
from pipelines.inspection.report.task_report import build_task_report
from pipelines.inspection.report.thumbnails import Thumbnails
from pipelines.sources.opening.unlabeled import open_unlabeled
from zoo.models.activation_maps import ActivationMaps, scale_maps

pytestmark = pytest.mark.train


def _pixels(address: str) -> np.ndarray:
    content = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(content)))


def test_mask_is_black_and_transparent_where_the_map_is_1() -> None:
    pixels = _pixels(encode_mask(np.array([[0, 0.5], [0.25, 1]], np.float32)))
    assert pixels[..., 0].max() == 0
    assert pixels[..., 1].tolist() == [[200, 100], [150, 0]]


@pytest.mark.parametrize(
    ("fit", "shape", "expected"),
    [
        ("crop", (100, 200), (25, 25, 50, 50)),
        ("crop", (300, 100), (33.33, 33.33, 33.33, 33.33)),
        ("stretch", (100, 200), (0, 25, 100, 50)),
        ("stretch", (200, 100), (25, 0, 50, 100)),
        ("pad", (100, 200), (0, 0, 100, 100)),
        ("crop", (80, 80), (0, 0, 100, 100)),
    ],
)
def test_mask_lies_on_what_the_network_sees(
    fit: str,
    shape: tuple[int, int],
    expected: tuple[float, ...],
    measured: MeasuredRun,
    tmp_path: Path,
) -> None:
    """The frame is square, and the image lies in its middle, as large as it can be."""
    preprocessing = measured.run.recipe.input.preprocessing.model_copy(update={"fit": fit})
    pixels = np.random.default_rng(0).integers(0, 255, (*shape, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    examples = open_unlabeled(str(tmp_path)).splits["all"]
    (task,) = measured.tasks
    classes = {"answer": np.array([1])}
    ((light,),) = compute_spotlights(
        measured.run.model, task, examples, preprocessing, [0], classes
    ).values()
    assert (light.left, light.top, light.width, light.height) == pytest.approx(expected)


def test_the_worst_images_of_each_cell_have_maps_first(
    measured: MeasuredRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_report, "TOP_LOSSES", 0)
    monkeypatch.setattr(task_report, "MAX_LIT", 5)
    (task,) = measured.tasks
    report = build_task_report(measured, task, "task0", Thumbnails(10**7, 100))
    lit = [[bool(card.spotlights) for card in cell.images] for cell in report.cells]
    assert sum(map(sum, lit)) == 5
    for flags in lit:
        assert flags == sorted(flags, reverse=True), "of a cell, the largest losses"
        assert flags[0], "each cell has one before any has many"
    assert max(map(sum, lit)) - 1 <= min(sum(flags) for flags in lit if not all(flags))
    assert all(cell.has_spotlights for cell in report.cells)


def test_cards_have_the_maps_of_their_answer_and_their_true_class(measured: MeasuredRun) -> None:
    (task,) = measured.tasks
    report = build_task_report(measured, task, "task0", Thumbnails(10**7, 100))
    assert report.has_spotlights
    examples, recipe = measured.examples, measured.run.recipe
    given = compute_predictions(measured.run.model, recipe, examples, [task])[task.name]
    maps = ActivationMaps(measured.run.model, task)
    in_cells = [card for cell in report.cells for card in cell.images]
    assert len(in_cells) == len(examples)
    for card in (*report.top_losses, *in_cells):
        index = examples.names.index(card.name)
        image = np.asarray(recipe.input.preprocessing(examples.read(index)), np.float32)
        classes = {"answer": int(given[index].argmax()), "truth": int(examples.labels[index])}
        assert [light.subject for light in card.spotlights] == list(classes)
        for light in card.spotlights:
            one = maps.compute(image[np.newaxis], np.array([classes[light.subject]]))
            expected = 200 * (1 - scale_maps(one)[0])
            np.testing.assert_allclose(_pixels(light.address)[..., 1], expected, atol=1)
