"""The page in a real Chromium: a photograph is chosen, its class and its map are seen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.serving.run import Run
from tests.support.browser import console_errors, open_chromium, requested_addresses
from tests.support.model_server import ModelServer


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


def address(server: ModelServer) -> str:
    return f"http://127.0.0.1:{server.port}/"


def wait_for(browser: Any, selector: str) -> Any:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    def visible(driver: Any) -> Any:
        found = driver.find_elements(By.CSS_SELECTOR, selector)
        return next((element for element in found if element.is_displayed()), None)

    return WebDriverWait(browser, 30).until(visible)


@contextlib.contextmanager
def nothing_elsewhere(browser: Any, server: ModelServer) -> Iterator[None]:
    """Checks that a page asks its own server alone, and that the console stays empty."""
    browser.get("about:blank")
    requested_addresses(browser)  # those of the browser's own first page
    console_errors(browser)
    yield
    assert console_errors(browser) == []
    asked = [url for url in requested_addresses(browser) if not url.startswith("blob:")]
    assert address(server) in asked
    assert [url for url in asked if not url.startswith(address(server))] == []


def test_photograph_is_classified_and_explained(
    browser: Any, server: ModelServer, tiny_run: Run, images: list[Path]
) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    with nothing_elsewhere(browser, server):
        browser.get(address(server))
        wait_for(browser, "#ask")
        assert browser.find_element(By.ID, "name").text == "tiny"
        assert "3 classes" in browser.find_element(By.ID, "about").text
        for file in (images[0], images[-1]):
            browser.find_element(By.ID, "choose").send_keys(str(file))
            expected = tiny_run.predict(file)[0]
            best = wait_for(browser, "#answers .best")
            assert best.text.split("\n")[0] == expected.label == file.parent.name
        rows = browser.find_elements(By.CSS_SELECTOR, ".bars li")
        shown = {row.text.split("\n")[0]: row.text.split("\n")[1] for row in rows}
        assert list(shown) == list(expected.classes)
        assert shown[expected.label] == f"{100 * expected.probability:.1f} %"
        widths = [
            row.find_element(By.CSS_SELECTOR, ".fill").rect["width"]
            / row.find_element(By.CSS_SELECTOR, ".track").rect["width"]
            for row in rows
        ]
        assert widths == pytest.approx(expected.probabilities, abs=0.02)

        # By keyboard: the first bar shows a map over the photograph, and hides it again.
        button = rows[0].find_element(By.TAG_NAME, "button")
        button.send_keys(Keys.ENTER)
        canvas = wait_for(browser, "#map")
        assert button.get_attribute("aria-pressed") == "true"
        opacity = "return [...arguments[0].getContext('2d').getImageData(0, 0, 3, 3).data]"
        alpha = browser.execute_script(opacity, canvas)[3::4]
        assert min(alpha) == 0
        assert max(alpha) > 0
        photo = browser.find_element(By.ID, "photo")
        assert photo.rect["x"] - 1 <= canvas.rect["x"]
        assert canvas.rect["width"] <= photo.rect["width"] + 1
        button.send_keys(Keys.SPACE)
        assert not canvas.is_displayed()


def test_file_that_is_no_photograph_is_said_in_words(
    browser: Any, server: ModelServer, tmp_path: Path
) -> None:
    from selenium.webdriver.common.by import By

    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear diary")
    browser.get(address(server))
    wait_for(browser, "#ask")
    browser.find_element(By.ID, "choose").send_keys(str(letter))
    said = wait_for(browser, "#problem")
    assert said.text.startswith("This photograph cannot be read: not an image")
    assert said.get_attribute("role") == "alert"
    assert not browser.find_element(By.ID, "answers").is_displayed()
    console_errors(browser)


def test_page_fits_a_telephone_in_light_and_dark(
    browser: Any, server: ModelServer, images: list[Path]
) -> None:
    from selenium.webdriver.common.by import By

    colors = {}
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get(address(server))
        wait_for(browser, "#ask")
        browser.find_element(By.ID, "choose").send_keys(str(images[0]))
        wait_for(browser, "#answers .best")
        style = "return getComputedStyle(document.body)"
        colors[scheme] = browser.execute_script(f"{style}.backgroundColor")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert len(set(colors.values())) == 2


def test_page_asks_for_the_token_and_keeps_it_to_itself(
    browser: Any, guarded: ModelServer, images: list[Path]
) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser.get(address(guarded))
    field = wait_for(browser, "#token")
    assert browser.switch_to.active_element == field
    field.send_keys("a wrong token", Keys.ENTER)
    assert "token" in wait_for(browser, "#problem").text
    assert not browser.find_element(By.ID, "ask").is_displayed()
    field.send_keys(guarded.token, Keys.ENTER)
    wait_for(browser, "#ask")
    browser.find_element(By.ID, "choose").send_keys(str(images[0]))
    assert wait_for(browser, "#answers .best").text.startswith(images[0].parent.name)
    # An export has no maps, and no buttons that promise one.
    assert not browser.find_elements(By.CSS_SELECTOR, ".bars button")
    assert guarded.token not in "".join(requested_addresses(browser))
    kept = "return JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    assert browser.execute_script(kept) == '[{},{},""]'
