"""Predictions as objects, text and JSON."""

from __future__ import annotations

import json

import pytest

from pipelines.serving.prediction import Prediction, TaskPrediction
from zoo.errors import DataError, InputError

ANT = TaskPrediction(("ant", "bee"), (0.75, 0.25))
LENGTH = TaskPrediction(value=12.5)
PLAIN = Prediction("a.jpg", {"label": ANT})
SEVERAL = Prediction("a.jpg", {"insect": ANT, "length": LENGTH}, bare=False)


def test_plain_prediction_has_the_label_of_its_one_task() -> None:
    assert (PLAIN.label, PLAIN.probability) == ("ant", 0.75)
    assert PLAIN.classes == ("ant", "bee")
    assert PLAIN.probabilities == (0.75, 0.25)
    assert str(PLAIN) == "a.jpg: ant 0.7500, bee 0.2500"


def test_prediction_of_several_tasks_has_a_label_by_task() -> None:
    assert SEVERAL.tasks["insect"].label == "ant"
    assert SEVERAL.tasks["insect"].probability == 0.75
    assert SEVERAL.tasks["length"].value == 12.5
    assert SEVERAL.classes == SEVERAL.probabilities == ()
    assert str(SEVERAL) == "a.jpg: insect ant 0.7500, bee 0.2500; length 12.5"
    for name in ("label", "probability"):
        with pytest.raises(
            InputError, match=r"received insect, length; read prediction\.tasks\['insect'\]"
        ):
            getattr(SEVERAL, name)
        with pytest.raises(InputError, match=r"a number has no label .* received 12\.5"):
            getattr(SEVERAL.tasks["length"], name)


def test_unreadable_image_has_no_label() -> None:
    prediction = Prediction("a.jpg", error="cut off")
    assert prediction.classes == prediction.probabilities == ()
    for name in ("label", "probability"):
        with pytest.raises(DataError, match=r"a\.jpg has no prediction: cut off"):
            getattr(prediction, name)


def test_json_is_bare_for_a_plain_classifier_alone() -> None:
    assert json.loads(json.dumps(PLAIN.to_json())) == {
        "image": "a.jpg",
        "classes": ["ant", "bee"],
        "probabilities": [0.75, 0.25],
        "error": "",
    }
    assert json.loads(json.dumps(SEVERAL.to_json())) == {
        "image": "a.jpg",
        "tasks": {
            "insect": {"classes": ["ant", "bee"], "probabilities": [0.75, 0.25]},
            "length": {"value": 12.5},
        },
        "error": "",
    }
    assert Prediction("a.jpg", error="cut off").to_json() == {
        "image": "a.jpg",
        "classes": (),
        "probabilities": (),
        "error": "cut off",
    }
    assert Prediction("a.jpg", bare=False, error="cut off").to_json() == {
        "image": "a.jpg",
        "tasks": {},
        "error": "cut off",
    }


@pytest.mark.parametrize(("score", "unknown"), [(0.4, False), (1.0, False), (2.305, True)])
def test_unknown_image_is_one_whose_score_is_above_one(score: float, unknown: bool) -> None:
    prediction = Prediction("a.jpg", {"label": ANT}, unknown_score=score)
    assert prediction.is_unknown is unknown
    assert prediction.label == "ant"
    values = json.loads(json.dumps(prediction.to_json()))
    assert (values["unknown_score"], values["is_unknown"]) == (score, unknown)
    mark = "; unknown (score 2.31)" if unknown else ""
    assert str(prediction) == f"a.jpg: ant 0.7500, bee 0.2500{mark}"


def test_model_that_does_not_say_has_no_unknown_score() -> None:
    assert PLAIN.unknown_score is PLAIN.is_unknown is None
    assert "is_unknown" not in PLAIN.to_json()
