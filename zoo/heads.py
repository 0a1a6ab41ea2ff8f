"""Heads: what is trained on top of a backbone, from its features to the logits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from zoo.config import Config

Width = Annotated[int, Field(ge=1, le=16384)]


class HeadConfig(Config):
    """The layers between a backbone's feature map and the logits.

    Without hidden layers the head is plain softmax regression and only
    `pooling` matters. Each hidden layer is dense → batch normalisation →
    activation → dropout; the defaults are the notes' recipe: He initialisation,
    ELU, batch normalisation, dropout.

    Args:
        pooling: How the feature map [B, h, w, F] becomes [B, F].
        hidden: Units of each hidden layer, from the features to the logits.
        initializer: Of the hidden layers' kernels; He et al., 2015.
        activation: Of the hidden layers; ELU is Clevert et al., 2016.
        batch_norm: Whether hidden layers are batch normalised; Ioffe and
            Szegedy, 2015.
        dropout: Fraction of a hidden layer's outputs dropped while training,
            0 to below 1; Srivastava et al., 2014.
    """

    pooling: Literal["avg", "max"] = "avg"
    hidden: tuple[Width, ...] = ()
    initializer: Literal["he_normal", "he_uniform"] = "he_normal"
    activation: Literal["elu", "relu"] = "elu"
    batch_norm: bool = True
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5


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

    pool = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}
    x = pool[config.pooling](name="pool")(features)
    for number, units in enumerate(config.hidden, start=1):
        x = layers.Dense(
            units,
            kernel_initializer=config.initializer,
            use_bias=not config.batch_norm,  # batch normalisation has its own
            name=f"hidden{number}",
        )(x)
        if config.batch_norm:
            # A head sees few steps: at Keras' 0.99 its statistics would lag behind for hundreds.
            x = layers.BatchNormalization(momentum=0.9, name=f"hidden{number}_norm")(x)
        x = layers.Activation(config.activation, name=f"hidden{number}_{config.activation}")(x)
        if config.dropout:
            x = layers.Dropout(config.dropout, name=f"hidden{number}_dropout")(x)
    # float32 whatever the policy: a softmax over halves loses small probabilities.
    return layers.Dense(num_classes, name="logits", dtype="float32")(x)
