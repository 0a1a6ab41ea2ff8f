"""Preview: what a policy makes of a data set's own images, to be looked at before training."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.augment.augmenter import Augmenter, needs_axes
from pipelines.augment.base import Operation, Values
from pipelines.augment.operations import Choose
from pipelines.augment.plan import Drawn
from pipelines.augment.policies import AugmentConfig
from pipelines.augment.shorthand import print_policy
from pipelines.evaluation.pictures import check_picture
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.devices import quiet_start
from pipelines.sources.catalogue import preset_of
from pipelines.sources.dataset import open_source
from pipelines.sources.describe import describe
from pipelines.sources.source import Examples
from zoo.files import replacing
from zoo.preprocessing import Preprocessing, decode

logger = logging.getLogger(__name__)

COLUMNS = 6
VIEWS = 3
"""How many views by the whole policy are shown of each image."""

_UNTOLD = ("place", "sign")
"""Values that say nothing to people."""


class Row(NamedTuple):
    """A row of the picture.

    Args:
        label: What stands at its left.
        images: uint8 [S, S, 3] each.
        captions: What stands below each.
    """

    label: str
    images: Sequence[npt.NDArray[np.uint8]]
    captions: Sequence[str]


def preview(data: str | Path, recipe: Recipe | None = None, *, picture: str | Path) -> Path:
    """Draws training images, what each operation makes of them, and the whole policy.

    In the rows of single operations every image is changed, whatever the probability;
    in those of the whole policy the views are the ones of the first passes of training.

    Args:
        data: DATA as the command line takes it; empty takes the recipe's.
        recipe: Whose policy, size and seed; left out, the preset that suits the data.
        picture: The PNG to write.

    Returns:
        The file written.

    Raises:
        DataError: The images cannot be trained on.
        InputError: `picture` cannot be written.
    """
    path = Path(picture)
    check_picture(path, "--preview")
    recipe = (recipe or Recipe.preset(preset_of(str(data)))).completed()
    name = str(data) or recipe.data.source
    with quiet_start():
        import tensorflow  # noqa: F401
    source = open_source(name, recipe.data, seed=recipe.seed, tasks=recipe.asked_tasks)
    for line in describe(source):
        logger.info(line)
    logger.info(f"augmentation {recipe.augment}")
    rows = list(_rows(source.train, recipe.input.preprocessing, recipe.augment, recipe.seed))
    title = f"{name}, {len(source.train)} training images; {recipe.augment}"
    _draw(rows, title, path)
    return path


def _rows(
    examples: Examples, preprocessing: Preprocessing, config: AugmentConfig, seed: int
) -> Iterator[Row]:
    import tensorflow as tf

    from pipelines.input_pipeline.color_axes import fit_color_axes

    axes = fit_color_axes(examples) if needs_axes(config) else None
    chosen = choose(examples)
    images = [decode(tf.constant(examples.read(int(index)))) for index in chosen]
    fitted = [preprocessing.fit_image(image).numpy() for image in images]
    names = [Path(examples.names[int(index)]).name for index in chosen]
    yield Row("as validation shows them", fitted, names)
    for number, operation in enumerate(_single(config.policy)):
        alone = config.model_copy(update={"policy": (operation.model_copy(update={"p": 1.0}),)})
        augmenter = Augmenter(alone, preprocessing, seed, axes)
        # Of another pass each, or all would have drawn the same.
        views, drawn = _views(augmenter, images, chosen, number)
        captions = [_in_words(drawn[0].values, place) for place in range(len(images))]
        yield Row(print_policy([operation]), views, captions)
    augmenter = Augmenter(config, preprocessing, seed, axes)
    for number in range(VIEWS if config.policy else 0):
        views, drawn = _views(augmenter, images, chosen, number)
        captions = [_all_in_words(drawn, place) for place in range(len(images))]
        yield Row(f"whole policy, pass {number + 1}", views, captions)


def choose(examples: Examples) -> npt.NDArray[np.int64]:
    """Chooses the images to show, int64 [at most COLUMNS]: taken evenly, class by class."""
    by_class = np.argsort(examples.labels, kind="stable")
    return by_class[np.linspace(0, len(examples) - 1, min(COLUMNS, len(examples))).astype(int)]


def _single(policy: Sequence[Operation]) -> Iterator[Operation]:
    for operation in policy:
        yield from operation.operations if isinstance(operation, Choose) else (operation,)


def _views(
    augmenter: Augmenter, images: Sequence[Any], indices: npt.NDArray[np.int64], number: int
) -> tuple[list[npt.NDArray[np.uint8]], list[Drawn]]:
    """Renders a view of each image; says what was drawn, float32 [B] in NumPy."""
    import tensorflow as tf

    seed = tf.constant(augmenter.seed, tf.int64)
    numbers = tf.fill([len(indices)], tf.constant(number, tf.int64))
    drawn = augmenter.plan.draw(seed, numbers, tf.constant(indices))
    views = augmenter.plan.compose(drawn, indices)
    rendered = []
    for place, image in enumerate(images):
        one = tf.nest.map_structure(lambda part, at=place: part[at : at + 1], views)
        rendered.append(augmenter.render(image, one)[0])
    batch = tf.stack(rendered)
    for parameters in views.labels:
        batch = augmenter.renderer.mix(batch, parameters)
    told = [
        Drawn(step.operation, step.applied.numpy(), {k: v.numpy() for k, v in step.values.items()})
        for step in drawn
    ]
    return list(batch.numpy()), told


def _in_words(values: Values, place: int) -> str:
    told = ((name, value[place]) for name, value in values.items() if name not in _UNTOLD)
    rounded = ((name, f"{value:.2f}".rstrip("0").rstrip(".")) for name, value in told)
    return ", ".join(f"{name} {value}" for name, value in rounded if value not in ("0", "-0"))


def _all_in_words(drawn: Sequence[Drawn], place: int) -> str:
    applied = [step for step in drawn if step.applied[place]]
    parts = [f"{step.operation.name} {_in_words(step.values, place)}".strip() for step in applied]
    return "; ".join(parts) or "as it is"


# In inches.
_TILE, _GAP, _LABEL, _LINE = 1.5, 0.06, 1.35, 0.1


def _draw(rows: Sequence[Row], title: str, path: Path) -> None:
    from matplotlib.figure import Figure

    columns = len(rows[0].images)
    captions = [[textwrap.wrap(caption, 34) for caption in row.captions] for row in rows]
    heading = textwrap.wrap(title, 24 * columns)
    heights = [_TILE + _LINE * max(map(len, row)) + 2 * _GAP for row in captions]
    top = 0.16 * len(heading) + 4 * _GAP
    width, height = _LABEL + columns * (_TILE + _GAP), top + sum(heights)
    figure = Figure(figsize=(width, height))
    words: dict[str, Any] = {"va": "top", "parse_math": False}
    figure.text(_GAP / width, 1 - _GAP / height, "\n".join(heading), fontsize=9, **words)
    for row, said, tall in zip(rows, captions, heights, strict=True):
        middle = 1 - (top + _TILE / 2) / height
        label = "\n".join(textwrap.wrap(row.label, 21))
        figure.text(_GAP / width, middle, label, fontsize=8, **{**words, "va": "center"})
        for column, (image, caption) in enumerate(zip(row.images, said, strict=True)):
            left, below = _LABEL + column * (_TILE + _GAP), height - top - _TILE
            axis = figure.add_axes(
                (left / width, below / height, _TILE / width, _TILE / height), frameon=False
            )
            axis.set_axis_off()
            axis.imshow(image, interpolation="lanczos")
            figure.text(
                left / width, (below - 0.03) / height, "\n".join(caption), fontsize=5.5, **words
            )
        top += tall
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
