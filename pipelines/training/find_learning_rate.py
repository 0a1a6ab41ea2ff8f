"""Learning rate range test: the loss while the rate rises batch by batch.

Reference: Smith, 2017, https://arxiv.org/abs/1506.01186
"""

from __future__ import annotations

import logging
from pathlib import Path

from pipelines.recipe.measured_depth import measure_input_depth
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.resolved import ResolvedOptimizer
from pipelines.recipe.settings import RecipeSettings
from pipelines.runtime.devices import prepare_devices
from pipelines.runtime.isolation import isolated
from pipelines.runtime.output_paths import check_destination
from pipelines.runtime.stderr import suppress_stderr
from pipelines.storage.destination import FIND_LR_PICTURE, FIND_LR_TABLE
from pipelines.training.prepare import open_images
from pipelines.training.soft_targets import add_soft_targets
from pipelines.training.trainer import Trainer
from tuning.learning_rate_finder import RateCurve, run_range_test
from zoo.files import replacing, write_text

logger = logging.getLogger(__name__)


@isolated()
def find_learning_rate(
    data: str | Path | None, recipe: RecipeSettings | None = None, *, out: str | Path
) -> RateCurve:
    """Trains the recipe's first phase at a rate that rises from batch to batch.

    It takes about a hundred batches, augmented as in training, or a hundred steps with
    gradient accumulation. No weights are kept.

    Args:
        data: DATA as the command line takes it; None takes the recipe's.
        recipe: What would be trained; None takes the preset that suits the data. Its own
            learning rate and schedule do not matter.
        out: The folder for the picture find_lr.png and its values find_lr.csv; a run may
            be trained into it afterwards.

    Returns:
        The curve, with its `suggestion`.

    Raises:
        DataError: The images or labels cannot be trained on.
        InputError: `out` cannot be written, or there is no data set to work on.
        RecipeError: Two settings exclude each other.
        TrainingError: The loss falls at no rate.
    """
    folder = Path(out)
    check_destination(folder, "--out")
    resolved = Recipe.of(recipe or Recipe.for_data(data)).for_source(data).resolve()
    constant = resolved.schedule.model_copy(update={"name": "constant", "milestones": ()})
    optimizer = ResolvedOptimizer.model_validate(dict(resolved.optimizer.by_gradient_steps))
    resolved = resolved.model_copy(update={"schedule": constant, "optimizer": optimizer})
    with suppress_stderr():
        devices = prepare_devices(resolved.device, on_images=resolved.trains_on_images)
    source = open_images(resolved)
    resolved = measure_input_depth(resolved, source.train)
    logger.info(f"trying learning rates on {devices.description}")
    trainer = Trainer(resolved, add_soft_targets(resolved, source), devices)
    trainer.prepare()
    part, feed = trainer.compile_phase(trainer.phases[0])
    full_batch = resolved.optimizer.row.full_batch
    curve = run_range_test(
        part,
        iter(feed.train(0).dataset),
        batches_per_rate=(
            trainer.steps_per_epoch if full_batch else resolved.optimizer.accumulation_steps
        ),
    )
    suggestion = curve.suggestion  # Raises before anything is written.
    rows = zip(curve.rates, curve.losses, curve.smoothed, strict=True)
    lines = [f"{rate:.6g},{loss:.6g},{smooth:.6g}\n" for rate, loss, smooth in rows]
    write_text(folder / FIND_LR_TABLE, "learning_rate,loss,smoothed\n" + "".join(lines))
    _draw(curve, folder / FIND_LR_PICTURE)
    lowest = curve.rates[curve.lowest_index]
    logger.info(
        f"lowest loss at {lowest:.2g}, suggested rate {suggestion:.2g}: {folder / FIND_LR_PICTURE}"
    )
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
    # A diverging loss beyond that would flatten the rest of the curve.
    axes.set_ylim(0, 1.5 * curve.initial_loss)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.set_title("Loss while the learning rate rises", loc="left")
    axes.legend(frameon=False, loc="lower left")
    axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
