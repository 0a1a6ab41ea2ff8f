"""The report in a real Chromium: nothing leaves the file, images open, the slider moves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.inspection.report.report import report
from pipelines.serving.run import Run
from tests.pipelines.inspection.report.conftest import HOSTILE, HOSTILE_FILE
from tests.support.browser import console_errors, open_chromium, requested_addresses

pytestmark = pytest.mark.train

BACKGROUND = "return getComputedStyle(document.body).backgroundColor"


def test_report_in_chromium(hostile: tuple[Run, Path], tmp_path: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    run, data = hostile
    file = report(run, data=data, out=tmp_path / "report.html")
    with open_chromium(tmp_path / "profile") as browser:
        browser.get("about:blank")
        requested_addresses(browser)  # those of the browser's own first page
        browser.get(file.as_uri())

        # Names are text, in elements and in attributes; no element was made of one.
        shown = browser.find_element(By.TAG_NAME, "body").text
        for name in HOSTILE.values():
            assert name in shown
        assert len(browser.find_elements(By.TAG_NAME, "script")) == 2  # its own, and the counts
        assert not browser.find_elements(By.CSS_SELECTOR, "[onerror], [onmouseover], [src='x']")
        pictures = "return [...document.querySelectorAll('img:not(.spotlight)')]"
        sources = browser.execute_script(f"{pictures}.map((i) => [i.src, i.alt])")
        assert all(source.startswith("data:image/webp;base64,") for source, _ in sources)
        assert any(HOSTILE_FILE in alt for _, alt in sources)

        # A cell of the confusion matrix opens its images, by mouse and by key, one at a time.
        buttons = browser.find_elements(By.CSS_SELECTOR, ".matrix button")
        first = buttons[0]
        panel = browser.find_element(By.ID, first.get_attribute("aria-controls"))
        assert (first.get_attribute("aria-expanded"), panel.is_displayed()) == ("false", False)
        first.click()
        assert (first.get_attribute("aria-expanded"), panel.is_displayed()) == ("true", True)
        opened = panel.find_elements(By.CSS_SELECTOR, "img:not(.spotlight)")
        assert len(opened) == int(first.text)
        widths = "return arguments[0].decode().then(() => arguments[0].naturalWidth)"
        assert all(browser.execute_script(widths, image) >= 30 for image in opened)
        first.send_keys(Keys.ESCAPE)
        assert not panel.is_displayed()
        assert browser.switch_to.active_element == first
        first.send_keys(Keys.ARROW_RIGHT)
        second = browser.switch_to.active_element
        assert second in buttons
        assert second != first
        first.click()
        second.send_keys(Keys.ENTER)
        assert second.get_attribute("aria-expanded") == "true"
        assert first.get_attribute("aria-expanded") == "false"

        panel = browser.find_element(By.ID, second.get_attribute("aria-controls"))
        _check_spotlights(browser, panel)
        _check_slider(browser)
        _check_spotlights(browser, browser.find_element(By.CSS_SELECTOR, ".losses"))

        colors = {}
        for scheme in ("light", "dark"):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            colors[scheme] = browser.execute_script(BACKGROUND)
        assert colors == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}
        for width in (390, 1100):
            size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            wide = browser.execute_script("return document.documentElement.scrollWidth")
            assert wide <= width, "only tables scroll sideways"
        assert browser.execute_cdp_cmd("Page.printToPDF", {})["data"]

        assert console_errors(browser) == []
        asked = requested_addresses(browser)
        assert file.as_uri() in asked
        assert {address.partition(":")[0] for address in asked} <= {"file", "data"}
        assert [address for address in asked if address.startswith("file:")] == [file.as_uri()]


def _check_spotlights(browser: Any, part: Any) -> None:
    """Chooses what to show on the images of a part; one mask an image is seen, and there alone."""
    from selenium.webdriver.common.by import By

    cards = part.find_elements(By.CSS_SELECTOR, ".card")
    assert cards
    for subject in ("answer", "truth", "none"):
        part.find_element(By.CSS_SELECTOR, f".spotlights input[value='{subject}']").click()
        everywhere = browser.find_elements(By.CSS_SELECTOR, "img.spotlight")
        visible = sum(mask.is_displayed() for mask in everywhere)
        assert visible == (len(cards) if subject != "none" else 0)
        for card in cards:
            masks = card.find_elements(By.CSS_SELECTOR, "img.spotlight")
            seen = [mask for mask in masks if mask.is_displayed()]
            wanted = [mask for mask in masks if subject in mask.get_attribute("class").split()]
            assert seen == wanted
            assert len(seen) == (subject != "none")
            frame = card.find_element(By.CSS_SELECTOR, ".frame").rect
            for mask in (mask.rect for mask in seen):
                assert mask["x"] >= frame["x"] - 1
                assert mask["x"] + mask["width"] <= frame["x"] + frame["width"] + 1
                assert min(mask["width"], mask["height"]) > 0.3 * frame["width"]


def _check_slider(browser: Any) -> None:
    """Moves the slider by keys; figures must be those of the counts."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    def shown(name: str) -> str:
        found = browser.find_element(By.CSS_SELECTOR, f".slider [data-show='{name}']").text
        return found.replace("\u00a0", " ")

    text = browser.find_element(By.ID, "task0-counts").get_attribute("textContent")
    counts = json.loads(text)
    slider = browser.find_element(By.ID, "task0-threshold")
    assert shown("coverage") == "100 %"
    marker = browser.find_element(By.CSS_SELECTOR, "circle.strong")
    before = marker.get_attribute("cx")
    at = max(index for index, kept in enumerate(counts["kept"]) if kept)
    slider.send_keys(Keys.END, Keys.ARROW_LEFT * (len(counts["thresholds"]) - 1 - at))
    assert slider.get_attribute("value") == str(at)
    kept, right = counts["kept"][at], counts["right"][at]
    assert 0 < kept < counts["images"]
    assert float(shown("coverage").split()[0]) == pytest.approx(
        100 * kept / counts["images"], abs=0.06
    )
    assert float(shown("accuracy").split()[0]) == pytest.approx(100 * right / kept, abs=0.06)
    assert (shown("kept"), shown("errors")) == (str(kept), str(kept - right))
    assert marker.get_attribute("cx") != before
    for row in browser.find_elements(By.CSS_SELECTOR, "#task0-classes tbody tr"):
        own = counts["classes"][row.get_attribute("data-class")]
        recall = row.find_element(By.CSS_SELECTOR, "[data-show='recall']").text
        assert float(recall) == pytest.approx(own["hits"][at] / own["support"], abs=6e-4)
