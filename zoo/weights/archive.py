"""The file a network trained by this project is shipped in, top and card included.

A NumPy archive of plain arrays (nothing is unpickled): the card as JSON, and every
weight under `layer/weight`. Kernels are kept as float16, an eleven-bit mantissa,
which halves the file; what batch normalization needs stays float32.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from zoo.config import Config
from zoo.errors import WeightsError
from zoo.files import replacing
from zoo.preprocessing import Preprocessing


class Card(Config):
    """Where a network comes from and what it is worth.

    Args:
        backbone: The architecture.
        class_names: What its top tells apart, in the order of the outputs; none where
            it was trained without labels and has no top.
        preprocessing: The transform in front of it.
        data: What it was trained on.
        recipe: The complete recipe, as TOML.
        train_s: Seconds of training.
        device: What it was trained on.
        split: What it was measured on, after all choices were made.
        num_images: How many images that were.
        accuracy: Fraction answered right, of a network with a top.
        accuracy_interval: Its 95 % interval (Wilson).
        restoration_error: Of a network trained without labels: the root mean square
            difference of a restored pixel, as a share of the range of one.
    """

    backbone: str
    class_names: tuple[str, ...] = ()
    preprocessing: Preprocessing
    data: str
    recipe: str
    train_s: float
    device: str
    split: str
    num_images: int
    accuracy: float | None = None
    accuracy_interval: tuple[float, float] | None = None
    restoration_error: float | None = None


def round_kernels(*parts: Any) -> None:
    """Rounds the kernels of models and layers to what the file keeps, to be measured so."""
    for part in parts:
        part.set_weights([_halved(weight).astype(np.float32) for weight in part.get_weights()])


def _halved(value: Any) -> Any:
    return value.astype(np.float16) if value.ndim > 1 else value


def write_pretrained(network: Any, top: Any, card: Card, path: Path) -> None:
    """Writes a trained backbone and its top, whole or not at all.

    Args:
        network: The backbone's model.
        top: The layer `logits` of a classifier without hidden layers, or None.
        card: Where it comes from.
        path: The file, ending in .npz.
    """
    arrays = _arrays_of(network) | ({} if top is None else _arrays_of(top, "logits"))
    halved = {name: _halved(value) for name, value in arrays.items()}
    text = np.frombuffer(card.model_dump_json().encode(), np.uint8)
    with replacing(path) as temporary:
        np.savez_compressed(temporary, card=text, **halved)


def read_card(path: Path) -> Card:
    """Returns the card of a file that `write_pretrained` wrote.

    Raises:
        WeightsError: It is no such file.
    """
    return read_archive(path)[0]


def load_backbone(model: Any, path: Path) -> None:
    """Loads the backbone's weights of a file into a model of the same layers.

    Raises:
        WeightsError: It is no such file, or of another architecture.
    """
    assign_weights(model, read_archive(path)[1], path)


def _arrays_of(model: Any, prefix: str = "") -> dict[str, Any]:
    return {name: weight.numpy() for name, weight in _named_weights(model, prefix)}


def _named_weights(model: Any, prefix: str) -> list[tuple[str, Any]]:
    if prefix:
        return [(f"{prefix}/{weight.name}", weight) for weight in model.weights]
    return [
        (f"{layer.name}/{weight.name}", weight)
        for layer in model.layers
        for weight in layer.weights
    ]


def assign_weights(model: Any, arrays: dict[str, Any], path: Path, prefix: str = "") -> None:
    """Assigns the arrays of an archive to a model, or to one layer.

    Args:
        model: A Keras model, or with `prefix` a layer.
        arrays: By `layer/weight`.
        path: The archive, for the message.
        prefix: What a layer's weights are filed under.

    Raises:
        WeightsError: An array is missing or has another shape; nothing is assigned.
    """
    named = _named_weights(model, prefix)
    for name, weight in named:
        if name not in arrays or arrays[name].shape != tuple(weight.shape):
            found = arrays[name].shape if name in arrays else "nothing"
            raise WeightsError(
                f"{path} does not fit {model.name}",
                expected=f"{name} of shape {tuple(weight.shape)}",
                received=str(found),
                mend="choose the architecture it was trained as, and its input.size where "
                "weights depend on it",
            )
    for name, weight in named:
        weight.assign(arrays[name].astype(np.float32))


def read_archive(path: Path) -> tuple[Card, dict[str, Any]]:
    """Reads an archive: its card, and its arrays by `layer/weight`.

    Raises:
        WeightsError: It is no such file.
    """
    try:
        # Opened here, since NumPy leaves open what it then cannot read.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        card = Card.model_validate(json.loads(arrays.pop("card").tobytes()))
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, ValidationError) as error:
        raise WeightsError(
            f"{path} cannot be read as a pretrained network",
            expected="a file that `zoo pretrain` wrote",
            received=" ".join(str(error).split())[:120],
        ) from error
    return card, arrays
