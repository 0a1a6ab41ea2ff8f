"""Classification heads: the layers from a backbone's feature map to the logits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from zoo.config import Config
from zoo.heads.activations import ACTIVATIONS
from zoo.heads.initializers import INITIALIZERS
from zoo.table import Table

Units = Annotated[int, Field(ge=1, le=16384)]
DropoutRate = Annotated[float, Field(ge=0, lt=1)]


# Shared with heads trained side by side, `tuning.batched_heads.stacked_head`.
BATCH_NORM_EPSILON = 1e-3
# A head trains for few steps, and moving averages with Keras' momentum of 0.99 lag behind for
# hundreds of them.
BATCH_NORM_MOMENTUM = 0.9
POOLED, INPUT_DROPOUT, LOGITS = "pooled", "input_dropout", "logits"


@dataclass(frozen=True)
class Pooling:
    """A reduction of feature maps to a vector.

    Args:
        name: The key in POOLINGS.
        summary: One line on when to use it.
        reductions: What is taken of each channel, `avg` or `max`: one after the other.
    """

    name: str
    summary: str
    reductions: tuple[str, ...]

    def build(self, features: Any) -> Any:
        """Builds the layers.

        Args:
            features: A Keras tensor [B, h, w, F], or a list of them: levels from the top down.

        Returns:
            A Keras tensor [B, F] for each reduction of each level side by side: the first
            reduction of all levels, then the second. `pool_layer_name` names the layers that
            read the maps.
        """
        from keras import layers

        pools = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}
        maps = features if isinstance(features, list) else [features]
        rows = [
            pools[reduction](name=pool_layer_name(level, f"_{reduction}" if position else ""))(one)
            for position, reduction in enumerate(self.reductions)
            for level, one in enumerate(maps, start=1)
        ]
        return layers.Concatenate(name=POOLED)(rows) if len(rows) > 1 else rows[0]


def pool_layer_name(level: int, suffix: str = "") -> str:
    """Returns the name of the layer that reads the feature map of a level, from 1 at the top."""
    return f"pool{suffix}" if level == 1 else f"pool{suffix}_level{level}"


POOLINGS: Table[Pooling] = Table(
    "pooling",
    [
        Pooling("avg", "global average, as most backbones were trained", ("avg",)),
        Pooling("max", "global maximum: for small objects in large images", ("max",)),
        Pooling(
            "concatenated",
            "average and maximum side by side: twice the features",
            ("avg", "max"),
        ),
    ],
)


class HeadConfig(Config):
    """The layers between a backbone's feature map and the logits.

    The order is pooling → input dropout → hidden layers → logits, and in a hidden layer
    dense → batch normalization → activation → dropout; `batch_norm_position` can move the
    normalization behind the activation. Without hidden layers the head is softmax
    regression, and only `pooling` and `input_dropout` apply. Hidden layers default to He
    initialization (He et al., 2015, https://arxiv.org/abs/1502.01852), ELU (Clevert et
    al., 2016, https://arxiv.org/abs/1511.07289), batch normalization and dropout.

    Args:
        pooling: The reduction of the feature map [B, h, w, F]: a row of POOLINGS.
        hidden: Units of each hidden layer, from the features to the logits, each 1 to
            16384.
        initializer: Initializer of the hidden kernels: a row of INITIALIZERS. The logits'
            kernel always uses Glorot uniform, which suits softmax (Glorot and Bengio,
            2010, https://proceedings.mlr.press/v9/glorot10a.html).
        initializer_stddev: Standard deviation of the initializer `normal`, above 0 to 10;
            the other initializers ignore it.
        activation: Activation of the hidden layers: a row of ACTIVATIONS.
        batch_norm: Whether to batch normalize the hidden layers: less sensitive to the
            initial weights, larger learning rates, a slower forward pass (Ioffe and
            Szegedy, 2015, https://arxiv.org/abs/1502.03167).
        batch_norm_position: Whether to normalize before the activation, as in the paper,
            or after it.
        input_dropout: Fraction of the pooled features to drop in training, 0 to below 1.
        dropout: Fraction of a hidden layer's outputs to drop in training, 0 to below 1
            (Srivastava et al., 2014, https://jmlr.org/papers/v15/srivastava14a.html,
            who use 0.2 for inputs and 0.5 for hidden layers).
    """

    pooling: str = "avg"
    hidden: tuple[Units, ...] = ()
    initializer: str = "he_normal"
    initializer_stddev: Annotated[float, Field(gt=0, le=10)] = 0.05
    activation: str = "elu"
    batch_norm: bool = True
    batch_norm_position: Literal["before", "after"] = "before"
    input_dropout: DropoutRate = 0.0
    dropout: DropoutRate = 0.5

    @property
    def hidden_names(self) -> tuple[str, ...]:
        """Names of the hidden layers, which prefix the names of their Keras layers."""
        return tuple(f"hidden{number}" for number, _ in enumerate(self.hidden, start=1))

    @property
    def hidden_order(self) -> tuple[str, ...]:
        """The operations of a hidden layer: dense, norm, activation and dropout, in order."""
        if not self.batch_norm:
            return "dense", "activation", "dropout"
        if self.batch_norm_position == "before":
            return "dense", "norm", "activation", "dropout"
        return "dense", "activation", "norm", "dropout"

    @property
    def hidden_bias(self) -> bool:
        """Whether dense layers have biases; batch normalization behind them adds its own."""
        return not self.batch_norm or self.batch_norm_position == "after"

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


def build_hidden_layers(features: Any, config: HeadConfig) -> Any:
    """Builds a head without its logits: pooling, input dropout and hidden layers.

    Args:
        features: A Keras tensor [B, h, w, F], or a list of several levels.
        config: The head's settings.

    Returns:
        A Keras tensor [B, U], U the units of the last hidden layer; the pooled features
        if there is no hidden layer.
    """
    from keras import layers

    x = POOLINGS[config.pooling].build(features)
    if config.input_dropout:
        x = layers.Dropout(config.input_dropout, name=INPUT_DROPOUT)(x)
    for name, units in zip(config.hidden_names, config.hidden, strict=True):
        x = build_hidden_layer(x, units, config, name)
    return x


def build_hidden_layer(x: Any, units: int, config: HeadConfig, name: str) -> Any:
    """Builds one hidden layer: dense, batch normalization, activation and dropout.

    Args:
        x: A Keras tensor [B, F].
        units: U, the layer's width.
        config: The head's settings.
        name: Name of the dense layer, and prefix of the others' names.

    Returns:
        A Keras tensor [B, U].
    """
    from keras import layers

    initializer = INITIALIZERS[config.initializer].build(config.initializer_stddev)
    build = {
        "dense": lambda: layers.Dense(
            units, kernel_initializer=initializer, use_bias=config.hidden_bias, name=name
        ),
        "norm": lambda: layers.BatchNormalization(
            momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, name=f"{name}_norm"
        ),
        "activation": lambda: ACTIVATIONS[config.activation].build(f"{name}_{config.activation}"),
        "dropout": lambda: layers.Dropout(config.dropout, name=f"{name}_dropout"),
    }
    for operation in config.hidden_order:
        if operation != "dropout" or config.dropout:
            x = build[operation]()(x)
    return x


def build_head(features: Any, config: HeadConfig, num_classes: int) -> Any:
    """Builds a head on a backbone's feature maps.

    Args:
        features: A Keras tensor [B, h, w, F], or a list of several levels.
        config: The head's settings.
        num_classes: C.

    Returns:
        The logits, a Keras tensor float32 [B, C].
    """
    from keras import layers

    hidden = build_hidden_layers(features, config)
    # float32 under any policy: a softmax in float16 loses small probabilities.
    return layers.Dense(num_classes, name=LOGITS, dtype="float32")(hidden)


def initialize_head(layers: Iterable[Any], seed: int) -> None:
    """Draws a head's initial weights and seeds its dropout and random activations.

    The draws depend on the seed and on each layer's name alone: a head starts the same on
    every backbone, and adding a layer changes no other layer.

    Args:
        layers: The head's Keras layers; layers without weights or randomness are skipped.
        seed: The run's seed.
    """
    for layer in layers:
        layer_seed = (
            int.from_bytes(sha256(f"{seed}/{layer.name}".encode()).digest()[:4], "big") >> 1
        )
        if hasattr(layer, "kernel_initializer"):
            initializer = layer.kernel_initializer
            config = initializer.get_config()
            if "seed" in config:
                initializer = type(initializer).from_config({**config, "seed": layer_seed})
            layer.kernel.assign(initializer(layer.kernel.shape, layer.kernel.dtype))
        if hasattr(layer, "seed_generator"):
            layer.seed_generator.state.assign([layer_seed, 0])
