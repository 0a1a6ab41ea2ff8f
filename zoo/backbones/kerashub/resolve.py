"""Presets of KerasHub as backbones: `kerashub:FOLDER` or `kerashub:HANDLE`.

A preset is a folder with config.json, model.weights.h5 and, mostly, image_converter.json. It
may come from anywhere, so nothing in it is trusted: its class has to be a row of FAMILIES, its
settings plain values that go to that class's constructor, and its weights plain arrays; Keras'
deserialization is never asked.
"""

from __future__ import annotations

import importlib
import logging
from functools import lru_cache, partial
from pathlib import Path

from zoo.backbones.base import Backbone
from zoo.backbones.kerashub.families import FAMILIES
from zoo.backbones.kerashub.installation import check_installed, import_kerashub
from zoo.backbones.kerashub.network import Preset, build_network, load_network
from zoo.backbones.kerashub.preset_files import WEIGHTS_FILE, read_converter, read_settings
from zoo.errors import UnknownNameError, WeightsError
from zoo.files import sha256_of
from zoo.table import unknown_name
from zoo.weights.hdf5 import count_parameters
from zoo.weights.row import Weights

logger = logging.getLogger(__name__)

PREFIX = "kerashub:"

_KAGGLE = "kaggle://"


def resolve_preset(name: str) -> tuple[Backbone, Weights]:
    """Returns the rows of a preset's network and weights.

    Args:
        name: `kerashub:FOLDER`, or `kerashub:HANDLE`, which is downloaded if necessary.

    Raises:
        InputError: KerasHub is not installed.
        UnknownNameError: There is no such folder, and no such preset of KerasHub.
        WeightsError: A file is missing, or is not one of an image network of KerasHub.
    """
    check_installed()
    given = name.removeprefix(PREFIX)
    folder = Path(given).expanduser()
    if given and folder.is_dir():
        folder = folder.resolve()
        lasting = f"{PREFIX}{folder}"
    else:
        folder, lasting = _download(given), name
    preset = _open(folder)
    file = folder / WEIGHTS_FILE
    digest, num_parameters = _inspect(file, preset.family.weights_group, _stamp(file))
    family = preset.vision[0]
    weights = Weights(
        name=lasting,
        url=str(file),
        file=WEIGHTS_FILE,
        sha256=digest,
        license="its publisher's",
        data="as its publisher says",
        input_size=preset.input_size,
        normalization="none",
        origin="a preset of KerasHub",
    )
    row = Backbone(
        name=preset.name,
        summary=f"{family.name} of KerasHub: {family.summary}",
        build=partial(build_network, preset),
        load=partial(load_network, preset),
        input_size=preset.input_size,
        min_size=preset.min_size,
        normalization="none",
        num_features=_num_features(preset),
        num_parameters=num_parameters,
        block_pattern="",
        paper=family.paper,
        weights=(weights,),
    )
    return row, weights


def _download(handle: str) -> Path:
    """Returns the folder of a preset of KerasHub, downloading it to Kaggle's cache if necessary.

    Args:
        handle: A name such as `vit_base_patch16_224_imagenet`, or `kaggle://OWNER/…`.
    """
    if not handle.startswith(_KAGGLE):
        if not handle or "/" in handle or "\\" in handle:
            raise UnknownNameError(
                f"there is no folder {handle!r}",
                expected=f"{PREFIX}FOLDER, {PREFIX} and the name of a preset of KerasHub, or "
                f"{PREFIX}{_KAGGLE}OWNER/MODEL/keras/VARIATION",
                mend="save a preset by `backbone.save_to_preset(FOLDER)`, or download one",
            )
        models = import_kerashub().models
        presets = {k: v for name in FAMILIES for k, v in getattr(models, name).presets.items()}
        if handle not in presets:
            raise unknown_name("preset of KerasHub", handle, presets)
        handle = str(presets[handle]["kaggle_handle"])
    mend = f"download its folder elsewhere, and name that: {PREFIX}FOLDER"
    try:
        kagglehub = importlib.import_module("kagglehub")
    except ImportError:
        raise WeightsError(
            f"{handle} is not on this machine, and kagglehub, which downloads it, not installed",
            mend=f"pip install kagglehub, or {mend}",
        ) from None
    logger.info(f"fetching {handle} from Kaggle, unless it is in its cache")
    try:
        return Path(kagglehub.model_download(handle.removeprefix(_KAGGLE)))
    except Exception as error:
        # Errors of its own, of requests and of the operating system.
        raise WeightsError(
            f"{handle} cannot be downloaded",
            received=f"{type(error).__name__}: {str(error)[:120]}",
            mend=mend,
        ) from error


def _num_features(preset: Preset) -> int:
    family, settings = preset.vision
    try:
        return family.num_features(settings)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{preset.folder}/config.json lacks a setting of {family.name}, or has a wrong one",
            expected="the settings of KerasHub 0.32",
            received=f"{type(error).__name__}: {error}",
            mend="save the preset again with this version",
        ) from error


def _open(folder: Path) -> Preset:
    name, settings = read_settings(folder)
    return Preset(folder, FAMILIES[name], settings, read_converter(folder))


def _stamp(file: Path) -> tuple[int, ...]:
    """Returns what changes with a file's content, so that it is hashed once a process."""
    try:
        status = file.stat()
    except OSError:
        raise WeightsError(
            f"{file.parent} has no {WEIGHTS_FILE}",
            expected="the folder of a preset: config.json and the weights in one file",
            mend="save it by `backbone.save_to_preset(FOLDER, max_shard_size=None)`",
        ) from None
    return status.st_size, status.st_mtime_ns, status.st_ino


@lru_cache(maxsize=16)
def _inspect(file: Path, group: str, stamp: tuple[int, ...]) -> tuple[str, int]:
    return sha256_of(file), count_parameters(file, group)
