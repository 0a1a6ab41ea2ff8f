"""Augmentation preview: a picture of a data set's own images under each operation of a policy."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.augment.augmenter import Augmenter
from pipelines.augment.base import Parameters
from pipelines.augment.operations import expand_groups
from pipelines.augment.plan import SampledOperation
from pipelines.augment.policies import AugmentConfig
from pipelines.augment.shorthand import format_policy
from pipelines.evaluation.pictures import check_picture
from pipelines.recipe.measured_depth import measure_input_depth
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.settings import RecipeSettings
from pipelines.runtime.isolation import isolated, start_keras
from pipelines.sources.source import Examples
from pipelines.training.prepare import open_images
from zoo.files import replacing
from zoo.preprocessing import Preprocessing

logger = logging.getLogger(__name__)

NUM_IMAGES = 6
"""Images shown, one a column."""

NUM_PASSES = 3
"""Passes of training shown, one a row."""

_INTERNAL_PARAMETERS = ("noise_offset", "noise_sign")
"""Sampled parameters left out of captions."""


class Row(NamedTuple):
    """A row of the picture.

    Args:
        label: Text at the left of the row.
        images: uint8 [S, S, 3] each.
        captions: Text below each image.
    """

    label: str
    images: Sequence[npt.NDArray[np.uint8]]
    captions: Sequence[str]


@isolated()
def preview(
    data: str | Path | None, recipe: RecipeSettings | None = None, *, picture: str | Path
) -> Path:
    """Draws training images as validation shows them, under each operation and the whole policy.

    In the row of a single operation every image is changed, whatever its probability.
    The rows of the whole policy show the views of the first passes of training.

    Args:
        data: DATA as the command line takes it; None takes the recipe's.
        recipe: Policy, image size and seed; None takes the preset that suits the data.
        picture: PNG file to write.

    Returns:
        The file written.

    Raises:
        DataError: The images cannot be trained on.
        InputError: `picture` cannot be written.
    """
    path = Path(picture)
    check_picture(path, "--preview")
    resolved = Recipe.of(recipe or Recipe.for_data(data)).for_source(data).resolve()
    start_keras()
    source = open_images(resolved)
    resolved = measure_input_depth(resolved, source.train)
    augment = resolved.augment
    logger.info(f"augmentation {augment}")
    rows = list(_build_rows(source.train, resolved.input.preprocessing, augment, resolved.seed))
    title = f"{resolved.source}, {len(source.train)} training images; {augment}"
    _draw_picture(rows, title, path)
    return path


def _build_rows(
    examples: Examples, preprocessing: Preprocessing, config: AugmentConfig, seed: int
) -> Iterator[Row]:
    import tensorflow as tf

    from pipelines.input_pipeline.color_axes import fit_color_axes

    decoder = preprocessing.build_decoder(config.smallest_view)
    color_axes = fit_color_axes(examples, decoder) if config.needs_color_axes else None
    indices = select_images(examples)
    files = [tf.constant(examples.read(int(index))) for index in indices]
    images = [decoder.decode(file) for file in files]
    originals = [preprocessing(file).numpy() for file in files]
    names = [Path(examples.names[int(index)]).name for index in indices]
    yield Row("as validation shows them", originals, names)
    for number, operation in enumerate(expand_groups(config.operations)):
        always = operation.model_copy(update={"p": 1.0})
        alone = config.model_copy(update={"policy": (always,)})
        augmenter = Augmenter(alone, preprocessing, seed, color_axes)
        # A pass of its own for each operation, or all would use the same random numbers.
        views, sampled = _render_views(augmenter, images, indices, number)
        captions = [_format_parameters(sampled[0].parameters, i) for i in range(len(images))]
        yield Row(format_policy([operation]), views, captions)
    augmenter = Augmenter(config, preprocessing, seed, color_axes)
    for number in range(NUM_PASSES if config.operations else 0):
        views, sampled = _render_views(augmenter, images, indices, number)
        captions = [_format_operations(sampled, i) for i in range(len(images))]
        yield Row(f"whole policy, pass {number + 1}", views, captions)


def select_images(examples: Examples) -> npt.NDArray[np.int64]:
    """Selects the images to show, evenly spaced across the classes.

    Returns:
        int64 [n], indices of examples sorted by class, n at most NUM_IMAGES.
    """
    by_class = np.argsort(examples.labels, kind="stable")
    num_images = min(NUM_IMAGES, len(examples))
    return by_class[np.linspace(0, len(examples) - 1, num_images).astype(int)]


def _render_views(
    augmenter: Augmenter, images: Sequence[Any], indices: npt.NDArray[np.int64], number: int
) -> tuple[list[npt.NDArray[np.uint8]], list[SampledOperation]]:
    """Renders one view of each image in one pass.

    Args:
        augmenter: The policy.
        images: As of `ImageDecoder.decode` each.
        indices: int64 [B], their indices.
        number: The pass, from 0.

    Returns:
        uint8 [S, S, 3] each, and the sampled operations as NumPy arrays.
    """
    import tensorflow as tf

    seed = tf.constant(augmenter.seed, tf.int64)
    passes = tf.fill([len(indices)], tf.constant(number, tf.int64))
    sampled = augmenter.plan.sample_operations(seed, passes, tf.constant(indices))
    views = augmenter.plan.compose(sampled, indices)
    rendered = []
    for i, (image, frame) in enumerate(images):
        view = tf.nest.map_structure(lambda field, at=i: field[at : at + 1], views)
        rendered.append(augmenter.render(image, view, frame)[0])
    batch = tf.stack(rendered)
    for arguments in views.mixing:
        batch = augmenter.renderer.mix(batch, arguments)
    in_numpy = [
        SampledOperation(
            step.operation,
            step.applied.numpy(),
            {name: value.numpy() for name, value in step.parameters.items()},
        )
        for step in sampled
    ]
    return list(batch.numpy()), in_numpy


def _format_parameters(parameters: Parameters, i: int) -> str:
    """Formats the nonzero parameters of image i, such as `degrees -3.2`."""
    shown = {k: f"{v[i]:.2f}" for k, v in parameters.items() if k not in _INTERNAL_PARAMETERS}
    rounded = {name: text.rstrip("0").rstrip(".") for name, text in shown.items()}
    return ", ".join(f"{k} {text}" for k, text in rounded.items() if text not in ("0", "-0"))


def _format_operations(sampled: Sequence[SampledOperation], i: int) -> str:
    """Formats the operations applied to image i with their parameters."""
    parts = [
        f"{step.operation.name} {_format_parameters(step.parameters, i)}".strip()
        for step in sampled
        if step.applied[i]
    ]
    return "; ".join(parts) or "unchanged"


# In inches.
_TILE, _GAP, _LABEL_WIDTH, _LINE_HEIGHT = 1.5, 0.06, 1.35, 0.1


def _draw_picture(rows: Sequence[Row], title: str, path: Path) -> None:
    from matplotlib.figure import Figure

    columns = len(rows[0].images)
    captions = [[textwrap.wrap(caption, 34) for caption in row.captions] for row in rows]
    heading = textwrap.wrap(title, 24 * columns)
    heights = [_TILE + _LINE_HEIGHT * max(map(len, row)) + 2 * _GAP for row in captions]
    top = 0.16 * len(heading) + 4 * _GAP
    width, height = _LABEL_WIDTH + columns * (_TILE + _GAP), top + sum(heights)
    figure = Figure(figsize=(width, height))
    style: dict[str, Any] = {"va": "top", "parse_math": False}
    figure.text(_GAP / width, 1 - _GAP / height, "\n".join(heading), fontsize=9, **style)
    for row, row_captions, row_height in zip(rows, captions, heights, strict=True):
        middle = 1 - (top + _TILE / 2) / height
        label = "\n".join(textwrap.wrap(row.label, 21))
        figure.text(_GAP / width, middle, label, fontsize=8, **{**style, "va": "center"})
        for column, (image, caption) in enumerate(zip(row.images, row_captions, strict=True)):
            left, bottom = _LABEL_WIDTH + column * (_TILE + _GAP), height - top - _TILE
            axis = figure.add_axes(
                (left / width, bottom / height, _TILE / width, _TILE / height), frameon=False
            )
            axis.set_axis_off()
            axis.imshow(image, interpolation="lanczos")
            figure.text(
                left / width, (bottom - 0.03) / height, "\n".join(caption), fontsize=5.5, **style
            )
        top += row_height
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
