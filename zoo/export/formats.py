"""Table of the formats that models are exported in."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import InputError
from zoo.export import (
    litert_format,
    litert_integers,
    onnx_format,
    onnx_integers,
    openvino_format,
    openvino_integers,
)
from zoo.table import Table

Convert = Callable[[Path, Path, str], None]
"""Converts the SavedModel of `zoo.export.graph` into a folder, at a quantization."""


@dataclass(frozen=True)
class Integers:
    """How a format's networks are quantized to 8-bit integers.

    Args:
        quantize: Writes the network of a folder into another, calibrated on a .npy file of images,
            without some layers.
        rank_layers: Groups the layers of a folder's network; those whose quantization costs most
            come first.
        source: The format of that network, which is in single precision.
        packages: Import names of the packages that quantize, beside those of the format.
    """

    quantize: Callable[[Path, Path, Path, Sequence[str]], None]
    rank_layers: Callable[[Path, Path], list[list[str]]]
    source: str
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """A row of FORMATS.

    Args:
        name: The key in FORMATS.
        summary: Where the format runs.
        file: The file that holds the network, in a version's folder.
        extra: The extra of this project that installs what writes and proves it.
        packages: Import names of the packages it needs.
        any_size: Whether the network takes images of any height and width.
        quantizations: What its weights may be.
        convert: Writes it; None for a SavedModel, which is not converted.
        integers: Quantizes it to 8-bit integers; None if it has none.
    """

    name: str
    summary: str
    file: str
    extra: str = ""
    packages: tuple[str, ...] = ()
    any_size: bool = True
    quantizations: tuple[str, ...] = ("none",)
    convert: Convert | None = None
    integers: Integers | None = None

    @property
    def installed(self) -> bool:
        """Whether all its packages are installed."""
        return all(importlib.util.find_spec(package) for package in self.packages)

    def packages_for(self, quantize: str) -> tuple[str, ...]:
        """Returns the import names of the packages that write a quantization.

        Args:
            quantize: One of its quantizations.
        """
        if quantize != "int8" or self.integers is None:
            return self.packages
        return self.packages + self.integers.packages

    def check_installed(self, packages: tuple[str, ...] = ()) -> None:
        """Checks that packages are installed.

        Args:
            packages: Some of its packages; none stands for all.

        Raises:
            InputError: A package is missing.
        """
        missing = [p for p in packages or self.packages if not importlib.util.find_spec(p)]
        if missing:
            raise InputError(
                f"the format {self.name} needs packages that are not installed",
                expected=" and ".join(packages or self.packages),
                received=f"no {' and no '.join(missing)}",
                mend=f"pip install 'transfer-zoo[{self.extra}]'",
            )


FORMATS: Table[Format] = Table(
    "format",
    [
        Format(
            "savedmodel",
            "TensorFlow and TensorFlow Serving; takes image files as they are",
            "saved_model.pb",
        ),
        Format(
            "onnx",
            "ONNX Runtime, on servers, desktops and in browsers",
            "model.onnx",
            extra="onnx",
            packages=("onnxruntime", "tf2onnx", "onnx"),
            quantizations=("none", "float16", "int8"),
            convert=onnx_format.convert,
            integers=Integers(onnx_integers.quantize, onnx_integers.rank_layers, "onnx"),
        ),
        Format(
            "openvino",
            "OpenVINO, on processors and graphics of Intel",
            "model.xml",
            extra="openvino",
            packages=("openvino", "tf2onnx", "onnx"),
            quantizations=("none", "float16", "int8"),
            convert=openvino_format.convert,
            integers=Integers(
                openvino_integers.quantize, onnx_integers.rank_layers, "onnx", ("onnxruntime",)
            ),
        ),
        Format(
            "litert",
            "LiteRT, formerly TensorFlow Lite, on telephones and small devices",
            "model.tflite",
            extra="litert",
            packages=("ai_edge_litert",),
            any_size=False,
            quantizations=("none", "float16", "int8"),
            convert=litert_format.convert,
            integers=Integers(
                litert_integers.quantize,
                litert_integers.rank_layers,
                "litert",
                ("ai_edge_quantizer",),
            ),
        ),
    ],
)
