"""Soft targets: what a teacher says of the training images, and of images without labels."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.predictions import compute_predictions
from pipelines.features.engines.network import build_feature_network
from pipelines.recipe.extractor import build_extractor
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.examining.kept_images import KeptImages
from pipelines.sources.opening.describe import describe
from pipelines.sources.opening.unlabeled import find_new_images, open_unlabeled
from pipelines.sources.source import Examples, Source, join_examples
from pipelines.storage.run_folder import RunFolder
from tuning.optimization.distillation import SoftTargets, soften
from zoo.errors import DataError
from zoo.files import sha256_of
from zoo.models.trainable import build_probability_model
from zoo.tasks import Task

logger = logging.getLogger(__name__)

_MAX_NAMED = 5
"""Classes that an error names, at most."""

_BATCH_SIZE = 1024
"""Rows of features that the teacher's head predicts from at once."""


def add_soft_targets(recipe: ResolvedRecipe, source: Source) -> Source:
    """Asks a recipe's teacher about the training images and those without labels.

    Args:
        recipe: The section `teacher`.
        source: The images, the training images those that the student is fitted to.

    Returns:
        The images; those of training have soft targets, and those without labels follow them,
        each labeled as what the teacher thinks likeliest. Without a teacher, `source`.

    Raises:
        DataError: The teacher has other classes, or the images without labels cannot be read.
        RunError: The teacher is not finished, or damaged.
    """
    settings = recipe.teacher
    if not settings.run:
        return source
    teacher = RunFolder.open(settings.run)
    (task,) = source.tasks
    order = _order_of_classes(teacher, task)
    _warn_of_trained(teacher, source)
    parts = [source.train]
    if settings.unlabeled:
        parts.append(_open_unlabeled(settings.unlabeled, recipe, source))
    asked = join_examples(parts)
    probabilities = _ask(teacher, asked)[:, order]
    given = probabilities[: len(source.train)].argmax(axis=1)
    logger.info(
        f"teacher {teacher.path}: answers to {len(asked)} images, as the label says for "
        f"{float((given == source.train.labels).mean()):.3f} of those with one"
    )
    labeled = np.arange(len(asked)) < len(source.train)
    labels = np.where(labeled, asked.labels, probabilities.argmax(axis=1))
    soft = SoftTargets(soften(probabilities, settings.temperature), labeled, settings.weight)
    train = replace(asked, labels=labels, targets={task.name: labels}, soft_targets=soft)
    return replace(source, train=train, teacher=sha256_of(teacher.model_file))


def _order_of_classes(teacher: RunFolder, task: Task) -> npt.NDArray[np.int64]:
    """Returns where each class is among the teacher's, int64 [C].

    Raises:
        DataError: They are not the same.
    """
    first, *others = teacher.tasks
    if others or not first.bare or first.kind != task.kind:
        raise DataError(
            f"the teacher {teacher.path} predicts other things than one class an image",
            expected="a run without [tasks]",
            received=", ".join(known.name for known in teacher.tasks),
            mend="train a teacher on the same classes",
        )
    index = {name: number for number, name in enumerate(first.class_names)}
    if set(index) != set(task.class_names):
        absent = [name for name in task.class_names if name not in index]
        more = [name for name in index if name not in task.class_names]
        raise DataError(
            f"the teacher {teacher.path} has other classes",
            expected=f"{len(task.class_names)} classes, the data set's",
            received=f"{len(index)}, "
            + " and ".join(
                f"{word} {', '.join(names[:_MAX_NAMED])}"
                for word, names in (("without", absent), ("with", more))
                if names
            ),
            mend="train a teacher on the same classes",
        )
    return np.array([index[name] for name in task.class_names])


def _warn_of_trained(teacher: RunFolder, source: Source) -> None:
    """Warns of images to judge the student by that the teacher was trained on."""
    trained = teacher.trained_on
    for split, examples in source.splits.items():
        if examples.digests == source.train.digests:
            continue  # with folds, of validation too: each image is judged by another head
        if count := sum(digest in trained for digest in examples.digests):
            logger.warning(
                f"the teacher was trained on {count} of {len(examples)} {split} images: what the "
                "student scores on them is a little too good"
            )


def _open_unlabeled(data: str, recipe: ResolvedRecipe, source: Source) -> Examples:
    """Opens images without labels; those that the data set has are left out."""
    decoder, cache_mib = recipe.input.preprocessing.decoder, recipe.input.cache_mib
    found = open_unlabeled(data, kept=source.train.kept or KeptImages(decoder, cache_mib))
    for line in describe(found):
        logger.info(line)
    examples = found.splits["all"]
    if (examples.files is None) != (source.train.files is None):
        raise DataError(
            "labeled and unlabeled images cannot be read together",
            expected="files on disk, or both from the same kind of data set",
            received=f"{source.name} and {data}",
        )
    is_new = find_new_images(examples, source.splits.values())
    count = int(is_new.sum())
    copies = f", {len(is_new) - count} copies left out" if count < len(is_new) else ""
    logger.info(f"{data}: {count} unlabeled images{copies}")
    train, taken = source.train, examples.take(np.flatnonzero(is_new))
    return replace(
        taken,
        names=[f"{data}/{name}" for name in taken.names],
        labels=np.zeros(count, np.int64),
        groups=None if train.groups is None else np.full(count, -1),
        columns=dict.fromkeys(train.columns, ("",) * count),
        targets={name: np.zeros(count, np.int64) for name in train.targets},
    )


def _ask(teacher: RunFolder, examples: Examples) -> npt.NDArray[np.float32]:
    """Returns a teacher's probabilities of plain views, float32 [N, C]."""
    recipe, model, (task,) = teacher.recipe, teacher.model, teacher.tasks
    fine_tuned = recipe.fine_tune.blocks > 0
    if not recipe.features.use or fine_tuned or "members" in teacher.record:
        return compute_predictions(model, recipe, examples, [task])[task.name]
    extractor = build_extractor(recipe, build_feature_network(model))
    rows = extractor.extract(examples, 0).read(recipe.head.pooling)
    found: npt.NDArray[np.float32] = build_probability_model(model).predict(
        rows, batch_size=_BATCH_SIZE, verbose=0
    )
    return found
