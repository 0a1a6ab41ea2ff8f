"""Pretrain: a backbone from scratch, and the file and card it is shipped in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.evaluate import answer
from pipelines.metrics import measure
from pipelines.recipe import Recipe
from pipelines.runs import Run
from pipelines.sources import open_source
from pipelines.train import train
from zoo.backbones import BACKBONES, resolve
from zoo.errors import RecipeError
from zoo.files import sha256_of, write_text
from zoo.pretrained_file import Card, round_kernels, write_pretrained
from zoo.table import Table


@dataclass(frozen=True)
class Method:
    """A way to train a backbone before its task is known.

    Args:
        name: The key in METHODS.
        summary: What it learns from.
    """

    name: str
    summary: str


METHODS: Table[Method] = Table(
    "pretraining method",
    [Method("supervised", "by the labels of a larger set; the usual way")],
)


def pretrain(
    data: str | Path, recipe: Recipe | None = None, *, out: str | Path, resume: bool = False
) -> Path:
    """Trains a whole backbone and writes what others can start from.

    The run is that of `train`; beside it come `pretrained.npz`, which
    `--backbone FILE` starts from and `zoo evaluate` measures, and `card.md`.

    Args:
        data: DATA as the command line takes it; empty takes the recipe's.
        recipe: What to do; left out, the preset `pretrain`. Its backbone may be a file
            of an earlier run, whose training this one continues with a new top.
        out: The run's directory, new unless `resume`.
        resume: Go on where an interrupted run stood.

    Returns:
        The file written.

    Raises:
        RecipeError: The recipe freezes the backbone or puts hidden layers on it.
        ZooError: Whatever `train` raises.
    """
    recipe = Recipe.preset("pretrain") if recipe is None else recipe
    if recipe.tasks:
        raise RecipeError(
            "pretraining learns the classes alone",
            expected="no [tasks]",
            received=", ".join(recipe.tasks),
            mend="leave them out; `zoo train` learns several tasks",
        )
    plain = recipe.head.pooling == "avg" and recipe.input.normalisation == "own"
    if recipe.completed().backbone.frozen or recipe.head.hidden or not plain:
        # The file says nothing of another top, nor of other pixels.
        raise RecipeError(
            "pretraining trains the whole backbone on pixels normalised its own way, with "
            "nothing but a linear top",
            expected="backbone.frozen = false, head.hidden = [], head.pooling = 'avg' and "
            "input.normalisation = 'own'",
            received=f"backbone.frozen = {recipe.backbone.frozen}, "
            f"head.hidden = {list(recipe.head.hidden)}, head.pooling = {recipe.head.pooling!r}, "
            f"input.normalisation = {recipe.input.normalisation!r}",
            mend="start from the preset: leave --recipe out",
        )
    run = train(data, recipe, out=out, resume=resume)
    network = run.load_model()
    backbone = resolve(run.recipe.backbone.name)[0].name
    round_kernels(network, backbone)
    card = _card_of(run, network, backbone)
    file = run.path / "pretrained.npz"
    write_pretrained(network, card, file)
    write_text(run.path / "card.md", _page_of(card, sha256_of(file), file.stat().st_size))
    return file


def _card_of(run: Run, network: Any, backbone: str) -> Card:
    """Measures what is shipped: the rounded network, on images nothing was chosen by."""
    recipe = run.recipe
    source = open_source(recipe.data.source, recipe.data, seed=recipe.seed)
    split = "val" if source.test is None else "test"
    examples = source.splits[split]
    figures = measure(examples.labels, answer(network, recipe, examples), source.class_names)
    # Where the data lay is this machine's affair.
    nowhere = recipe.data.model_copy(update={"source": ""})
    return Card(
        backbone=backbone,
        class_names=run.class_names,
        preprocessing=recipe.input.preprocessing,
        data=Path(recipe.data.source).name,
        recipe=recipe.model_copy(update={"data": nowhere}).to_toml(),
        train_s=run.metrics["timing"]["fit_s"],
        device=run.metrics["device"],
        split=split,
        num_images=figures["num_images"],
        accuracy=figures["accuracy"],
        accuracy_interval=figures["accuracy_interval"],
    )


def _page_of(card: Card, sha256: str, num_bytes: int) -> str:
    low, high = card.accuracy_interval
    fit = card.preprocessing
    interval = f"95 % interval {low:.4f} to {high:.4f}"
    return f"""# {card.backbone}, trained on {card.data}

| | |
|---|---|
| data | {card.data}: {", ".join(card.class_names)} |
| accuracy | {card.accuracy:.4f} of {card.num_images} {card.split} images ({interval}) |
| parameters | {BACKBONES[card.backbone].num_parameters:,} without the top |
| training | {card.train_s / 3600:.2f} hours on {card.device} |
| input | {fit.size} px, fit by {fit.fit}, {fit.interpolation} |
| file | {num_bytes:,} bytes, SHA-256 {sha256} |

Command: `zoo pretrain DATA --recipe recipe.toml --out RUN`, with this recipe:

```toml
{card.recipe.strip()}
```
"""
