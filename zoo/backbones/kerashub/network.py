"""Networks of KerasHub presets, from pixels to a feature map.

    pixels in 0 to 255 → the converter's scale and offset → the network → a feature map

What a transformer returns is a sequence of tokens, one a patch behind those of the whole
image. The feature map [B, h, w, (1 + c)·D] has a patch's token at the patch's place and beside
it, everywhere the same, the c class tokens: averaged, it is the class token and the mean of the
patches side by side, the input of DINOv2's linear classifiers (Oquab et al., 2023,
https://arxiv.org/abs/2304.07193, appendix B.3). Neither is left out, because which one is the
better summary depends on how the network was trained: by the class token (ViT, DeiT, CLIP), by
both (DINOv2) or without one (Swin). Register tokens are dropped (Darcet et al., 2024,
https://arxiv.org/abs/2309.16588). SigLIP pools by attention itself: its map is [B, 1, 1, D].
"""

from __future__ import annotations

import inspect
import json
import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from zoo.backbones.kerashub.families import FAMILIES, Family
from zoo.backbones.kerashub.installation import import_kerashub
from zoo.backbones.kerashub.preset_files import CONVERTER_FILE, Converter
from zoo.errors import RecipeError, WeightsError
from zoo.weights.hdf5 import count_parameters

logger = logging.getLogger(__name__)

_NETWORK = "network"
_DEFAULT_SIZE, _MIN_SIZE = 224, 32


@dataclass(frozen=True)
class Preset:
    """A preset that was read and checked.

    Args:
        folder: Where it lies.
        family: Its class.
        settings: The arguments of the class's constructor; those of a network of pictures and
            texts hold the settings of both halves.
        converter: How pixels reach the network.
    """

    folder: Path
    family: Family
    settings: Mapping[str, Any]
    converter: Converter

    @property
    def vision(self) -> tuple[Family, Mapping[str, Any]]:
        """The class and the settings of the network that sees the image."""
        if self.family.vision_encoder:
            return FAMILIES[self.family.vision_encoder], self.settings["vision_encoder"]
        return self.family, self.settings

    @property
    def name(self) -> str:
        """The backbone's name, by its class and by a digest of all but its weights."""
        family, settings = self.vision
        what = [family.name, dict(settings), self.converter.scale, self.converter.offset]
        digest = sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:8]
        short = family.name.removesuffix("Backbone").removesuffix("VisionEncoder").lower()
        return f"kerashub_{short}_{digest}"

    @property
    def patch_size(self) -> int:
        """Height and width of a patch in pixels; 1 where the network has none."""
        _, settings = self.vision
        size = settings.get("patch_size", 1)
        return int(size[0] if isinstance(size, list) else size)

    @property
    def own_size(self) -> int | None:
        """Height and width of the input that the network was saved with, if it was fixed."""
        family, settings = self.vision
        height = (settings.get(family.shape_key) or [None])[0]
        return None if height is None else int(height)

    @property
    def input_size(self) -> int:
        """The native height and width, in pixels."""
        converted = self.converter.size
        if self.vision[0].sizes == "fixed" or converted is None:
            return self.own_size or converted or _DEFAULT_SIZE
        return converted

    @property
    def min_size(self) -> int:
        """The smallest height and width accepted, in pixels."""
        sizes = self.vision[0].sizes
        if sizes == "fixed":
            return self.input_size
        return self.patch_size if sizes == "patches" else _MIN_SIZE

    def check_size(self, size: int) -> None:
        """Checks that the network takes images of a size.

        Raises:
            RecipeError: It does not.
        """
        sizes, step = self.vision[0].sizes, self.patch_size
        if sizes == "fixed" and size != self.input_size:
            expected = f"input.size = {self.input_size}, for which its positions were learned"
        elif sizes == "patches" and size % step:
            expected = f"a multiple of {step}, the size of its patches"
        else:
            return
        raise RecipeError(
            f"{self.vision[0].name} of {self.folder} does not take every size",
            expected=expected,
            received=str(size),
            mend=f"--set input.size={self.input_size} is its own",
        )


def _construct(preset: Preset, size: int) -> tuple[Any, Any]:
    """Builds the preset's network with random weights, and returns it and its vision half.

    Raises:
        RecipeError: It does not take images of this size.
        WeightsError: The class does not take the preset's settings.
    """
    preset.check_size(size)
    family, settings = preset.vision
    models = import_kerashub().models
    shaped = {**settings, family.shape_key: (size, size, 3), "name": _NETWORK}
    try:
        vision = _call(getattr(models, family.name), shaped, family.older_settings)
        if preset.family is family:
            return vision, vision
        text = _call(getattr(models, preset.family.text_encoder), preset.settings["text_encoder"])
        halves = {**preset.settings, "vision_encoder": vision, "text_encoder": text}
        return _call(getattr(models, preset.family.name), halves), vision
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
        raise WeightsError(
            f"{preset.family.name} cannot be built as {preset.folder}/config.json says",
            expected="the settings of KerasHub 0.32",
            received=str(error)[:160] or type(error).__name__,
            mend="save the preset again with this version",
        ) from error


def _call(
    network_class: Any, settings: Mapping[str, Any], older_settings: Sequence[str] = ()
) -> Any:
    """Calls a constructor, which would ignore a setting of a later version without a word."""
    unknown = set(settings) - set(inspect.signature(network_class).parameters)
    unknown -= {"name", *older_settings}
    if unknown:
        raise TypeError(f"{network_class.__name__} has no setting {', '.join(sorted(unknown))}")
    return network_class(**settings)


def build_network(preset: Preset, size: int) -> Any:
    """Builds a preset's network as a backbone, with random weights.

    Args:
        preset: The preset.
        size: S, height and width of the input in pixels.

    Returns:
        A `keras.Model` from float32 [B, S, S, 3] in 0 to 255 to features [B, h, w, F].

    Raises:
        InputError: KerasHub is not installed.
        RecipeError: The network does not take images of this size.
        WeightsError: Its class does not take the preset's settings.
    """
    import keras

    _, vision = _construct(preset, size)
    images = keras.Input((size, size, 3))
    x: Any = images
    if not preset.converter.given:
        logger.warning(
            f"{preset.folder} has no {CONVERTER_FILE}: the network gets pixels in 0 to 255 as "
            "they are; if it was trained on others, save its image converter beside it"
        )
    if (preset.converter.scale, preset.converter.offset) != (1.0, 0.0):
        # float32 under any policy: float16 is too coarse for pixels.
        x = keras.layers.Rescaling(
            preset.converter.scale, preset.converter.offset, name="converter", dtype="float32"
        )(x)
    # Some take a dictionary with one key.
    x = vision({key: x for key in vision.input} if isinstance(vision.input, dict) else x)
    return keras.Model(images, _to_map(preset, x), name=preset.name)


def _to_map(preset: Preset, x: Any) -> Any:
    """Turns what the network returns into a feature map [B, h, w, F]."""
    from keras import layers

    family, settings = preset.vision
    if len(x.shape) == 4:
        return x
    if family.num_class_tokens is None:
        return layers.Reshape((1, 1, x.shape[-1]), name="map")(x)
    num_class_tokens = family.num_class_tokens(settings)
    num_before = num_class_tokens + int(settings.get(family.registers, 0))
    num_tokens, width = x.shape[1:]
    side = math.isqrt(num_tokens - num_before)
    patches = layers.Cropping1D((num_before, 0), name="patches")(x) if num_before else x
    patches = layers.Reshape((side, side, width), name="map")(patches)
    if not num_class_tokens:
        return patches
    tokens = layers.Cropping1D((0, num_tokens - num_class_tokens), name="class_tokens")(x)
    tokens = layers.Reshape((1, 1, num_class_tokens * width), name="class_token_map")(tokens)
    tokens = layers.UpSampling2D(side, name="class_token_everywhere")(tokens)
    return layers.Concatenate(name="class_token_and_patches")([tokens, patches])


def load_network(preset: Preset, model: Any, path: Path) -> None:
    """Loads a preset's weight file into a model from `build_network`.

    Args:
        preset: The preset.
        model: The model.
        path: The verified file.

    Raises:
        WeightsError: The file holds more than plain arrays of numbers, or lacks weights.
    """
    count_parameters(path)
    vision = model.get_layer(_NETWORK)
    if preset.family is preset.vision[0]:
        _load_all(vision, vision, path)
        return
    whole, half = _construct(preset, int(model.input_shape[1]))
    _load_all(whole, half, path)
    vision.set_weights(half.get_weights())


def _load_all(network: Any, needed: Any, path: Path) -> None:
    """Loads a file into a network, and checks that it had every weight of a part of it.

    Keras only warns of layers that a file lacks, and leaves them as they are: here at NaN.
    """
    import keras
    import numpy as np

    floats = [w for w in needed.weights if keras.backend.is_float_dtype(w.dtype)]
    for weight in floats:
        weight.assign(np.full(weight.shape, np.nan, np.float32))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Skipping nested container", UserWarning)
        network.load_weights(path)
    for weight in floats:
        if bool(keras.ops.any(keras.ops.isnan(weight))):
            raise WeightsError(
                f"{path} has no values for all weights of the network",
                expected=f"{weight.path}, {weight.shape}",
                mend="take it from the preset that config.json is from",
            )
