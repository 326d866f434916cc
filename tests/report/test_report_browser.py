"""The report in a real browser: headless Chromium, where it is installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers import digits_tables

import genophen
from genophen.config.toml import read_toml, write_toml
from genophen.plugins.loading import load_plugins
from genophen.report.page import PageOptions, write_report

#: What the tests ask of the page.
_STATE = """() => ({
    width: document.documentElement.scrollWidth,
    unnamed: [...document.querySelectorAll('svg, img')].filter(figure =>
        !(figure.getAttribute('alt') || figure.getAttribute('aria-label') || figure.closest('[aria-hidden]'))
    ).length,
    figures: document.querySelectorAll('svg[role=img], img').length,
    headings: [...document.querySelectorAll('h1, h2, h3')].map(heading => Number(heading.tagName[1])),
    tables: [...document.querySelectorAll('table')].map(table =>
        Boolean(table.caption) && [...table.querySelectorAll('th')].every(head => head.scope)),
    landmarks: ['header', 'nav', 'main', 'footer'].map(name => document.querySelectorAll(name).length),
    ground: getComputedStyle(document.body).backgroundColor,
    ink: getComputedStyle(document.querySelector('svg text')).fill,
    wide: [...document.querySelectorAll('main *')].filter(element => !element.closest('.scroll, pre, svg')
        && element.getBoundingClientRect().right > innerWidth + 1).length,
})"""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report over two genotypes, and a folder that is damaged."""
    folder = tmp_path_factory.mktemp("report")
    for name in ("hypernetwork", "direct"):
        genophen.run(digits_tables(rounds=2), overrides=[f'genotype.name="{name}"'], out=folder / name)
    shutil.copytree(folder / "direct", folder / ("damaged" + "-and-long" * 9))
    damaged = next(folder.glob("damaged*"))
    (damaged / "result.json").write_text("<script>")
    target = folder / "report.html"
    directories = [folder / "direct", folder / "hypernetwork", damaged]
    write_report(directories, target, load_plugins(), PageOptions(), lambda note: None)
    return target


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_the_page_is_whole_in_a_browser(browser, page_file: Path, width: int, theme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=theme)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file.as_uri())
    state = page.evaluate(_STATE)
    assert problems == []
    assert [url for url in asked if not url.startswith("data:")] == [page_file.as_uri()]
    assert state["figures"] >= 18
    assert state["unnamed"] == 0
    assert state["width"] <= width
    assert state["wide"] == 0
    assert all(state["tables"])
    assert state["landmarks"] == [1, 1, 1, 1]
    assert state["headings"][0] == 1
    steps = zip(state["headings"], state["headings"][1:], strict=False)
    assert all(after - before <= 1 for before, after in steps)
    page_is_dark = state["ground"] == "rgb(20, 24, 29)"
    assert page_is_dark == (theme == "dark")
    assert (state["ink"] == "rgb(167, 177, 187)") == page_is_dark
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"
    page.close()


_OFF_SCREEN = """() => [...document.querySelectorAll('.scroll')]
    .filter(table => table.scrollWidth > table.clientWidth + 1)
    .map(table => table.getAttribute('aria-label'))"""


def test_no_column_and_no_setting_is_off_screen(browser, tmp_path: Path) -> None:
    first = genophen.run(digits_tables(rounds=1), out=tmp_path / "first").directory
    folders = [first]
    for number in range(3):
        folder = Path(shutil.copytree(first, tmp_path / ("a-run-with-a-long-name" * 3 + str(number))))
        tables = read_toml(folder / "config.toml")
        tables["training"] |= {"batch_size": 50 + number, "patience": number, "keep": "last"}
        tables["optimizer"]["adam"] |= {"learning_rate": 0.001 * (number + 1), "warmup_fraction": 0.1}
        tables["augmentation"] |= {"padding": number + 2}
        (folder / "config.toml").write_text(write_toml(tables))
        folders.append(folder)
    target = tmp_path / "report.html"
    write_report(folders, target, load_plugins(), PageOptions(), lambda note: None)
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(target.as_uri())
    assert page.evaluate(_OFF_SCREEN) == []
    worst = "[...document.querySelectorAll('.worst > li')].map(image => Math.round(image.offsetTop))"
    tops = page.evaluate(worst)
    assert [tops.count(top) for top in dict.fromkeys(tops)] == [5, 5]
    matrix, images = ".confusion", ".worst"
    place = "element => element.getBoundingClientRect().{}"
    left = page.eval_on_selector(images, place.format("left"))
    assert left > page.eval_on_selector(matrix, place.format("right"))  # beside it
    page.close()
