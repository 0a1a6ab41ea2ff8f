"""Synthetic contents of search.json, of any size, without running `zoo tune`."""

from __future__ import annotations

from typing import Any

import numpy as np


def draw_search(num_trials: int, *, folds: bool = False, failed: int = 0) -> dict[str, Any]:
    """Returns trials drawn from the default space, conditional settings included."""
    rng = np.random.default_rng(0)
    failing = np.linspace(1, num_trials - 1, failed).astype(int)
    trials = []
    for number in range(num_trials):
        values, score = _trial(rng)
        fails = number in failing
        trials.append(
            {
                "id": f"{number:03d}",
                "status": "FAILED" if fails else "COMPLETED",
                "score": None if fails else score,
                "score_std": None if fails or not folds else float(rng.uniform(0.005, 0.02)),
                "hyperparameters": values,
            }
        )
    best = max((t for t in trials if t["score"] is not None), key=lambda t: t["score"])
    return {"trials": trials, "best": best, "timing": {"wall_s": 60.0}}


def _trial(rng: np.random.Generator) -> tuple[dict[str, Any], float]:
    values: dict[str, Any] = {
        "head.input_dropout": float(rng.uniform(0, 0.5)),
        "head.hidden": [[], [64], [256]][rng.integers(3)],
        "optimizer.name": str(rng.choice(["sgd", "nesterov", "adam", "adamw"])),
        "schedule.name": str(rng.choice(["constant", "cosine", "exponential"])),
        "penalty.name": str(rng.choice(["none", "l1", "l2", "elastic_net"])),
    }
    adaptive = values["optimizer.name"].startswith("adam")
    center = 1e-3 if adaptive else 3e-2
    values["optimizer.learning_rate"] = float(center * 10 ** rng.uniform(-1.3, 1.3))
    if values["head.hidden"]:
        values["head.activation"] = str(rng.choice(["relu", "elu", "selu", "swish"]))
        values["head.batch_norm"] = bool(rng.integers(2))
        values["head.dropout"] = float(rng.uniform(0, 0.6))
    for name in ("l1", "l2"):
        if values["penalty.name"] in (name, "elastic_net"):
            values[f"penalty.{name}"] = float(10 ** rng.uniform(-6, -2))
    off = np.log10(values["optimizer.learning_rate"] / center)
    score = 0.945 - 0.02 * off**2 - 0.05 * values["head.input_dropout"] ** 2
    score -= 8 * values.get("penalty.l1", 0) + 0.01 * (not values["head.hidden"])
    score -= 0.4 * (off > 1.15)
    return values, float(np.clip(score + rng.normal(0, 0.006), 0.5, 1))
