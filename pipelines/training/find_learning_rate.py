"""Find rate: the learning rate a recipe should train with, and the curve it is read off."""

from __future__ import annotations

import logging
from pathlib import Path

from pipelines.recipe.recipe import Recipe
from pipelines.runtime.devices import prepare_devices, quiet_start
from pipelines.runtime.output_paths import check_destination
from pipelines.sources.catalogue import preset_of
from pipelines.sources.dataset import open_source
from pipelines.storage.run_folder import FOUND_PICTURE, FOUND_TABLE, RunFolder
from pipelines.training.trainer import Fitting
from tuning.learning_rate_finder import RateCurve, run_range_test
from tuning.optimization.optimizers import OPTIMIZERS
from zoo.files import replacing, write_text

logger = logging.getLogger(__name__)


def find_learning_rate(
    data: str | Path, recipe: Recipe | None = None, *, out: str | Path
) -> RateCurve:
    """Trains what the recipe's first phase trains, at a rate that rises batch by batch.

    It takes about a hundred batches, augmented as in training, or a hundred steps where
    gradients are accumulated. Nothing of the model is kept.

    Args:
        data: DATA as the command line takes it; empty takes the recipe's.
        recipe: What would be trained; left out, the preset that suits the data. Its
            own learning rate and schedule do not matter.
        out: The folder for the picture, find_lr.png, and its values, find_lr.csv; a run
            may be trained into it afterwards.

    Returns:
        The curve, with its `suggestion`.

    Raises:
        DataError: The images or labels cannot be trained on.
        InputError: Nothing can be written to `out`.
        RecipeError: The recipe does not fit itself or the data.
        TrainingError: No rate made the loss fall.
    """
    folder = Path(out)
    check_destination(folder, "--out")
    recipe = Recipe.preset(preset_of(str(data))) if recipe is None else recipe
    constant = recipe.schedule.model_copy(update={"name": "constant", "milestones": ()})
    recipe = recipe.completed().model_copy(update={"schedule": constant})
    with quiet_start():
        devices = prepare_devices(recipe.device)
    source = open_source(
        str(data) or recipe.data.source, recipe.data, seed=recipe.seed, tasks=recipe.asked_tasks
    )
    logger.info(f"trying learning rates on {devices.description}")
    # A run of its own, which is never begun: a finished one in `out` stays as it is.
    job = Fitting(RunFolder(folder / "find_lr"), recipe, source, devices)
    with devices.scope():
        feed = job.compile_phase(job.phases[0])
    full_batch = OPTIMIZERS[recipe.optimizer.name].full_batch
    curve = run_range_test(
        job.logits,
        iter(feed.train(0).dataset),
        batches_per_rate=job.steps if full_batch else recipe.optimizer.accumulation_steps,
    )
    suggested = curve.suggestion  # there may be none, and then nothing is written
    rows = zip(curve.rates, curve.losses, curve.smoothed, strict=True)
    lines = [f"{rate:.6g},{loss:.6g},{smooth:.6g}\n" for rate, loss, smooth in rows]
    write_text(folder / FOUND_TABLE, "learning_rate,loss,smoothed\n" + "".join(lines))
    _draw(curve, folder / FOUND_PICTURE)
    lowest = curve.rates[curve.lowest_index]
    logger.info(f"loss lowest at {lowest:.2g}, suggested {suggested:.2g}: {folder / FOUND_PICTURE}")
    return curve


def _draw(curve: RateCurve, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(curve.rates, curve.losses, color="#bbbbbb", linewidth=1, label="batches")
    axes.plot(curve.rates, curve.smoothed, color="#1f5fa8", linewidth=2, label="smoothed")
    axes.axvline(
        curve.suggestion,
        color="#b3261e",
        linestyle="--",
        label=f"suggested: {curve.suggestion:.2g}",
    )
    axes.set_xscale("log")
    # Beyond that it has exploded, and would flatten all the rest.
    axes.set_ylim(0, 1.5 * curve.initial_loss)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.set_title("Loss while the learning rate rises", loc="left")
    axes.legend(frameon=False, loc="lower left")
    axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
