"""Heads: what is trained on top of a backbone, from its features to the logits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from zoo.config import Config
from zoo.heads.activations import ACTIVATIONS
from zoo.heads.initializers import INITIALIZERS
from zoo.table import Table

Width = Annotated[int, Field(ge=1, le=16384)]
Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class Pooling:
    """One way from a feature map to a vector.

    Args:
        name: The key in POOLINGS.
        summary: When to use it.
        build: Maps a Keras tensor [B, h, w, F] to one [B, F], or [B, 2 F] for both; a
            layer called `pool` reads the map.
    """

    name: str
    summary: str
    build: Callable[[Any], Any]


def _average(features: Any) -> Any:
    from keras import layers

    return layers.GlobalAveragePooling2D(name="pool")(features)


def _maximum(features: Any) -> Any:
    from keras import layers

    return layers.GlobalMaxPooling2D(name="pool")(features)


def _concatenated(features: Any) -> Any:
    from keras import layers

    average = layers.GlobalAveragePooling2D(name="pool")(features)
    maximum = layers.GlobalMaxPooling2D(name="pool_max")(features)
    return layers.Concatenate(name="pool_both")([average, maximum])


POOLINGS: Table[Pooling] = Table(
    "pooling",
    [
        Pooling("avg", "how much of it there is; what most backbones were trained with", _average),
        Pooling("max", "whether it is there at all: small things in large images", _maximum),
        Pooling("concatenated", "both, for twice the features", _concatenated),
    ],
)


class HeadConfig(Config):
    """The layers between a backbone's feature map and the logits.

    pooling → input dropout → hidden layers → logits. A hidden layer is dense → batch
    normalization → activation → dropout, or has the normalization behind its
    activation. Without hidden layers the head is plain softmax regression, and only
    `pooling` and `input_dropout` matter. The defaults of the hidden layers are the
    notes' recipe: He initialization, ELU, batch normalization, dropout.

    Args:
        pooling: How the feature map [B, h, w, F] becomes a vector: a row of POOLINGS.
        hidden: Units of each hidden layer, from the features to the logits.
        initializer: Of the hidden layers' kernels: a row of INITIALIZERS. The logits'
            kernel is Glorot's, which suits softmax.
        initializer_stddev: Standard deviation of the initializer `normal`, above 0;
            the others know their own.
        activation: Of the hidden layers: a row of ACTIVATIONS.
        batch_norm: Whether hidden layers are batch normalized (Ioffe and Szegedy,
            2015): less sensitive to the initial weights, larger learning rates, a
            slower forward pass.
        batch_norm_position: Whether the normalization comes before the activation, as
            in the paper, or after it.
        input_dropout: Fraction of the pooled features dropped while training, 0 to
            below 1; the notes' value is 0.2.
        dropout: Fraction of a hidden layer's outputs dropped while training, 0 to
            below 1 (Srivastava et al., 2014).
    """

    pooling: str = "avg"
    hidden: tuple[Width, ...] = ()
    initializer: str = "he_normal"
    initializer_stddev: Annotated[float, Field(gt=0, le=10)] = 0.05
    activation: str = "elu"
    batch_norm: bool = True
    batch_norm_position: Literal["before", "after"] = "before"
    input_dropout: Share = 0.0
    dropout: Share = 0.5

    @field_validator("pooling")
    @classmethod
    def _known_pooling(cls, name: str) -> str:
        return POOLINGS[name].name

    @field_validator("initializer")
    @classmethod
    def _known_initializer(cls, name: str) -> str:
        return INITIALIZERS[name].name

    @field_validator("activation")
    @classmethod
    def _known_activation(cls, name: str) -> str:
        return ACTIVATIONS[name].name


def build_trunk(features: Any, config: HeadConfig) -> Any:
    """Puts a head's layers on a backbone's output, all but the logits.

    Args:
        features: A Keras tensor [B, h, w, F].
        config: Which layers.

    Returns:
        A Keras tensor [B, U], U the units of the last hidden layer, or the pooled
        features where there is none.
    """
    from keras import layers

    x = POOLINGS[config.pooling].build(features)
    if config.input_dropout:
        x = layers.Dropout(config.input_dropout, name="input_dropout")(x)
    for number, units in enumerate(config.hidden, start=1):
        x = build_hidden(x, units, config, f"hidden{number}")
    return x


def build_hidden(x: Any, units: int, config: HeadConfig, name: str) -> Any:
    """Puts one hidden layer on what is below it.

    Args:
        x: A Keras tensor [B, F].
        units: U, how wide it is.
        config: How it is built.
        name: What the names of its layers begin with.

    Returns:
        A Keras tensor [B, U].
    """
    from keras import layers

    before = config.batch_norm and config.batch_norm_position == "before"
    after = config.batch_norm and config.batch_norm_position == "after"

    def normalize(x: Any) -> Any:
        # A head sees few steps: at Keras' 0.99 its statistics would lag behind for hundreds.
        return layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)

    x = layers.Dense(
        units,
        kernel_initializer=INITIALIZERS[config.initializer].build(config.initializer_stddev),
        use_bias=not before,  # batch normalization has its own
        name=name,
    )(x)
    x = normalize(x) if before else x
    x = ACTIVATIONS[config.activation].build(f"{name}_{config.activation}")(x)
    x = normalize(x) if after else x
    return layers.Dropout(config.dropout, name=f"{name}_dropout")(x) if config.dropout else x


def build_head(features: Any, config: HeadConfig, num_classes: int) -> Any:
    """Puts a head on a backbone's output.

    Args:
        features: A Keras tensor [B, h, w, F].
        config: Which layers.
        num_classes: C.

    Returns:
        The logits, a Keras tensor float32 [B, C].
    """
    from keras import layers

    trunk = build_trunk(features, config)
    # float32 whatever the policy: a softmax over halves loses small probabilities.
    return layers.Dense(num_classes, name="logits", dtype="float32")(trunk)


def start_head(layers: Iterable[Any], seed: int) -> None:
    """Draws a head's initial weights, and seeds what it draws from while training.

    By the seed and the layers' names alone, so that a head starts the same on any
    backbone, and the rest of it the same whether one layer more is dropped out of.

    Args:
        layers: The head's Keras layers; those without weights or draws are passed over.
        seed: Of the run.
    """
    for layer in layers:
        own = int.from_bytes(sha256(f"{seed}/{layer.name}".encode()).digest()[:4], "big") >> 1
        if hasattr(layer, "kernel_initializer"):
            initializer = layer.kernel_initializer
            config = initializer.get_config()
            if "seed" in config:
                initializer = type(initializer).from_config({**config, "seed": own})
            layer.kernel.assign(initializer(layer.kernel.shape, layer.kernel.dtype))
        if hasattr(layer, "seed_generator"):
            layer.seed_generator.state.assign([own, 0])
