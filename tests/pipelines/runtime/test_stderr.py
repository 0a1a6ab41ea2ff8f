"""Suppression of standard error: silent on success, complete on failure."""

from __future__ import annotations

import os

import pytest

from pipelines.runtime import stderr
from pipelines.runtime.stderr import suppress_stderr


@pytest.fixture(autouse=True)
def _command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard error is the process' own, as on the command line."""
    monkeypatch.setattr(stderr, "_allowed", {"stderr"})


def test_suppressed_output_of_native_code_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    with suppress_stderr():
        os.write(2, b"noise")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_suppressed_output_is_replayed_if_the_body_raises(
    capfd: pytest.CaptureFixture[str],
) -> None:
    @suppress_stderr()
    def fail() -> None:
        os.write(2, b"the reason")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert capfd.readouterr().err == "the reason"
