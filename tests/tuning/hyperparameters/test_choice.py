"""Choice of a trial: many searches at once as one by one, by the rule as it is written."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.hyperparameters.choice import choose, choose_best
from tuning.hyperparameters.trial import Result, Trial

# Few values, so that many are equal.
RESULTS = st.lists(
    st.tuples(
        st.sampled_from([0.5, 0.8, 0.9, 0.95]),
        st.sampled_from([0.1, 0.2, 0.3, math.inf]),
        st.sampled_from([0.0, 0.05, 0.1]),
    ),
    min_size=1,
    max_size=6,
)


def by_hand(
    rows: list[tuple[float, float, float]], *, maximize: bool, num_folds: int
) -> tuple[float, float]:
    """Score and loss of the trial to keep, by the one-standard-error rule of Breiman et al."""
    if not maximize:
        return min((score, loss) for score, loss, _ in rows)
    best, _, spread = min(rows, key=lambda row: (-row[0], row[1]))
    least = best
    if num_folds > 1:
        least = best - spread / math.sqrt(num_folds - 1)
    loss, score = min((loss, -score) for score, loss, _ in rows if score >= least)
    return -score, loss


@given(RESULTS, st.booleans(), st.sampled_from([0, 1, 2, 5]))
def test_choice_is_the_rule(
    rows: list[tuple[float, float, float]], maximize: bool, num_folds: int
) -> None:
    expected = by_hand(rows, maximize=maximize, num_folds=num_folds)
    scores, losses, spreads = np.array(rows).T[:, np.newaxis]
    (place,) = choose(scores, losses, spreads, maximize=maximize, num_folds=num_folds)
    assert rows[place][:2] == expected
    trials = [
        (
            Trial(str(number), {}),
            Result(score=s, score_std=d, loss=None if math.isinf(loss) else loss),
        )
        for number, (s, loss, d) in enumerate(rows)
    ]
    found = choose_best(trials, maximize=maximize, num_folds=num_folds)
    assert found is not None
    assert found[0].id == str(place)


def test_rows_are_chosen_one_by_one() -> None:
    rng = np.random.default_rng(0)
    scores, losses = rng.uniform(size=(2, 50, 7))
    spreads = rng.uniform(0, 0.3, (50, 7))
    for maximize in (True, False):
        for num_folds in (1, 5):
            together = choose(scores, losses, spreads, maximize=maximize, num_folds=num_folds)
            alone = [
                choose(
                    *(part[row : row + 1] for part in (scores, losses, spreads)),
                    maximize=maximize,
                    num_folds=num_folds,
                )[0]
                for row in range(50)
            ]
            assert together.tolist() == alone


def test_what_is_not_a_number_is_never_chosen() -> None:
    scores, losses = np.array([[np.nan, 0.5, 0.5]]), np.array([[0.1, np.nan, 0.9]])
    for maximize in (True, False):
        assert choose(scores, losses, np.zeros((1, 3)), maximize=maximize, num_folds=0) == [2]


@pytest.mark.parametrize("results", [[], [Result(failure="lost")]])
def test_nothing_is_chosen_where_all_failed(results: list[Result]) -> None:
    trials = [(Trial(str(number), {}), result) for number, result in enumerate(results)]
    assert choose_best(trials, maximize=True, num_folds=5) is None
