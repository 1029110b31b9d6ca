"""The page in a real browser, with the network off."""

import shutil
import time
from pathlib import Path

import pytest
from helpers.pages import HOSTILE, rows_of, written_page

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser):
    """The page of three curves, one of them with a hostile name, drawn at a width in pixels."""

    def at(width: int):
        written_page(
            rows_of("rope", [3.0, 2.5, 2.8, 3.5]),
            rows_of("alibi", [3.1, 2.6, 2.6, 2.6]),
            rows_of(HOSTILE, [3.1, 2.7, 2.7, 2.7], run=HOSTILE, protocol="fixed_target"),
            rows_of("rope", [3.0, 2.5, 2.8, 3.5], protocol="nonoverlap"),
        )
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(Path("report.html").resolve().as_uri())
        until(lambda: browser.execute_script("return document.documentElement.dataset.drawn"))
        return browser

    return at


def until(condition, seconds: float = 10):
    """Wait until `condition()` is true, and return its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return value


def plot(driver, expression: str):
    """The value of a JavaScript expression about the first plot."""
    return driver.execute_script(
        f"const plot = document.querySelector('.plot'); return {expression}"
    )


def choose(driver, text: str) -> None:
    driver.find_element("xpath", f"(//label[span='{text}'])[1]").click()


def test_page_opens_offline_and_its_switches_work(opened):
    driver = opened(1280)
    assert driver.title == "3 runs compared"  # a name that is code was not run
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert plot(driver, "plot.layout.yaxis.title.text") == "perplexity"
    assert plot(driver, "plot.layout.yaxis.type") == "log"
    choose(driver, "linear")
    until(lambda: plot(driver, "plot.layout.yaxis.type") == "linear")
    choose(driver, "Bits per byte")
    until(lambda: plot(driver, "plot.layout.yaxis.title.text") == "bits per byte")
    bits_per_byte = plot(driver, "plot.data.find((t) => t.uid === 'line0').y[0]")
    assert bits_per_byte == pytest.approx(3 / 0.6931472 / 3)

    seen = (
        "[...plot._fullData].filter((t) => t.legendgroup === 'rope' && t.visible === true).length"
    )
    assert plot(driver, seen) == 2  # the curve and its interval
    driver.execute_script(
        "document.querySelector('.legendtoggle').scrollIntoView({block: 'center'})"
    )
    first_plot = driver.find_element("css selector", ".plot")
    entries = first_plot.find_elements("css selector", ".legend .traces")
    (rope_entry,) = [entry for entry in entries if entry.text.strip() == "rope"]
    rope_entry.find_element("css selector", ".legendtoggle").click()
    until(lambda: plot(driver, seen) == 0)
    assert driver.get_log("browser") == []


def test_page_hover_shows_a_value_with_its_interval(opened):
    driver = opened(1280)
    driver.execute_script(
        "const plot = document.querySelector('.plot');"
        "const curveNumber = plot.data.findIndex((t) => t.uid === 'line1');"
        "Plotly.Fx.hover(plot, [{curveNumber, pointNumber: 3}])"
    )
    shown = until(lambda: plot(driver, "plot.querySelector('.hoverlayer').textContent"))
    assert "alibi" in shown
    assert "512 tokens: 13.46 [12.18, 14.88]" in shown


def test_page_fits_the_width_of_a_phone(opened):
    driver = opened(390)
    page = "document.documentElement"
    assert driver.execute_script(f"return {page}.scrollWidth - {page}.clientWidth") == 0
    assert driver.execute_script("return innerWidth") == 390
    assert plot(driver, "plot._fullLayout._size.h") > 200
    assert driver.get_log("browser") == []
