"""Model card of a pretrained backbone, inside its file and as a page beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.storage.run_folder import RunFolder
from zoo.backbones.catalog import resolve
from zoo.files import sha256_of, write_text
from zoo.weights.archive import Card, write_pretrained


def write_backbone(run: RunFolder, network: Any, top: Any = None, **figures: Any) -> Path:
    """Writes a backbone's file, card included, and the card as a page.

    Args:
        run: The run folder; its recipe, device and training time go on the card.
        network: The backbone, a Keras model.
        top: The layer of the logits, or None without labels.
        **figures: Other fields of `Card`: `split`, `num_images`, and the metrics.

    Returns:
        The file written.
    """
    recipe = run.recipe
    # The data's path on this machine concerns nobody else.
    data = recipe.data.model_copy(update={"source": None})
    card = Card(
        backbone=resolve(recipe.backbone.name)[0].name,
        preprocessing=recipe.input.preprocessing,
        data=Path(recipe.source).name,
        recipe=recipe.model_copy(update={"data": data}).to_toml(),
        train_s=run.timing["fit_s"],
        device=run.record["device"],
        **figures,
    )
    file = run.pretrained_file
    write_pretrained(network, top, card, file)
    page = _format_page(card, network.count_params(), sha256_of(file), file.stat().st_size)
    write_text(run.path / "card.md", page)
    return file


def _format_page(card: Card, parameters: int, sha256: str, num_bytes: int) -> str:
    fit = card.preprocessing
    classes = f": {', '.join(card.class_names)}" if card.class_names else ", labels not used"
    images = f"{card.num_images} {card.split} images"
    if card.accuracy is not None and card.accuracy_interval is not None:
        low, high = card.accuracy_interval
        interval = f"95 % interval {low:.4f} to {high:.4f}"
        worth = f"| accuracy | {card.accuracy:.4f} of {images} ({interval}) |"
    else:
        error = f"{card.restoration_error:.4f} of the range of a pixel"
        worth = f"| restoration error | {error} (root mean square, {images}) |"
    return f"""# {card.backbone}, trained on {card.data}

| | |
|---|---|
| data | {card.data}{classes} |
{worth}
| parameters | {parameters:,} without the top |
| training | {card.train_s / 3600:.2f} hours on {card.device} |
| input | {fit.size} px, fit by {fit.fit}, {fit.interpolation} |
| file | {num_bytes:,} bytes, SHA-256 {sha256} |

Command: `zoo pretrain DATA --recipe recipe.toml --out RUN`, with this recipe:

```toml
{card.recipe.strip()}
```
"""
