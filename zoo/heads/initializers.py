"""Initializers: the distributions a head's kernels can start from, all of them Keras' own.

n_in and n_out are a kernel's fan-in and fan-out. Keras cuts the scaled normal
distributions off at two standard deviations and widens them so that the variance is the
formula's all the same.
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
        summary: Its distribution, and when to use it.
        build: Maps a standard deviation, which `normal` alone looks at, to the
            `keras.initializers.Initializer`.
        paper: Where it comes from.
    """

    name: str
    summary: str
    build: Callable[[float], Any]
    paper: str = ""


def _of_keras(keras_class: str, stddev: float) -> Any:
    from keras import initializers

    return getattr(initializers, keras_class)()


def _normal(stddev: float) -> Any:
    from keras import initializers

    return initializers.RandomNormal(stddev=stddev)


LECUN = "http://yann.lecun.com/exdb/publis/pdf/lecun-98b.pdf"
GLOROT = "https://proceedings.mlr.press/v9/glorot10a.html"
HE = "https://arxiv.org/abs/1502.01852"

INITIALIZERS: Table[Initializer] = Table(
    "initializer",
    [
        Initializer(
            "zeros",
            "0: for biases; as kernels it never breaks symmetry, to show that",
            partial(_of_keras, "Zeros"),
        ),
        Initializer(
            "normal",
            "N(0, initializer_stddev²): 1 saturates sigmoids, 0.01 collapses every layer to "
            "the same output, to show that",
            _normal,
        ),
        Initializer(
            "lecun_uniform", "U(±√(3/n_in)): SELU, tanh", partial(_of_keras, "LecunUniform"), LECUN
        ),
        Initializer(
            "lecun_normal", "variance 1/n_in: SELU, tanh", partial(_of_keras, "LecunNormal"), LECUN
        ),
        Initializer(
            "glorot_uniform",
            "U(±√(6/(n_in + n_out))), also called Xavier: sigmoid, tanh, softmax",
            partial(_of_keras, "GlorotUniform"),
            GLOROT,
        ),
        Initializer(
            "glorot_normal",
            "variance 2/(n_in + n_out), also called Xavier: sigmoid, tanh, softmax",
            partial(_of_keras, "GlorotNormal"),
            GLOROT,
        ),
        Initializer(
            "he_uniform",
            "U(±√(6/n_in)): ReLU and its family, ELU",
            partial(_of_keras, "HeUniform"),
            HE,
        ),
        Initializer(
            "he_normal",
            "variance 2/n_in: ReLU and its family, ELU; the notes' default",
            partial(_of_keras, "HeNormal"),
            HE,
        ),
        Initializer(
            "orthogonal",
            "orthonormal columns or rows: deep stacks without batch norm",
            partial(_of_keras, "Orthogonal"),
            "https://arxiv.org/abs/1312.6120",
        ),
    ],
)
