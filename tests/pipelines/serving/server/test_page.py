"""The page in a real Chromium: a photograph is chosen, its class and its map are seen."""

from __future__ import annotations

import base64
import contextlib
import shutil
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


def wait_until(browser: Any, expression: str, *arguments: Any) -> Any:
    """Waits for a JavaScript expression of `arguments` to hold; it is looked at in one step."""
    from selenium.webdriver.support.ui import WebDriverWait

    script = f"return ((...given) => {expression})(...arguments)"
    return WebDriverWait(browser, 30).until(
        lambda driver: driver.execute_script(script, *arguments)
    )


def wait_for(browser: Any, selector: str) -> Any:
    """Waits for an element that is seen, and returns it."""
    seen = "[...document.querySelectorAll(given[0])].find((element) => element.checkVisibility())"
    return wait_until(browser, seen, selector)


def wait_for_answer(browser: Any, name: str) -> Any:
    """Waits for the answer to the photograph of a name: that to an earlier one is none."""
    shown = "document.querySelector('#photo').alt.endsWith(`, ${given[0]}`)"
    best = "document.querySelector('#answers .best')"
    return wait_until(browser, f"{shown} && {best}?.checkVisibility() && {best}", name)


def choose(browser: Any, file: Path) -> None:
    from selenium.webdriver.common.by import By

    browser.find_element(By.ID, "choose").send_keys(str(file))


def drop(browser: Any, file: Path) -> None:
    """Drags a file from elsewhere over the page and lets it go, as the browser itself is told."""
    point = {"x": 300, "y": 300}
    carried = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, **point, "data": carried}
        browser.execute_cdp_cmd("Input.dispatchDragEvent", event)


def paste(browser: Any, file: Path) -> None:
    """Pastes a copied image, as a browser's own event has it: a file in the clipboard's data."""
    script = """
        const bytes = Uint8Array.from(atob(arguments[0]), (character) => character.charCodeAt(0));
        const clipboardData = new DataTransfer();
        clipboardData.items.add(new File([bytes], arguments[1], { type: "image/png" }));
        document.dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
    """
    browser.execute_script(script, base64.b64encode(file.read_bytes()).decode(), file.name)


WAYS = {"chosen": choose, "dropped": drop, "pasted": paste}


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
    browser: Any, server: ModelServer, tiny_run: Run, images: list[Path], tmp_path: Path
) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    with nothing_elsewhere(browser, server):
        browser.get(address(server))
        wait_for(browser, "#ask")
        assert browser.find_element(By.ID, "name").text == "tiny"
        assert "3 classes" in browser.find_element(By.ID, "about").text
        for way, file in zip(WAYS, (images[0], images[-1], images[1]), strict=True):
            copy = shutil.copy(file, tmp_path / f"{way}{file.suffix}")
            WAYS[way](browser, Path(copy))
            expected = tiny_run.predict(file)[0]
            best = wait_for_answer(browser, f"{way}{file.suffix}")
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
        wait_until(browser, "given[0].hidden", canvas)
        assert button.get_attribute("aria-pressed") == "false"


def test_file_that_is_no_photograph_is_said_in_words(
    browser: Any, server: ModelServer, tmp_path: Path
) -> None:
    from selenium.webdriver.common.by import By

    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear diary")
    browser.get(address(server))
    wait_for(browser, "#ask")
    choose(browser, letter)
    said = wait_for(browser, "#problem")
    assert said.text.startswith("This photograph cannot be read: not an image")
    assert said.get_attribute("role") == "alert"
    assert not browser.find_element(By.ID, "answers").is_displayed()
    console_errors(browser)


def test_page_fits_a_telephone_in_light_and_dark(
    browser: Any, server: ModelServer, images: list[Path]
) -> None:
    colors = {}
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get(address(server))
        wait_for(browser, "#ask")
        choose(browser, images[0])
        wait_for_answer(browser, images[0].name)
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
    choose(browser, images[0])
    assert wait_for_answer(browser, images[0].name).text.startswith(images[0].parent.name)
    # An export has no maps, and no buttons that promise one.
    assert not browser.find_elements(By.CSS_SELECTOR, ".bars button")
    assert guarded.token not in "".join(requested_addresses(browser))
    kept = "return JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    assert browser.execute_script(kept) == '[{},{},""]'
