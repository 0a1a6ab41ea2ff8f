"""Files of a KerasHub preset: read as plain values, whatever they name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.backbones.kerashub.families import FAMILIES
from zoo.errors import WeightsError

CONFIG_FILE, CONVERTER_FILE = "config.json", "image_converter.json"
WEIGHTS_FILE = "model.weights.h5"

# A configuration takes some kilobytes.
_MAX_BYTES = 1 << 20
# What every Keras model has and a backbone here decides by itself.
_KERAS_SETTINGS = ("name", "trainable", "dtype")

Factor = float | tuple[float, ...]


@dataclass(frozen=True)
class Converter:
    """How pixels in 0 to 255 reach the network: `pixels * scale + offset`.

    Args:
        given: Whether the preset has the file at all; without it pixels stay as they are.
        size: Height and width in pixels, if it resizes.
        scale: Of every channel, or of red, green and blue.
        offset: Likewise.
    """

    given: bool = False
    size: int | None = None
    scale: Factor = 1.0
    offset: Factor = 0.0


def read_settings(folder: Path) -> tuple[str, Mapping[str, Any]]:
    """Reads config.json.

    Args:
        folder: The preset.

    Returns:
        The class, a row of FAMILIES, and the arguments of its constructor: null, booleans,
        numbers, texts and lists of them; under `vision_encoder` and `text_encoder` those of
        the two halves of a network of pictures and texts.

    Raises:
        WeightsError: The file is missing or damaged, or names another class or something
            that is no plain value.
    """
    file = folder / CONFIG_FILE
    content = _read_json(file)
    name, settings = _class_and_settings(file, content, list(FAMILIES))
    family = FAMILIES[name]
    halves = (
        {"vision_encoder": family.vision_encoder, "text_encoder": family.text_encoder}
        if family.vision_encoder
        else {}
    )
    plain = {key: _plain(file, key, v) for key, v in settings.items() if key not in halves}
    for key, expected in halves.items():
        _, half = _class_and_settings(file, settings.get(key), [expected])
        plain[key] = {k: _plain(file, k, v) for k, v in half.items()}
    vision = plain.get("vision_encoder", plain)
    shape_key = (FAMILIES[family.vision_encoder] if halves else family).shape_key
    _check_shape(file, vision.get(shape_key))
    if "channels_first" in (plain.get("data_format"), vision.get("data_format")):
        raise _damaged(file, "images with channels last", "data_format = 'channels_first'")
    return name, plain


def read_converter(folder: Path) -> Converter:
    """Reads image_converter.json, if the preset has it.

    Raises:
        WeightsError: The file is damaged, or resizes to something else than a square.
    """
    file = folder / CONVERTER_FILE
    if not file.exists():
        return Converter()
    content = _read_json(file)
    settings = content.get("config") if isinstance(content, dict) else None
    if not isinstance(settings, dict):
        raise _damaged(file, "the settings of an image converter", str(content)[:60])
    size = settings.get("image_size") or [settings.get("height"), settings.get("width")]
    _check_shape(file, size)
    scale = _factor(file, "scale", settings.get("scale"), 1.0)
    offset = _factor(file, "offset", settings.get("offset"), 0.0)
    if "mean" in settings and "variance" in settings:
        # An older form: (pixels * scale - mean) / sqrt(variance).
        means = _factor(file, "mean", settings["mean"], 0.0)
        variances = _factor(file, "variance", settings["variance"], 1.0)
        if not (isinstance(means, tuple) and isinstance(variances, tuple)):
            raise _damaged(file, "a mean and a variance for each channel", str(settings["mean"]))
        if isinstance(scale, tuple) or min(variances) <= 0:
            raise _damaged(file, "one scale and variances above 0", str(settings["variance"]))
        deviations = [math.sqrt(variance) for variance in variances]
        scale = tuple(scale / std for std in deviations)
        offset = tuple(-mean / std for mean, std in zip(means, deviations, strict=True))
    return Converter(True, None if size[0] is None else int(size[0]), scale, offset)


def _read_json(file: Path) -> Any:
    from zoo.reading import parse_json, read_text  # with NumPy, which tables do without

    try:
        if file.stat().st_size > _MAX_BYTES:
            raise _damaged(file, "some kilobytes", f"{file.stat().st_size} bytes")
        return parse_json(read_text(file, max_bytes=_MAX_BYTES))
    except FileNotFoundError:
        raise WeightsError(
            f"{file.parent} has no {file.name}",
            expected=f"the folder of a KerasHub preset: {CONFIG_FILE} and {WEIGHTS_FILE}",
            mend="name the folder that `backbone.save_to_preset` wrote",
        ) from None
    except (OSError, ValueError) as error:
        raise _damaged(file, "JSON", str(error)[:120]) from None


def _class_and_settings(
    file: Path, content: Any, admitted: list[str]
) -> tuple[str, dict[str, Any]]:
    """Returns the class that a serialized object names, and its settings without Keras' own."""
    content = content if isinstance(content, dict) else {}
    name, settings = content.get("class_name"), content.get("config")
    # Presets of KerasNLP, as KerasHub was called, are its own.
    registered = [f"keras_hub>{name}", f"keras_nlp>{name}"]
    if name not in admitted or content.get("registered_name") not in registered:
        received = content.get("registered_name") or f"{content.get('module')}.{name}"
        raise WeightsError(
            f"{file} does not describe an image network of KerasHub",
            expected=f"{'one of ' if len(admitted) > 1 else ''}keras_hub>{', '.join(admitted)}",
            received=str(received)[:120],
            mend="name the folder of another preset",
        )
    if not isinstance(settings, dict):
        raise _damaged(file, f"the settings of {name}", str(settings)[:60])
    return str(name), {k: v for k, v in settings.items() if k not in _KERAS_SETTINGS}


def _plain(file: Path, key: str, value: Any) -> Any:
    """Returns a value if it is plain: a dictionary could name a class or a function."""
    if isinstance(value, list):
        return [_plain(file, key, part) for part in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise _damaged(file, f"numbers, texts and lists of them as {key}", str(value)[:60])


def _check_shape(file: Path, shape: Any) -> None:
    if not shape:
        return
    sides = list(shape[:2]) if isinstance(shape, list) and len(shape) >= 2 else [shape]
    square = len(sides) == 2 and sides[0] == sides[1]
    number = sides[0] is None or (type(sides[0]) is int and sides[0] > 0)
    if not (square and number and shape[2:] in ([], [3])):
        raise _damaged(file, "square images of three channels", str(shape)[:60])


def _factor(file: Path, key: str, value: Any, default: float) -> Factor:
    """Returns a number, or one for each channel."""
    if value is None:
        return default
    values = value if isinstance(value, list) else [value]
    plain = all(type(v) in (int, float) and math.isfinite(v) for v in values)
    if not plain or (isinstance(value, list) and len(values) != 3):
        raise _damaged(file, f"a number or three as {key}", str(value)[:60])
    numbers = tuple(float(v) for v in values)
    return numbers if isinstance(value, list) else numbers[0]


def _damaged(file: Path, expected: str, received: str) -> WeightsError:
    return WeightsError(
        f"{file} cannot be used", expected=expected, received=received, mend="save the preset again"
    )
