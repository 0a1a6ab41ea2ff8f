"""Load a pretrained classifier: a backbone with the top layer it was trained with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.errors import WeightsError
from zoo.heads.head import HeadConfig
from zoo.models.classifier import build_classifier
from zoo.weights.archive import Card, assign_weights, read_archive


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
            mend=f"train one on it: zoo train DATA --backbone {path} --out RUN",
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
