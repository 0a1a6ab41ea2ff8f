"""Initializers of a head's kernels, all of them Keras' own.

n_in and n_out are a kernel's fan-in and fan-out. Keras truncates the normal distributions
of LeCun, Glorot and He at two standard deviations and widens them accordingly, so the
variance is that of the formula.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from zoo.table import Table


@dataclass(frozen=True)
class Initializer:
    """One initializer.

    Args:
        name: The key in INITIALIZERS.
        summary: One line on its distribution and when to use it.
        build: Maps a standard deviation, which only `normal` uses, to a
            `keras.initializers.Initializer`.
        paper: The paper's address, if there is one.
    """

    name: str
    summary: str
    build: Callable[[float], Any]
    paper: str = ""


def _build_initializer(keras_class: str, stddev: float) -> Any:
    from keras import initializers

    return getattr(initializers, keras_class)()


def _normal(stddev: float) -> Any:
    from keras import initializers

    return initializers.RandomNormal(stddev=stddev)


_LECUN = "http://yann.lecun.com/exdb/publis/pdf/lecun-98b.pdf"
_GLOROT = "https://proceedings.mlr.press/v9/glorot10a.html"
_HE = "https://arxiv.org/abs/1502.01852"

INITIALIZERS: Table[Initializer] = Table(
    "initializer",
    [
        Initializer(
            "zeros",
            "all 0: every unit stays the same, since nothing breaks symmetry; for study",
            partial(_build_initializer, "Zeros"),
        ),
        Initializer(
            "normal",
            "N(0, initializer_stddev²): at 1 sigmoids saturate, at 0.01 activations collapse; "
            "for study",
            _normal,
        ),
        Initializer(
            "lecun_uniform",
            "U(±√(3/n_in)): for SELU and tanh",
            partial(_build_initializer, "LecunUniform"),
            _LECUN,
        ),
        Initializer(
            "lecun_normal",
            "normal, variance 1/n_in: for SELU and tanh",
            partial(_build_initializer, "LecunNormal"),
            _LECUN,
        ),
        Initializer(
            "glorot_uniform",
            "U(±√(6/(n_in + n_out))), also called Xavier: for sigmoid, tanh, softmax",
            partial(_build_initializer, "GlorotUniform"),
            _GLOROT,
        ),
        Initializer(
            "glorot_normal",
            "normal, variance 2/(n_in + n_out), also called Xavier: for sigmoid, tanh, softmax",
            partial(_build_initializer, "GlorotNormal"),
            _GLOROT,
        ),
        Initializer(
            "he_uniform",
            "U(±√(6/n_in)): for ReLU, its variants and ELU",
            partial(_build_initializer, "HeUniform"),
            _HE,
        ),
        Initializer(
            "he_normal",
            "the default: normal, variance 2/n_in, for ReLU, its variants and ELU",
            partial(_build_initializer, "HeNormal"),
            _HE,
        ),
        Initializer(
            "orthogonal",
            "orthonormal columns or rows: for deep heads without batch norm",
            partial(_build_initializer, "Orthogonal"),
            "https://arxiv.org/abs/1312.6120",
        ),
    ],
)
