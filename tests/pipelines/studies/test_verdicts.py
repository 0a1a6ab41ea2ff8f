"""Every study's rule can say that its claim holds and that it does not; its figure is labeled."""

from __future__ import annotations

import json

import pytest
from matplotlib.figure import Figure

from pipelines.studies.catalog import STUDIES
from pipelines.studies.study import Check, Verdict, verdict_of
from pipelines.studies.style import line_style
from tests.pipelines.studies import made_up


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("good", [True, False])
def test_rule_can_say_both(name: str, good: bool) -> None:
    numbers = json.loads(json.dumps(getattr(made_up, name)(good)))
    checks = STUDIES[name].judge(numbers)
    surprising = [f"{check.rule}: {check.seen}" for check in checks if check.holds is not good]
    assert not surprising
    assert verdict_of(checks) is (Verdict.HOLDS if good else Verdict.DOES_NOT_HOLD)


def test_verdict_of_some_parts() -> None:
    assert verdict_of([Check("", "", True), Check("", "", False)]) is Verdict.IN_PART


@pytest.mark.parametrize("name", STUDIES)
def test_figure_labels_its_axes(name: str) -> None:
    study = STUDIES[name]
    figure = Figure(figsize=study.figure_size, layout="constrained")
    study.draw(figure, json.loads(json.dumps(getattr(made_up, name)(True))))
    assert figure.axes
    for axes in figure.axes:
        if not axes.images:
            assert axes.get_xlabel() or axes.get_ylabel()


def test_lines_differ_by_more_than_color() -> None:
    styles = [line_style(index) for index in range(8)]
    for part in ("color", "linestyle", "marker"):
        assert len({style[part] for style in styles}) == len(styles)


@pytest.mark.parametrize("name", STUDIES)
def test_study_says_its_claim_and_its_source(name: str) -> None:
    study = STUDIES[name]
    assert study.summary[0].isupper()
    assert not study.summary.endswith(".")
    assert any(str(year) in study.source for year in range(1950, 2027))
