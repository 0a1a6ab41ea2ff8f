"""Find and load a pretrained classifier: a backbone with the top layer it was trained with."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from zoo.backbones.catalog import BACKBONES, WEIGHTS, resolve
from zoo.errors import WeightsError
from zoo.heads.head import HeadConfig
from zoo.models.classifier import build_classifier
from zoo.table import find_near_names
from zoo.weights.archive import Card, assign_weights, read_archive
from zoo.weights.row import Weights


def list_classifiers() -> list[str]:
    """Returns the names of the networks that predict classes as they are, with their top."""
    return [name for name, weights in WEIGHTS.items() if weights.has_top]


def find_classifier(name: str) -> Weights | None:
    """Returns the weights of a pretrained classifier.

    Args:
        name: A row of WEIGHTS, or a file that `zoo pretrain` wrote.

    Returns:
        The row, or None if `name` looks like the path of something else.

    Raises:
        UnknownNameError: `name` is nearly that of a network.
        WeightsError: It is that of a network without a top, or the file is damaged.

    Example:
        >>> find_classifier("efficientnet_lite0.imagenet").data
        'ImageNet-1k'
        >>> find_classifier("runs/photos") is None
        True
    """
    if name.endswith(".npz"):
        return resolve(name)[1]
    if name in WEIGHTS and WEIGHTS[name].has_top:
        return WEIGHTS[name]
    if os.path.lexists(name) or os.path.basename(name) != name:
        return None
    if name in WEIGHTS or name in BACKBONES:
        raise _no_top(name)
    if find_near_names(name, [*BACKBONES, *WEIGHTS]):
        resolve(name)  # raises the error that names them
    return None


def _no_top(name: str) -> WeightsError:
    pretrained = [weights.name for weights in BACKBONES[name.partition(".")[0]].weights]
    own = [row for row in list_classifiers() if row in pretrained]
    return WeightsError(
        f"{name} predicts no classes, since "
        + ("its file has no top layer" if name in WEIGHTS else "its weights are random"),
        expected=f"a network with a top layer: {', '.join(list_classifiers())}",
        mend=f"take {own[0]}" if own else f"train one: zoo train DATA --backbone {name} --out RUN",
    )


def load_pretrained(path: Path) -> tuple[Any, Card]:
    """Loads the classifier of a file that `zoo pretrain` wrote.

    Returns:
        The classifier, a `keras.Model`, and the card of the file.

    Raises:
        WeightsError: The file is damaged or of another kind, or holds a backbone that was
            trained without labels.
    """
    card, arrays = read_archive(path)
    if not card.class_names:
        raise WeightsError(
            f"{path} was trained without labels, so it predicts no classes",
            expected="a network with a top layer",
            mend=f"train one on it: zoo train DATA --backbone {shlex.quote(str(path))} --out RUN",
        )
    classifier = build_classifier(
        card.backbone,
        len(card.class_names),
        size=card.preprocessing.size,
        head=HeadConfig(),
        frozen=True,
    )
    assign_weights(classifier.get_layer(card.backbone), arrays, path)
    assign_weights(classifier.get_layer("logits"), arrays, path, "logits")
    return classifier, card
