"""Chromium, for the tests of pages: apt install chromium chromium-driver; pip install selenium."""

import shutil

import pytest
from conftest import ROOT

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"


def open_browser(width=1280, scheme="light", options=()):
    """Return a selenium driver of a window of this width and color scheme."""
    webdriver = pytest.importorskip("selenium.webdriver")
    if not shutil.which("chromedriver"):
        pytest.skip("apt install chromium chromium-driver")
    chrome = webdriver.ChromeOptions()
    for option in ("--headless=new", "--no-sandbox", "--disable-background-networking", *options):
        chrome.add_argument(option)
    chrome.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(chrome, webdriver.ChromeService(shutil.which("chromedriver")))
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    return driver


def list_complaints(driver):
    return [entry for entry in driver.get_log("browser") if entry["level"] != "INFO"]


def check_page(driver, width, scheme):
    """Check that the page fits, knows the color scheme, and that axe-core finds no faults."""
    if not AXE.is_file():
        pytest.skip("npm install axe-core, in this folder")
    assert driver.execute_script("return document.body.scrollWidth") <= width
    dark = "return matchMedia('(prefers-color-scheme: dark)').matches"
    assert driver.execute_script(dark) == (scheme == "dark")
    driver.execute_script(AXE.read_text(encoding="utf-8"))
    found = driver.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    faults = found["violations"]
    assert [(x["id"], [node["html"][:200] for node in x["nodes"]]) for x in faults] == []
