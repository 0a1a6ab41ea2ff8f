"""Supervised pretraining: a classifier from random weights, whose backbone others reuse."""

from __future__ import annotations

from pathlib import Path

from pipelines.evaluation.classification import compute_classification_metrics
from pipelines.evaluation.predictions import compute_predictions
from pipelines.pretraining.model_card import write_backbone
from pipelines.recipe.recipe import Recipe
from pipelines.serving.run import Run
from pipelines.sources.opening.dataset import open_source
from pipelines.storage.run_folder import RunFolder
from pipelines.training.train import train
from zoo.backbones.catalog import resolve
from zoo.errors import RecipeError
from zoo.weights.archive import round_kernels


def pretrain_supervised(
    data: str | Path | None, recipe: Recipe, out: Path, *, resume: bool
) -> Path:
    """Trains a classifier from random weights and writes its backbone and linear top.

    Args:
        data: As `pipelines.pretraining.pretrain.pretrain` takes it.
        recipe: Checked there.
        out: The run folder.
        resume: As `pretrain` takes it.

    Returns:
        The file written.

    Raises:
        RecipeError: The head is more than average pooling and a linear top.
        ZooError: Whatever `train` raises.
    """
    if recipe.head.hidden or recipe.head.pooling != "avg":
        # The file has no place for another head.
        raise RecipeError(
            "supervised pretraining writes a linear top on average pooling",
            expected="head.hidden = [] and head.pooling = 'avg'",
            received=f"head.hidden = {list(recipe.head.hidden)}, "
            f"head.pooling = {recipe.head.pooling!r}",
            mend="start from the preset: leave --recipe out",
        )
    with RunFolder.claim(out, resume=resume):
        run = train(data, recipe, out=out, resume=resume)
        return _write_backbone(run)


def _write_backbone(run: Run) -> Path:
    """Writes the backbone and the top of a finished run, and what they are worth."""
    network, resolved = run.load_model(), run.recipe
    backbone = network.get_layer(resolve(resolved.backbone.name)[0].name)
    top = network.get_layer("logits")
    # The figures are those of the rounded weights, on images that no choice was made by.
    round_kernels(backbone, top)
    source = open_source(resolved.source, resolved.data, seed=resolved.seed)
    split = "val" if source.test is None else "test"
    examples = source.splits[split]
    (task,) = source.tasks
    predictions = compute_predictions(network, resolved, examples, source.tasks)
    metrics = compute_classification_metrics(
        examples.targets[task.name], predictions[task.name], task.class_names
    )
    return write_backbone(
        run,
        backbone,
        top,
        class_names=run.class_names,
        split=split,
        num_images=metrics["num_images"],
        accuracy=metrics["accuracy"],
        accuracy_interval=metrics["accuracy_interval"],
    )
