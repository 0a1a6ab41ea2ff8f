"""The default search space: the settings of a head and of its features that matter most.

It has few optimizers and widths on purpose: heads that share them train as one stack.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Learning rates from the optimizer's default divided by 10 to 30 to its default times as much.
_RATES = {"nesterov": (1e-3, 0.3), "rmsprop": (1e-4, 1e-2), "adam": (1e-4, 3e-2)}
# The initializer of each activation: He et al., 2015; Klambauer et al., 2017; Glorot and
# Bengio, 2010.
_INITIALIZERS = {
    "he_normal": ["relu", "leaky_relu", "elu"],
    "lecun_normal": ["selu"],
    "glorot_normal": ["tanh"],
}
_HIDDEN = [[64], [256]]
_STRENGTH = {"min": 1e-6, "max": 1e-1, "log": True}

HEAD_SPACE: Mapping[str, Any] = {
    "head.input_dropout": {"min": 0.0, "max": 0.6},
    "head.hidden": [[], *_HIDDEN],
    "head.dropout": {"min": 0.0, "max": 0.7, "when": {"head.hidden": _HIDDEN}},
    "head.activation": {
        "choice": [name for names in _INITIALIZERS.values() for name in names],
        "when": {"head.hidden": _HIDDEN},
    },
    "head.initializer": [
        {"choice": [initializer], "when": {"head.activation": names}}
        for initializer, names in _INITIALIZERS.items()
    ],
    "head.batch_norm": {"choice": [True, False], "when": {"head.hidden": _HIDDEN}},
    "optimizer.name": list(_RATES),
    "optimizer.learning_rate": [
        {"min": low, "max": high, "log": True, "when": {"optimizer.name": [name]}}
        for name, (low, high) in _RATES.items()
    ],
    "schedule.name": ["constant", "exponential", "cosine"],
    "penalty.name": ["none", "l1", "l2", "elastic_net"],
    "penalty.l1": _STRENGTH | {"when": {"penalty.name": ["l1", "elastic_net"]}},
    "penalty.l2": _STRENGTH | {"when": {"penalty.name": ["l2", "elastic_net"]}},
}
"""Heads that are trained by gradient steps."""


def build_default_space(cuts: Sequence[int] = ()) -> Mapping[str, Any]:
    """Returns the space of a search that is given none.

    Besides `HEAD_SPACE` it has linear heads that are fitted to convergence, of which a search
    finds the strength of L2 by itself, and what features a head reads.

    Args:
        cuts: Values of `backbone.truncate_blocks`, besides 0. The levels that a head reads
            end at the same places.
    """
    space: dict[str, Any] = {"head.pooling": ["avg", "concatenated"]}
    if cuts:
        space["backbone.levels"] = [1, *sorted({2, len(cuts) + 1})]
        space["backbone.truncate_blocks"] = {"choice": [0, *cuts], "when": {"backbone.levels": [1]}}
    by_steps = {"optimizer.name": HEAD_SPACE["optimizer.name"]}
    for path, domains in HEAD_SPACE.items():
        if path == "optimizer.name":
            space[path] = ["lbfgs", *domains]
        elif _is_unconditional(domains):
            domain = {"choice": domains} if isinstance(domains, list) else domains
            space[path] = {**domain, "when": by_steps}
        else:
            space[path] = domains
    return space


def add_fine_tuning(space: Mapping[str, Any], max_blocks: int) -> Mapping[str, Any]:
    """Returns a space in which trials also fine-tune blocks of the backbone, or do not.

    Args:
        space: A space without these settings.
        max_blocks: Blocks, at most. Besides their number, it has their learning rate, and by
            how much it falls from block to block.
    """
    counts = list(range(1, max_blocks + 1))
    tuned = {"when": {"fine_tune.blocks": counts}}
    return {
        **space,
        "fine_tune.blocks": [0, *counts],
        "fine_tune.learning_rate": {"min": 1e-5, "max": 3e-3, "log": True, **tuned},
        "fine_tune.block_decay": {"min": 0.3, "max": 1.0, **tuned},
    }


def _is_unconditional(domains: Any) -> bool:
    if isinstance(domains, list):
        return not any(isinstance(domain, Mapping) for domain in domains)
    return "when" not in domains
