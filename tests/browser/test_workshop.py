"""A day's work in the browser: form, gallery, votes, a painted mask, Stop; in JupyterLab and in Notebook 7."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import TimeoutError as TimedOut

from tests.browser.jupyter import ARTEFACTS, READY, Lab, chromium_page, open_notebook, run_below, run_cells, save
from tests.many import fill

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

DAY = [
    "%load_ext runware_nb\nimport runware_nb as rw",
    "%runware sandbox --latency-s 3",
    "%%runware -s 512x512 -n 2 --seed 7 --tag study -o ships\na small airship over a forest",
    "form = rw.form('runware:101@1', width=512, height=512)\nform",
    "%runware log --limit 5",
    "%runware gallery",
    "%runware vote --tag study",
    "mask = rw.brush(ships[0])\nmask",
]


@pytest.fixture(scope="module")
def thousands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log of five thousand images, to be copied."""
    folder = tmp_path_factory.mktemp("thousands")
    fill(folder, 5000)
    return folder


@pytest.fixture(params=["lab", "notebook"])
def server(request: pytest.FixtureRequest, tmp_path: Path, thousands: Path) -> Iterator[Lab]:
    made = Lab(tmp_path, request.param)
    shutil.copytree(thousands, made.folder, dirs_exist_ok=True)
    yield made
    made.close()


@pytest.fixture
def page(request: pytest.FixtureRequest, server: Lab) -> Iterator[Page]:
    with chromium_page(request.node.name) as opened:
        opened.set_default_timeout(30_000)
        yield opened


def ended(page: Page, count: int) -> None:
    page.locator(".jp-InputPrompt").get_by_text(f"[{count}]:", exact=True).wait_for(timeout=120_000)
    page.wait_for_function(READY, timeout=60_000)


def keep(page: Page, part: Locator, name: str, request: pytest.FixtureRequest) -> None:
    """Keep a screenshot of a state, for somebody to look at."""
    app = re.sub(r"\W+", "-", request.node.name.partition("[")[2])
    part.screenshot(path=ARTEFACTS / f"workshop-{app}{name}.png")


def serious(page: Page, selector: str) -> list[Any]:
    """Run axe-core on a part of the page: what it calls serious or critical."""
    found = Axe().run(page, context={"include": [[selector]]})
    return [
        (each["id"], [node["html"][:200] for node in each["nodes"]])
        for each in found.response["violations"]
        if each["impact"] in {"serious", "critical"}
    ]


def test_a_day_in_the_workshop(page: Page, server: Lab, request: pytest.FixtureRequest) -> None:
    path = server.write("day.ipynb", DAY)
    open_notebook(page, server, path.name)
    run_cells(page)
    page.locator(".runware-nb-progress progress").first.wait_for(timeout=90_000)
    ended(page, len(DAY))
    assert not serious(page, ".jp-Notebook .jp-Cell:nth-child(3) .runware-nb"), "the result"
    form(page, request)
    log_table(page)
    gallery(page, request)
    votes(page, request)
    mask_and_use(page, request)
    stop(page, request)
    in_the_dark(page, request)
    reopened(page, server, path, request)


def form(page: Page, request: pytest.FixtureRequest) -> None:
    """Fill it by keyboard alone, get it wrong, run it, cancel it, copy it."""
    shown = page.locator(".runware-nb-form").first
    prompt = shown.get_by_label("Prompt (needed)", exact=True)
    prompt.focus()
    page.keyboard.type('a red ship, <img src=x onerror=alert(1)> {braces} "quotes"')
    for expected in ("Negative prompt", "Size (needed)", "Width in px", "Height in px", "Number of images", "Seed"):
        page.keyboard.press("Tab")
        expect(shown.get_by_label(expected, exact=True)).to_be_focused()
    page.keyboard.type("77")
    for _ in range(4):
        page.keyboard.press("Tab")  # past its three buttons
    expect(shown.get_by_label("Steps")).to_be_focused()
    page.keyboard.type("900")
    page.keyboard.press("Tab")
    shown.get_by_text("900 is too large: 1 to 100").wait_for()
    expect(shown.get_by_label("CFG scale", exact=True)).to_be_focused()
    below = shown.get_by_text("900 is too large: 1 to 100").bounding_box()
    above = shown.get_by_label("Steps").bounding_box()
    assert below is not None
    assert above is not None
    assert 0 < below["y"] - above["y"] < 60, "the sentence stands below its field"
    keep(page, shown, "-form-problem", request)
    shown.get_by_label("Steps").fill("9")
    page.keyboard.press("Tab")
    expect(shown.get_by_text("900 is too large")).to_have_count(0)
    shown.get_by_role("button", name=re.compile(r"Generate · about \$0\.0")).focus()
    page.keyboard.press("Enter")
    shown.get_by_text(re.compile(r"Done: 1 result · \$0\.0")).wait_for()
    results = page.locator(".runware-nb-results").first
    expect(results.get_by_role("img")).to_have_attribute(
        "alt", re.compile(r"a red ship, <img src=x onerror=alert\(1\)>")
    )
    shown.get_by_role("button", name="Unlock seed").click()
    shown.get_by_role("button", name=re.compile("^Generate")).click()
    shown.get_by_text("Submitted:").wait_for()
    page.wait_for_timeout(400)  # sent by now: in the first moment a run may still be dropped
    shown.get_by_role("button", name="Cancel").click()
    shown.get_by_text("is paid for: its result appears below").wait_for()
    expect(results.get_by_text("1 earlier result of this form")).to_be_visible()
    expect(results.locator("progress")).to_have_count(0, timeout=20_000)
    shown.get_by_role("button", name="Copy as cell").click()
    text = shown.get_by_label("As a cell")
    expect(text).to_have_value(re.compile(r"^%%runware -s 512x512 -m runware:101@1 --steps 9\na red ship, <img"))
    for fold in ("Images to start from", "LoRA and other", "More parameters", "Other model"):
        shown.get_by_role("button", name=f"▸ {fold}").click()
        shown.get_by_role("button", name=f"▾ {fold}").wait_for()
    drop_an_image(page, shown)
    shown.get_by_role("button", name=re.compile("Choose a model")).click()
    shown.get_by_label("Search models").fill("kontext")
    expect(shown.get_by_label("Models", exact=True).get_by_role("option")).not_to_have_count(0)
    keep(page, shown, "-form-open", request)
    assert not serious(page, ".runware-nb-form")
    assert page.locator("img[src='x']").count() == 0


def drop_an_image(page: Page, shown: Locator) -> None:
    """Drop a file on its place; its bytes become a file of the store, and its name the field's value."""
    zone = shown.get_by_role("group", name="Seed image: drop or paste an image here")
    zone.evaluate("""async zone => {
        const canvas = document.createElement('canvas');
        canvas.width = canvas.height = 64;
        const blob = await new Promise(done => canvas.toBlob(done, 'image/png'));
        const data = new DataTransfer();
        data.items.add(new File([blob], 'dropped.png', {type: 'image/png'}));
        zone.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
    }""")
    expect(shown.get_by_label("Seed image", exact=True)).to_have_value(re.compile(r"^runware_images/.*\.png$"))
    shown.get_by_label("Seed image", exact=True).fill("")
    zone.evaluate("""zone => {
        const data = new DataTransfer();
        data.items.add(new File(['<svg>'], 'page.html', {type: 'text/html'}));
        zone.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
    }""")
    expect(shown.get_by_text("page.html is no image")).to_be_visible()


def log_table(page: Page) -> None:
    table = page.locator(".jp-Notebook .jp-Cell").nth(4).locator("table")
    expect(table.get_by_role("columnheader", name="prompt")).to_be_visible()
    assert not serious(page, ".jp-Notebook .jp-Cell:nth-child(5) .runware-nb")


def gallery(page: Page, request: pytest.FixtureRequest) -> None:
    """Scroll through five thousand images; rate, mark, search, compare, reuse."""
    shown = page.locator(".runware-nb-gallery").first
    shown.scroll_into_view_if_needed()
    shown.get_by_text(re.compile(r"5,00\d images")).wait_for()
    loaded = shown.locator(".picture img")
    loaded.first.wait_for()
    scroller = shown.locator(".scroller")
    for place in (20_000, 60_000, 1_000_000, 0):
        scroller.evaluate("(node, top) => { node.scrollTop = top; }", place)
        page.wait_for_function("() => !document.querySelector('.runware-nb-gallery .waiting')", timeout=10_000)
    assert shown.locator(".tile").count() < 120, "only what is in sight exists"
    page.wait_for_function(
        "() => [...document.querySelectorAll('.runware-nb-gallery .picture img')].every(each => each.naturalWidth > 0)"
    )
    keep(page, shown, "-gallery", request)
    assert not serious(page, ".runware-nb-gallery")
    shown.get_by_label("Search").fill("airship over a forest")
    shown.get_by_text("2 images", exact=True).wait_for()
    first = shown.locator(".tile").first
    for _ in range(4):
        first.get_by_role("button", name=re.compile("^Stars")).click()
    first.get_by_role("button", name=re.compile("^Favourite")).click()
    expect(first.get_by_role("button", name=re.compile("^Favourite"))).to_have_attribute("aria-pressed", "true")
    shown.get_by_label("Favourites only").check()
    shown.get_by_text("1 images", exact=True).wait_for()
    expect(shown.get_by_role("button", name=re.compile("Stars of .*: 4"))).to_be_visible()
    shown.get_by_label("Favourites only").uncheck()
    shown.get_by_text("2 images", exact=True).wait_for()
    for tile in (0, 1):
        shown.locator(".tile").nth(tile).get_by_role("button", name=re.compile("to compare$")).click()
    shown.get_by_role("button", name="Compare chosen (2)").click()
    expect(shown.locator(".panel img")).to_have_count(2)
    full = shown.get_by_role("link", name="full size").first
    size = full.evaluate("async link => (await createImageBitmap(await (await fetch(link.href)).blob())).width")
    assert size == 512, "the file itself, and not a small copy"
    assert shown.locator(".panel strong").all_text_contents() == ["7", "★★★★", "8"], "what differs stands out"
    keep(page, shown, "-compared", request)
    assert not serious(page, ".runware-nb-gallery")
    shown.get_by_role("button", name=re.compile("^Use seed of")).first.click()
    shown.get_by_text(re.compile("seed [78] is now in the form")).wait_for()
    expect(page.locator(".runware-nb-form").first.get_by_label("Seed", exact=True)).to_have_value(re.compile("^[78]$"))
    shown.get_by_role("button", name="Close").click()
    first_picture = shown.locator(".picture").first
    first_picture.focus()
    page.keyboard.press("ArrowRight")
    expect(shown.locator(".picture").nth(1)).to_be_focused()


def votes(page: Page, request: pytest.FixtureRequest) -> None:
    shown = page.locator(".runware-nb-vote").first
    shown.scroll_into_view_if_needed()
    shown.get_by_text(re.compile("^0 of some")).wait_for()
    expect(shown.get_by_role("img")).to_have_count(2)
    keep(page, shown, "-vote", request)
    shown.get_by_role("button", name="Left is better").click()
    shown.get_by_text(re.compile("^1 of some")).wait_for()
    assert not serious(page, ".runware-nb-vote")


def mask_and_use(page: Page, request: pytest.FixtureRequest) -> None:
    """Paint with the mouse and the keyboard, take back, and draw inside the mask."""
    shown = page.locator(".runware-nb-brush").first
    shown.scroll_into_view_if_needed()
    canvas = shown.locator("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 120, steps=5)
    page.mouse.up()
    shown.get_by_role("button", name="Rectangle").click()
    page.mouse.move(box["x"] + 40, box["y"] + 300)
    page.mouse.down()
    page.mouse.move(box["x"] + 140, box["y"] + 400, steps=3)
    page.mouse.up()
    shown.get_by_role("button", name="Brush").click()
    canvas.focus()
    for key in ("ArrowRight", "ArrowDown", "Space", "+", "z"):
        page.keyboard.press(key)
    shown.get_by_text("taken back").wait_for()
    assert not serious(page, ".runware-nb-brush")
    keep(page, shown, "-mask", request)
    shown.get_by_role("button", name="Use this mask").click()
    page.get_by_text(re.compile(r"mask kept: runware_images/.*\.png, \d+% is painted anew")).first.wait_for()
    run_below(page, "%%runware -s 512x512 --from ships#1 --mask mask --seed 9 -o new\na blue balloon")
    page.locator(".jp-OutputArea img[alt='a blue balloon']").wait_for(timeout=30_000)
    keep(page, page.locator(".jp-Cell").last, "-painted", request)


def stop(page: Page, request: pytest.FixtureRequest) -> None:
    """Stop in the middle: one line at once, and the image all the same when it comes."""
    run_below(page, "%%runware -s 256x256\na late ship")
    cell = page.locator(".jp-Cell").last
    cell.locator("progress").wait_for()
    page.locator('[data-command="notebook:interrupt-kernel"]').first.click()
    cell.get_by_text("Stopped waiting. The service continues task").wait_for(timeout=4_000)
    keep(page, cell, "-stopped", request)
    cell.locator("img[alt='a late ship']").wait_for(timeout=20_000)


def in_the_dark(page: Page, request: pytest.FixtureRequest) -> None:
    """The dark theme: everything is still told from its background."""
    page.evaluate("window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    page.locator("body[data-jp-theme-light='false']").wait_for(state="attached")
    page.wait_for_timeout(500)  # its style sheet
    for part in (".runware-nb-form", ".runware-nb-gallery", ".runware-nb-vote", ".runware-nb-brush",
                 ".jp-Notebook .jp-Cell:nth-child(3) .runware-nb", ".jp-Notebook .jp-Cell:nth-child(5) .runware-nb"):  # fmt: skip
        assert not serious(page, part), part
    keep(page, page.locator(".runware-nb-gallery").first, "-dark-gallery", request)
    keep(page, page.locator(".runware-nb-form").first, "-dark-form", request)
    page.evaluate("window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})")
    page.locator("body[data-jp-theme-light='true']").wait_for(state="attached")


def reopened(page: Page, server: Lab, path: Path, request: pytest.FixtureRequest) -> None:
    """Saved, kernel gone, opened again: what was made is still there to be read."""
    save(page)
    saved = json.loads(path.read_text())
    assert "77" in json.dumps(saved)
    assert path.stat().st_size < 2_500_000
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    page.wait_for_function(READY, timeout=60_000)
    page.reload()
    page.wait_for_function(READY, timeout=90_000)
    for alt in ("a small airship over a forest", "a blue balloon"):
        expect(page.locator(f".jp-OutputArea img[alt='{alt}']").first).to_be_visible()
    expect(page.get_by_text("form for runware:101@1: results appear here and stay").first).to_be_visible()
    expect(page.locator(".runware-nb-results img").first).to_be_visible()
    expect(page.get_by_text(re.compile("run the cell again to search among them")).first).to_be_visible()
    expect(page.get_by_text(re.compile("mask kept:")).first).to_be_visible()
    page.screenshot(path=ARTEFACTS / f"workshop-{request.node.callspec.params['server']}-reopened.png")


CORE = [
    "import ipykernel\nprint('kernel', ipykernel.__version__)",
    "%load_ext runware_nb\nimport runware_nb as rw",
    "%runware sandbox --latency-s 3",
    "form = rw.form(width=256, height=256)\nform",
    "%%runware -s 256x256\na red ship at sunset",
    "await rw.image('a blue ship', width=256, height=256)",
]


@pytest.mark.parametrize("version", ["6.31.0", "7.3.0"])
def test_the_core_on_other_kernels(tmp_path: Path, version: str, request: pytest.FixtureRequest) -> None:
    server = Lab(tmp_path, "lab", version)
    try:
        with chromium_page(request.node.name) as page:
            path = server.write("core.ipynb", CORE)
            open_patiently(page, server, path.name, tries=4 if version == "7.3.0" else 1)
            for _ in range(4):
                page.evaluate("window.jupyterapp.commands.execute('notebook:run-cell-and-select-next')")
            page.locator(".jp-InputPrompt").get_by_text("[4]:", exact=True).wait_for(timeout=90_000)
            page.get_by_text(f"kernel {version}").wait_for()
            run_in_form(page)
            for number, sign in ((5, "a red ship at sunset"), (6, "a blue ship")):
                page.evaluate("n => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = n; }", number - 1)
                page.evaluate("void window.jupyterapp.commands.execute('notebook:run-cell')")
                page.locator(".jp-InputPrompt").get_by_text("[*]:", exact=True).wait_for()
                page.wait_for_timeout(600)
                page.locator('[data-command="notebook:interrupt-kernel"]').first.click()
                page.get_by_text("Stopped waiting. The service continues task").nth(number - 5).wait_for(timeout=4_000)
                page.locator(".jp-InputPrompt").get_by_text(f"[{number}]:", exact=True).wait_for(timeout=4_000)
                if number == 5:
                    page.locator(f".jp-OutputArea img[alt='{sign}']").wait_for(timeout=20_000)
    finally:
        server.close()


def open_patiently(page: Page, server: Lab, name: str, *, tries: int) -> None:
    """Open a notebook; ipykernel 7.3.0 now and then hangs while it starts, whatever is in the notebook."""
    page.goto(server.url(name))
    for number in range(tries):
        try:
            page.wait_for_function(READY, timeout=90_000 if tries == 1 else 20_000)
        except TimedOut:
            if number == tries - 1:
                raise
            page.evaluate("() => window.jupyterapp.shell.currentWidget?.sessionContext.restartKernel()")
            page.reload()
        else:
            return


def run_in_form(page: Page) -> None:
    shown = page.locator(".runware-nb-form").first
    shown.get_by_label("Prompt (needed)", exact=True).fill("a green hill")
    shown.get_by_role("button", name=re.compile("^Generate")).click()
    shown.get_by_text("Submitted:").wait_for()
    page.wait_for_timeout(400)  # sent by now: in the first moment a run may still be dropped
    shown.get_by_role("button", name="Cancel").click()
    shown.get_by_text("is paid for: its result appears below").wait_for()
    page.locator(".runware-nb-results img[alt='a green hill']").wait_for(timeout=20_000)
