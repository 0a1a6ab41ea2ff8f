"""Presets of KerasHub with random weights, small enough to be written by a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SIZE = 32

_TRANSFORMER: dict[str, Any] = {
    "patch_size": 8,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 16,
    "image_shape": (SIZE, SIZE, 3),
}
_PICTURES = {**_TRANSFORMER, "intermediate_dim": 16}
_TEXTS = {
    "vocabulary_size": 20,
    "embedding_dim": 16,
    "hidden_dim": 16,
    "num_layers": 1,
    "num_heads": 2,
    "intermediate_dim": 16,
    "max_sequence_length": 6,
}

SETTINGS: dict[str, dict[str, Any]] = {
    "ViTBackbone": {**_TRANSFORMER, "mlp_dim": 16},
    "DeiTBackbone": _PICTURES,
    "DINOV2Backbone": {
        **_PICTURES,
        "num_register_tokens": 3,
        "position_embedding_shape": (48, 48, 3),
    },
    "DINOV3Backbone": {**_PICTURES, "num_register_tokens": 4},
    "CLIPVisionEncoder": _PICTURES,
    "CLIPBackbone": {"projection_dim": 8},
    "SigLIPVisionEncoder": _PICTURES,
    "SigLIPBackbone": {},
    "SwinTransformerBackbone": {
        "image_shape": (SIZE, SIZE, 3),
        "embed_dim": 8,
        "depths": (1, 1),
        "num_heads": (1, 2),
        "window_size": 4,
    },
    "MiTBackbone": {
        "layerwise_depths": [1, 1],
        "num_layers": 2,
        "layerwise_num_heads": [1, 2],
        "layerwise_sr_ratios": [2, 1],
        "max_drop_path_rate": 0.1,
        "layerwise_patch_sizes": [7, 3],
        "layerwise_strides": [4, 2],
        "image_shape": (SIZE, SIZE, 3),
        "hidden_dims": [4, 8],
    },
    "ResNetBackbone": {
        "input_conv_filters": [8],
        "input_conv_kernel_sizes": [3],
        "stackwise_num_filters": [64, 8],
        "stackwise_num_blocks": [1, 1],
        "stackwise_num_strides": [1, 2],
        "block_type": "bottleneck_block",
    },
    "DenseNetBackbone": {"stackwise_num_repeats": [1, 2], "growth_rate": 4},
    "EfficientNetBackbone": {
        "stackwise_width_coefficients": [0.5, 0.5],
        "stackwise_depth_coefficients": [1.0, 1.0],
        "stackwise_kernel_sizes": [3, 3],
        "stackwise_num_repeats": [1, 1],
        "stackwise_input_filters": [16, 16],
        "stackwise_output_filters": [16, 24],
        "stackwise_expansion_ratios": [1, 2],
        "stackwise_squeeze_and_excite_ratios": [0.25, 0.25],
        "stackwise_strides": [1, 2],
        "stackwise_block_types": ["v1", "v1"],
        "stackwise_force_input_filters": [0, 0],
        "stackwise_nores_option": [False, False],
    },
    "MobileNetBackbone": {
        "stackwise_expansion": [[16], [24]],
        "stackwise_num_blocks": [1, 1],
        "stackwise_num_filters": [[8], [8]],
        "stackwise_kernel_size": [[3], [3]],
        "stackwise_num_strides": [[2], [1]],
        "stackwise_se_ratio": [[None], [0.25]],
        "stackwise_activation": [["relu"], ["hard_swish"]],
        "stackwise_padding": [[1], [1]],
        "output_num_filters": 24,
        "depthwise_filters": 8,
        "depthwise_stride": 2,
        "depthwise_residual": False,
        "squeeze_and_excite": 0.5,
        "last_layer_filter": 21,
    },
    "CSPNetBackbone": {
        "stem_filters": 8,
        "stem_kernel_size": 3,
        "stem_strides": 2,
        "stackwise_depth": [1, 1],
        "stackwise_strides": [1, 2],
        "stackwise_num_filters": [8, 16],
        "block_type": "dark_block",
        "stage_type": "dark",
    },
    "VGGBackbone": {"stackwise_num_repeats": [1, 1], "stackwise_num_filters": [4, 8]},
    "XceptionBackbone": {
        "stackwise_conv_filters": [[4, 8], [12, 12], [8, 12]],
        "stackwise_pooling": [True, True, False],
    },
}
"""By row of FAMILIES, arguments that make a small network of it."""


def build_network(name: str) -> Any:
    """Builds a small network of KerasHub, with the same random weights each time."""
    import keras
    import keras_hub
    import numpy as np

    models = keras_hub.models
    settings: dict[str, Any] = dict(SETTINGS[name])
    if name in ("CLIPBackbone", "SigLIPBackbone"):
        kind = name.removesuffix("Backbone")
        settings["vision_encoder"] = getattr(models, f"{kind}VisionEncoder")(
            **SETTINGS[f"{kind}VisionEncoder"]
        )
        settings["text_encoder"] = getattr(models, f"{kind}TextEncoder")(**_TEXTS)
    network = getattr(models, name)(**settings)
    # Vectors too, biases and moving averages among them, which a fresh network has at 0 and 1.
    rng = np.random.default_rng(0)
    for weight in network.weights:
        shape = weight.shape
        if keras.backend.is_float_dtype(weight.dtype):
            values = rng.normal(0, np.prod(shape[:-1]) ** -0.5, shape) if len(shape) > 1 else weight
            weight.assign(values + rng.uniform(0, 0.1, shape))
    return network


def write_preset(
    folder: Path, name: str, *, converter: dict[str, Any] | None = None, network: Any = None
) -> Path:
    """Writes a preset as KerasHub does.

    Args:
        folder: Where to.
        name: A row of FAMILIES.
        converter: The settings of its image converter; None leaves it out.
        network: The network; by default one of `build_network`.
    """
    import keras_hub

    (network or build_network(name)).save_to_preset(str(folder))
    if converter is not None:
        keras_hub.layers.ImageConverter(**converter).save_to_preset(str(folder))
    return folder


def edit_json(file: Path, *path: str, value: Any) -> None:
    """Changes one entry of a JSON file."""
    content = json.loads(file.read_text())
    entry = content
    for key in path[:-1]:
        entry = entry[key]
    entry[path[-1]] = value
    file.write_text(json.dumps(content))
