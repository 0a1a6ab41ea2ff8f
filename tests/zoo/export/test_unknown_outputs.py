"""Unknown scores of an export: compared with the run's own, and masked for broken images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from zoo.errors import ExportError
from zoo.export.signatures import compare_unknown_outputs
from zoo.models.unknown import NeighborScorer

SCORES = np.array([0.5, 0.99999, 3.0], np.float32)
FILES = [Path(f"{name}.jpg") for name in "abc"]


def outputs(scores: np.ndarray) -> dict[str, np.ndarray]:
    return {"unknown_score": scores, "is_unknown": scores > 1}


def test_same_scores_pass_within_the_tolerance() -> None:
    assert compare_unknown_outputs("serving_bytes", outputs(SCORES), SCORES, FILES) == 0
    # The second passes the threshold by a rounding error.
    near = SCORES + np.float32(5e-5)
    difference = compare_unknown_outputs("serving_bytes", outputs(near), SCORES, FILES)
    assert difference == pytest.approx(5e-5 / 1.5, rel=0.01)


def test_tolerance_grows_with_what_rounding_explains() -> None:
    other = outputs(SCORES + np.float32(0.01))
    with pytest.raises(ExportError, match=r"within 0\.0001; received 0\.0067 apart"):
        compare_unknown_outputs("serving_bytes", other, SCORES, FILES)
    scorer = NeighborScorer(1e-4, np.ones((1, 3), np.float32), 1)
    assert scorer.rounding == pytest.approx(0.01)
    compare_unknown_outputs("serving_bytes", other, SCORES, FILES, scorer.rounding)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            outputs(SCORES * np.float32(1.001)),
            r"scores otherwise than its run; nothing was exported; expected the same "
            r"unknown_score within 0\.0001; received 0\.00075 apart by serving_bytes, most for c",
        ),
        (outputs(SCORES[:2]), r"scores another shape or not finite; expected unknown_score \(3,\)"),
        (outputs(SCORES * np.float32("nan")), "scores another shape or not finite"),
        (
            {"unknown_score": SCORES, "is_unknown": SCORES > 9},
            r"refuses an image against its score; expected is_unknown where unknown_score is "
            r"above 1; received False at 3 for c\.jpg",
        ),
    ],
)
def test_other_scores_are_an_error(found: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        compare_unknown_outputs("serving_bytes", found, SCORES, FILES)


@pytest.mark.train
def test_broken_images_count_as_unknown() -> None:
    import tensorflow as tf

    from zoo.export.broken_images import mask_outputs

    found = {name: tf.constant(array) for name, array in outputs(SCORES).items()}
    masked = mask_outputs(found, tf.constant([True, False, True]))
    np.testing.assert_array_equal(masked["unknown_score"], [SCORES[0], np.nan, SCORES[2]])
    assert masked["is_unknown"].numpy().tolist() == [False, True, True]
