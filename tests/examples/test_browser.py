"""The example in the browser: a real Chromium answers from an ONNX export as `zoo predict` does."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from pipelines.serving.run import Run
from tests.conftest import ROOT
from tests.support.browser import console_errors, open_chromium, requested_addresses
from tests.support.code_blocks import read_code_blocks

pytestmark = pytest.mark.slow


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


def fetching_command() -> str:
    """The command of the guide that fetches the library."""
    page = (ROOT / "docs" / "guides" / "export.md").read_text(encoding="utf-8")
    lines = [line for block in read_code_blocks(page) for line in block.text.splitlines()]
    (line,) = [line for line in lines if "npm pack" in line]
    return line.removeprefix("$ ")


@pytest.fixture
def site(tiny_run: Run, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """The example's folder with a model and the library, and its address on this machine."""
    folder = tmp_path / "site"
    shutil.copytree(ROOT / "examples" / "browser", folder)
    done = subprocess.run(
        fetching_command(), shell=True, cwd=folder, capture_output=True, text=True, timeout=300
    )
    if done.returncode != 0:
        reason = f"needs onnxruntime-web from npm's registry: {done.stderr.strip()[-300:]}"
        # CI reaches it; a skip there would hide that the example is not tried.
        (pytest.fail if os.environ.get("ZOO_REQUIRE_SHARED") else pytest.skip)(reason)
    version = tiny_run.export(tmp_path / "model", format="onnx")
    shutil.copytree(version, folder / "model")
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def test_page_answers_as_predict_does(
    site: tuple[Path, str], tiny_run: Run, tiny_folder: Path, tmp_path: Path
) -> None:
    _, address = site
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"Dear diary")
    with open_chromium(tmp_path / "profile") as browser:
        browser.get(address)
        wait = WebDriverWait(browser, 120)
        status = browser.find_element(By.ID, "status")
        wait.until(lambda _: status.text != "loading")
        assert status.text == "ready"
        for name in ("red", "green", "blue"):
            image = sorted((tiny_folder / name).iterdir())[0]
            browser.find_element(By.ID, "file").send_keys(str(image))
            wait.until(lambda _: status.text not in ("ready", "computing"))
            items = [item.text.rsplit(" ", 1) for item in browser.find_elements(By.TAG_NAME, "li")]
            found = {label: float(value) for label, value in items}
            expected = tiny_run.predict(image)[0]
            assert items[0][0] == expected.label
            assert found.keys() == set(expected.classes)
            # Chromium decodes JPEG files by another library than training.
            np.testing.assert_allclose(
                [found[label] for label in expected.classes], expected.probabilities, atol=0.02
            )
            browser.execute_script("document.getElementById('status').textContent = 'ready'")
        assert console_errors(browser) == []
        browser.find_element(By.ID, "file").send_keys(str(broken))
        wait.until(lambda _: status.text.startswith("cannot classify broken.jpg: "))
        assert browser.find_elements(By.TAG_NAME, "li") == []
        asked = [each for each in requested_addresses(browser) if each.startswith("http")]
        assert asked
        assert all(each.startswith(address) for each in asked)
