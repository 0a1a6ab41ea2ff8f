"""Which records of the project are shown."""

from __future__ import annotations

import logging

import pytest

from pipelines.runtime.log import logging_only


def test_one_part_alone_says_what_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    shown, other = (logging.getLogger(f"pipelines.{part}.one") for part in ("studies", "training"))
    with caplog.at_level(logging.INFO, "pipelines"):
        with logging_only("pipelines.studies"):
            for logger in (shown, other):
                logger.info("%s", logger.name)
                logger.warning("warning")
        other.info("afterwards")
    assert caplog.messages == ["pipelines.studies.one", "warning", "warning", "afterwards"]
    assert logging.getLogger("pipelines.studies").level == logging.NOTSET
