"""The page in headless Chromium: what a reader sees, clicks, and prints."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from analysis.figures import FIGURES, Needs
from analysis.records.benchmark import BenchmarkTable
from analysis.records.load import load
from analysis.report import pictures, render, write

FLAGS = (
    "--headless",
    "--no-sandbox",  # root in a container has no other way
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1280,900",
)
CELLS = (9930, 1835)
DESKTOP, PHONE, PAPER = (1280, 900), (390, 844), (688, 1000)
"""Of the window, of a telephone, and between the margins of an A4 page: pixels of CSS."""


def _found(*names: str) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    pytest.skip(f"no {names[0]} on this machine: `make browser` installs it on Debian")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = _found("chromium", "chromium-browser", "google-chrome")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(_found("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def made(sweep_class: Any, table: Path, folder: Path, figures: Sequence[str]) -> Path:
    """Twelve methods, eleven with a figure, and one with a long name whose run failed."""
    fake = sweep_class(folder / "results")
    for place in range(12):
        ident, label = f"m{place}", f"Method {place}"
        cell = CELLS[place % 2]
        fake.complete(ident, label=label, cell=cell, dataset="cifar10")
        if place < 11:  # 9.5 and 100.5 sort as numbers only
            fake.retrained(f"r{place}", [ident], 9.5 + 9.1 * place, cell, dataset="cifar10")
    fake.run("long", label="M" * 300, dataset="cifar10")
    fake.trial("long", [fake.epoch("long", 1)], error="/" + "x" * 500)
    path = folder / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "FIGURES", {name: FIGURES[name] for name in figures})
        write(render(load([fake.write()]), BenchmarkTable.open(table)), path)
    return path


@pytest.fixture(scope="module")
def page(sweep_class, made_up_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    return made(sweep_class, made_up_table, folder, ["trajectory", "boxes", "hessian"])


def opened(browser: webdriver.Chrome, page: Path, size: tuple[int, int] = DESKTOP) -> None:
    if size == DESKTOP:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    else:
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1}
        metrics["mobile"] = size == PHONE
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what came before is of another page
    browser.get(page.as_uri())


def asked_for(browser: webdriver.Chrome) -> list[str]:
    """The addresses that the page asked for; data URIs travel inside it."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    return [url for url in urls if not url.startswith("data:")]


def column(browser: webdriver.Chrome, table: Any, place: int) -> list[str]:
    cells = table.find_elements(By.CSS_SELECTOR, f"tbody tr > :nth-child({place + 1})")
    return [cell.text for cell in cells]


def test_it_opens_without_errors_and_asks_for_nothing(browser, page):
    opened(browser, page)
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.get_log("browser") == []
    assert asked_for(browser) == [page.as_uri()]
    assert browser.title == "results"


def test_every_picture_shows(browser, page):
    assert_pictures_show(browser, page, 2)


@pytest.mark.slow
def test_every_picture_of_every_figure_shows(browser, sweep_class, made_up_table, tmp_path):
    path = made(sweep_class, made_up_table, tmp_path, list(FIGURES))
    absent = (Needs.diagnostics, Needs.dirichlet, Needs.tuning)  # and the table has no costs
    drawn = [
        kind
        for kind in FIGURES.values()
        if kind.name != "pareto" and not set(absent) & set(kind.needs)
    ]
    assert_pictures_show(browser, path, len(drawn))


def assert_pictures_show(browser: webdriver.Chrome, page: Path, figures: int) -> None:
    """So many figures, a cell for each of 13 runs, and 9 charts for each, all of some size."""
    opened(browser, page)
    assert len(browser.find_elements(By.CSS_SELECTOR, ".paper img")) == figures
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    pictures = browser.execute_async_script(
        "const done = arguments[0];"
        "const images = [...document.images];"
        "Promise.all(images.map(i => i.decode())).then("
        "  () => done(images.map(i => [i.naturalWidth, i.naturalHeight, i.clientWidth])),"
        "  error => done(String(error)));"
    )
    assert len(pictures) == figures + 13
    assert all(width > 100 and height > 50 and shown > 100 for width, height, shown in pictures)
    charts = browser.execute_script(
        "return [...document.querySelectorAll('svg[role=img]')].map(s => "
        "[s.getBoundingClientRect().width, s.getBoundingClientRect().height, "
        "Math.max(...[...s.querySelectorAll('.line')].map(l => l.getBBox().width))])"
    )
    assert len(charts) == 13 * 9
    assert all(width > 100 and height > 50 for width, height, _ in charts)
    assert sum(line > 50 for *_, line in charts) == 12 * 9  # a lone epoch is a dot


@pytest.mark.parametrize("with_keys", [False, True])
def test_tables_sort_both_ways(browser, page, with_keys):
    opened(browser, page)
    table = browser.find_element(By.CSS_SELECTOR, "#results table")
    before = column(browser, table, 1)
    heading = table.find_elements(By.TAG_NAME, "th")[1]

    def press() -> None:
        button = heading.find_element(By.TAG_NAME, "button")
        button.send_keys(Keys.ENTER) if with_keys else button.click()

    figures = [text for text in before if "(" in text]
    missing = [text for text in before if "(" not in text]
    assert len(figures) == 11
    assert len(missing) == 2
    ascending = sorted(figures, key=lambda text: float(text.split()[0]))
    assert ascending[0].startswith("9.50")
    assert ascending[-1].startswith("100.50")
    assert ascending != sorted(figures)
    press()
    assert heading.get_attribute("aria-sort") == "descending"
    assert column(browser, table, 1) == ascending[::-1] + missing
    press()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert column(browser, table, 1) == ascending + missing
    names = table.find_elements(By.TAG_NAME, "th")[0]
    names.find_element(By.TAG_NAME, "button").click()
    assert heading.get_attribute("aria-sort") is None
    assert column(browser, table, 0) == [*(f"Method {place}" for place in range(12)), "M" * 300]


def test_every_table_sorts_by_every_heading(browser, page):
    opened(browser, page)
    wrong = browser.execute_script("""
        const wrong = [];
        for (const table of document.querySelectorAll("table")) {
          [...[...table.tHead.rows].at(-1).cells].forEach((heading, place) => {
            for (const sign of [null, null]) {
              heading.querySelector("button").click();
              const up = heading.getAttribute("aria-sort") === "ascending" ? 1 : -1;
              const cells = [...table.tBodies[0].rows].map(row => row.cells[place]);
              const known = cells.filter(c => c.dataset.missing === undefined);
              if (cells.slice(0, known.length).some((c, i) => c !== known[i])) {
                wrong.push(["missing is not last", heading.textContent]);
              }
              const numbers = known.map(c => Number(c.dataset.order)).filter(n => !isNaN(n));
              if (numbers.some((n, i) => i > 0 && up * (n - numbers[i - 1]) < 0)) {
                wrong.push(["not in order", heading.textContent]);
              }
            }
          });
        }
        return wrong;
    """)
    assert wrong == []


@pytest.mark.parametrize("opened_details", [False, True])
def test_a_phone_scrolls_one_way(browser, page, opened_details):
    opened(browser, page, PHONE)
    if opened_details:
        browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    inner, whole = browser.execute_script(
        "return [document.documentElement.clientWidth, document.documentElement.scrollWidth]"
    )
    assert inner == PHONE[0]
    assert whole == inner
    # The wide tables are there, and scroll inside their boxes.
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('.box')].map(b => [b.scrollWidth, b.clientWidth])"
    )
    assert any(content > shown for content, shown in boxes)


def test_a_link_opens_its_run(browser, page):
    opened(browser, page)
    link = browser.find_element(By.CSS_SELECTOR, "#runs tbody a")
    target = browser.find_element(By.ID, link.get_attribute("href").split("#")[1])
    assert target.get_attribute("open") is None
    link.click()
    WebDriverWait(browser, 10).until(lambda _: target.get_attribute("open") is not None)
    for name, count in (("all", 13), ("none", 0)):
        browser.find_element(By.CSS_SELECTOR, f"[data-open={name}]").click()
        assert len(browser.find_elements(By.CSS_SELECTOR, "details.run[open]")) == count


def test_it_prints(browser, page):
    opened(browser, page)
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    pdf = base64.b64decode(printed["data"])
    assert pdf.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type /Page\b", pdf))
    assert 5 <= pages < 60
    assert browser.find_elements(By.CSS_SELECTOR, "#what-was-run details[open]") == []
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    opened(browser, page, PAPER)
    looks = browser.execute_script(
        "const look = s => getComputedStyle(document.querySelector(s)).display;"
        "return [look('td'), look('tbody th'), look('tr'), look('nav')]"
    )
    too_wide = browser.execute_script(
        "return [...document.querySelectorAll('table, p, dl, img')].filter(e => !e.closest('.wide')"
        " && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.textContent.slice(0, 80))"
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert looks == ["table-cell", "table-cell", "table-row", "none"]
    assert too_wide == []


def test_it_follows_the_readers_light_or_dark(browser, page):
    def look(scheme: str) -> tuple[str, float]:
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        opened(browser, page)
        colours = browser.execute_script(
            "return [getComputedStyle(document.body).backgroundColor,"
            " ...['body', '.lead', '.warnings strong', 'a[href]', '.warnings ul', 'thead th']"
            "  .map(s => getComputedStyle(document.querySelector(s)).color)]"
        )
        return colours[0], min(contrast(colour, colours[0]) for colour in colours[1:])

    light, dark = look("light"), look("dark")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert light[0] != dark[0]
    assert light[1] > 4.5  # WCAG 2, level AA
    assert dark[1] > 4.5


def contrast(one: str, two: str) -> float:
    """The contrast ratio of WCAG 2 of two colours as browsers write them: rgb(r, g, b)."""

    def luminance(colour: str) -> float:
        parts = [float(part) / 255 for part in colour[4:-1].split(",")]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)
