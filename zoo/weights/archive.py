"""Weight archives of this project: a backbone, its classification top and a model card.

An archive is a NumPy .npz file of plain arrays, read without unpickling: the card as
JSON under `card`, and every weight under `layer/weight`. Large kernels are rounded to
float16, with an eleven-bit significand, which halves the file. Errors of small ones, such
as those of depthwise convolutions, would weigh more than their bytes: they keep a
significand of 16 bits. Vectors, such as those of batch normalization, stay float32.

A weight [...] is stored as its bytes, uint8 [2, ...], [3, ...] or [4, ...], the lowest
first: sign and exponent compress better apart from the noise of the low bytes, and without
references to short earlier runs. Of a small kernel, the lowest byte is left out. A weight
stored as float16 or float32 is read as well.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from zoo.config import Config
from zoo.errors import WeightsError
from zoo.files import replacing
from zoo.preprocessing import Preprocessing
from zoo.private_api import compress_noise
from zoo.reading import parse_json, read_arrays

# A kernel of more values is stored as float16. In EfficientNet-Lite the smaller ones have
# 4 % of all values, and caused most of the error of the logits.
_LARGE_KERNEL = 20_000


class Card(Config):
    """Model card: how a network was trained and how well it performs.

    Args:
        backbone: The architecture, a row of BACKBONES.
        class_names: The class of each output, in order; empty if the network was trained
            without labels and has no top.
        display_names: Readable names of the classes, in the same order, each with its
            synonyms separated by commas; empty if `class_names` are readable themselves.
        preprocessing: The transform of its input images.
        data: The training data.
        origin: The publisher and the source of the figures; empty if this project trained
            the network. Only then do `recipe`, `train_s` and `device` have values.
        recipe: The complete training recipe, as TOML.
        train_s: Training time, in seconds.
        device: The machine it was trained on.
        split: The split that it was evaluated on, after all choices were made.
        num_images: Images in that split.
        accuracy: Accuracy of a network with a top, 0 to 1.
        accuracy_interval: Its 95 % confidence interval (Wilson, 1927).
        restoration_error: For a network trained without labels, the root mean square error
            of a restored pixel, as a fraction of a pixel's range.
    """

    backbone: str
    class_names: tuple[str, ...] = ()
    display_names: tuple[str, ...] = ()
    preprocessing: Preprocessing
    data: str
    origin: str = ""
    recipe: str = ""
    train_s: float = 0.0
    device: str = ""
    split: str
    num_images: int
    accuracy: float | None = None
    accuracy_interval: tuple[float, float] | None = None
    restoration_error: float | None = None


def round_kernels(*parts: Any) -> None:
    """Rounds the kernels of models and layers as an archive stores them.

    An evaluation after this measures the archive, not the more precise network in memory.
    """
    for part in parts:
        part.set_weights([round_weight(weight) for weight in part.get_weights()])


def round_weight(value: Any) -> Any:
    """Rounds a weight, float32 [...], to the values that an archive can store."""
    if value.ndim < 2:
        return value
    if value.size > _LARGE_KERNEL:
        return value.astype(np.float16).astype(np.float32)
    bits = np.ascontiguousarray(value, "<f4").view("<u4")
    return ((bits + 0x80) & 0xFFFFFF00).astype("<u4").view("<f4")


def _to_bytes(value: Any) -> Any:
    """Returns the bytes that store a weight rounded by `round_weight`, uint8 [2 to 4, ...]."""
    is_kernel = value.ndim >= 2
    dtype = "<f2" if is_kernel and value.size > _LARGE_KERNEL else "<f4"
    values = np.ascontiguousarray(value, dtype)
    planes = np.moveaxis(values.view(np.uint8).reshape(*value.shape, -1), -1, 0)
    return planes[-3:] if is_kernel else planes


def _from_bytes(stored: Any) -> Any:
    """Returns the weight that bytes of `_to_bytes` store, float16 or float32."""
    if stored.dtype != np.uint8:
        return stored
    if len(stored) == 2:
        return np.ascontiguousarray(np.moveaxis(stored, 0, -1)).view("<f2")[..., 0]
    planes = np.concatenate([np.zeros_like(stored[: 4 - len(stored)]), stored])
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1)).view("<f4")[..., 0]


def write_pretrained(network: Any, top: Any, card: Card, path: Path) -> None:
    """Writes a trained backbone and its top to an archive, atomically.

    Args:
        network: The backbone's model.
        top: The layer `logits` of a classifier without hidden layers, or None.
        card: The model card.
        path: The file to create or replace, ending in .npz.
    """
    arrays = _arrays_of(network) | ({} if top is None else _arrays_of(top, "logits"))
    write_archive(card, arrays, path)


def write_archive(card: Card, arrays: dict[str, Any], path: Path) -> None:
    """Writes an archive, atomically; the same content gives the same bytes.

    Args:
        card: The model card.
        arrays: float32 arrays by `layer/weight`; kernels are rounded.
        path: The file to create or replace, ending in .npz.
    """
    text = np.frombuffer(card.model_dump_json().encode(), np.uint8)
    stored = {name: _to_bytes(round_weight(value)) for name, value in arrays.items()}
    with (
        replacing(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, array in {"card": text, **stored}.items():
            # What NumPy's `savez_compressed` does, but for the strategy of the compression.
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                if array is text:
                    np.lib.format.write_array(member, array, allow_pickle=False)
                else:
                    _write_planes(member, array)


def _write_planes(member: Any, planes: Any) -> None:
    """Writes an array to a member of a zip file, each of its first axis compressed by itself."""
    compress_noise(member)
    header = np.lib.format.header_data_from_array_1_0(np.ascontiguousarray(planes))
    np.lib.format.write_array_header_1_0(member, header)
    for plane in planes:
        member.write(plane.tobytes())


def read_card(path: Path) -> Card:
    """Reads the model card of an archive.

    Raises:
        WeightsError: `path` is not an archive that `write_pretrained` wrote.
    """
    return read_archive(path)[0]


def load_backbone(model: Any, path: Path) -> None:
    """Loads the backbone of an archive into a model of the same layers.

    Raises:
        WeightsError: `path` is not an archive, or holds another architecture.
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
    """Assigns the arrays of an archive to a model or to one layer.

    Args:
        model: A Keras model, or a layer if `prefix` is given.
        arrays: Arrays by `layer/weight`.
        path: The archive, for the error.
        prefix: The name under which the archive stores the layer's weights.

    Raises:
        WeightsError: An array is missing or has another shape; no weight has changed.
    """
    named = _named_weights(model, prefix)
    for name, weight in named:
        if name not in arrays or arrays[name].shape != tuple(weight.shape):
            found = arrays[name].shape if name in arrays else "nothing"
            raise WeightsError(
                f"{path} does not fit {model.name}",
                expected=f"{name} of shape {tuple(weight.shape)}",
                received=str(found),
                mend="choose the architecture that the file was trained with, and its "
                "input.size if weights depend on it",
            )
    for name, weight in named:
        weight.assign(arrays[name].astype(np.float32))


def read_archive(path: Path) -> tuple[Card, dict[str, Any]]:
    """Reads an archive: its model card, and its arrays by `layer/weight`.

    Raises:
        WeightsError: `path` is not an archive that `write_pretrained` wrote.
    """
    try:
        arrays = read_arrays(path)
        card = Card.model_validate(parse_json(arrays.pop("card").tobytes()))
        arrays = {name: _from_bytes(array) for name, array in arrays.items()}
    except (OSError, ValueError, KeyError, ValidationError) as error:
        raise WeightsError(
            f"{path} cannot be read as a pretrained network",
            expected="a file that `zoo pretrain` wrote",
            received=" ".join(str(error).split())[:120],
        ) from error
    return card, arrays
