"""A real JupyterLab in a real Chromium: what a user sees."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import Page

from tests.browser.jupyter import ARTEFACTS, READY, Lab, chromium_page, decoded_images, open_notebook, run_all, save

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

FIVE = [
    "%load_ext runware_nb\nimport runware_nb as rw",
    "%runware sandbox",
    "%%runware -n 4 --seed 7 -o ships\na small airship over a forest",
    "%runware log",
    "images = await rw.image('a small airship over a forest', number_results=4, seed=7)\nimages",
]


@pytest.fixture(scope="module")
def _shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("lab"))
    yield made
    made.close()


@pytest.fixture
def lab(_shared_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The file's JupyterLab, in an empty folder and without kernels."""
    _shared_lab.enter(request.node.name)
    yield _shared_lab
    _shared_lab.end_kernels()


@pytest.fixture
def page(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Page]:
    """A page, gone before its server is."""
    with chromium_page(request.node.name) as opened:
        yield opened


def test_five_cells_in_jupyterlab(page: Page, lab: Lab) -> None:
    path = lab.write("five.ipynb", FIVE)
    open_notebook(page, lab, path.name)
    run_all(page, 5)
    images = decoded_images(page)
    assert len(images) == 8
    assert all(image["alt"] == "a small airship over a forest" for image in images)
    assert all(image["width"] == 512 and image["shown"] > 100 for image in images)
    assert page.get_by_text("4 images · $0.0152").count() >= 1
    assert page.get_by_text("recorded: run").count() >= 1  # the same request again, from Python
    page.locator("td:visible", has_text="runware:101@1").first.wait_for()
    full = page.request.get(images[0]["href"])
    assert full.ok
    assert len(full.body()) > 50_000
    page.locator(".jp-Notebook").screenshot(path=ARTEFACTS / "five-cells-notebook.png")
    save(page)
    assert path.stat().st_size / 8 < 160 * 1024
    page.reload()
    page.wait_for_function(READY, timeout=90_000)
    assert len(decoded_images(page)) == 8, "a reopened notebook shows everything"


MEMORY = [
    "%load_ext runware_nb\nimport runware_nb as rw",
    "%runware sandbox",
    "%%runware -s 512x512 -n 2 --seed 7 --tag study -o ships\na small airship over a forest",
    "%%runware -s 512x512 -n 2 --seed 8 --tag study -o storm\na small airship over a forest in a storm",
    'cut = rw.run({"taskType": "removeBackground", "model": "runware:109@1", "inputs": {"image": ships[0]}}, agreed=True).result()',
    "first, second = ships.task_uuid[:8], storm.task_uuid[:8]",
    "%runware rate {first}#1 5\n%runware log",
    "%runware diff {first} {second}",
    "%runware history {first}",
    "%runware cost --by model",
    "%runware verify --tag study --budget 1",
    "%runware code {second}",
]


def test_the_memory_in_jupyterlab(page: Page, lab: Lab) -> None:
    path = lab.write("memory.ipynb", MEMORY)
    open_notebook(page, lab, path.name)
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.get_by_text("images = rw.image(").first.wait_for(timeout=90_000)
    table = decoded_images(page, "td")
    assert [image["shown"] for image in table] == [56] * 3
    assert page.request.get(table[0]["href"]).ok, "a click leads to the full size"
    assert any(image["alt"].startswith("where the two differ") for image in decoded_images(page))
    assert len(decoded_images(page, "li")) == 3
    assert page.get_by_text("2 exact").count() == 1
    assert page.locator("progress").count() == 0, "the bar has gone"
    page.locator(".jp-Notebook").screenshot(path=ARTEFACTS / "memory.png")
    new = page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.getSource()")
    assert "seed=8" in page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.sharedModel.getSource()).join()"
    ), new
    save(page)
    assert path.stat().st_size < 900_000
    page.reload()
    page.wait_for_function(READY, timeout=90_000)
    assert len(decoded_images(page, "td")) == 3


def test_stop_and_progress_in_jupyterlab(page: Page, lab: Lab) -> None:
    cells = [
        "%load_ext runware_nb",
        "%runware sandbox --latency-s 5",
        "%%runware -s 512x256 -n 2\na red ship at sunset",
    ]
    path = lab.write("stop.ipynb", cells)
    open_notebook(page, lab, path.name)
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(".runware-nb-progress progress").wait_for(timeout=90_000)
    page.screenshot(path=ARTEFACTS / "progress.png")
    page.locator('[data-command="notebook:interrupt-kernel"]').first.click()
    page.get_by_text("Stopped waiting").wait_for(timeout=4_000)
    page.screenshot(path=ARTEFACTS / "stopped.png")
    page.wait_for_function("() => document.querySelectorAll('.runware-nb img').length === 2", timeout=30_000)
    assert len(decoded_images(page)) == 2


def test_a_hostile_prompt_and_an_error_in_jupyterlab(page: Page, lab: Lab) -> None:
    hostile = '%%runware -s 256x256\n<img src=x onerror=alert(1)><script>alert(2)</script> "quotes" & {braces}'
    path = lab.write(
        "hostile.ipynb", ["%load_ext runware_nb", "%runware sandbox", hostile, "%runware log", "%%runware -n 0\nxy"]
    )
    open_notebook(page, lab, path.name)
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.get_by_text("TaskInvalid: numberResults=0 refused").wait_for(timeout=90_000)
    for image in [*decoded_images(page), *decoded_images(page, "td")]:
        assert image["alt"].startswith("<img src=x onerror=alert(1)>")
    assert len(decoded_images(page, "td")) == 1
    assert page.locator("img[src='x']").count() == 0
    assert page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']").count() == 1
    save(page)
    as_others_see_it(page, lab, path)


def as_others_see_it(page: Page, lab: Lab, path: Path) -> None:
    """The same file from somebody else: not trusted, cleaned by JupyterLab, and still readable."""
    book = nbformat.read(path, as_version=4)
    book.metadata["changed"] = True  # its signature no longer fits
    nbformat.write(book, lab.folder / "theirs.ipynb")
    open_notebook(page, lab, "theirs.ipynb")
    trusted = page.evaluate(
        "() => [...window.jupyterapp.shell.currentWidget.model.cells].filter(each => each.type === 'code').map(each => each.trusted)"
    )
    assert not any(trusted)
    for image in [*decoded_images(page), *decoded_images(page, "td")]:
        assert image["alt"].startswith("<img src=x onerror=alert(1)>")
        assert image["width"] > 0
    panel = page.locator(".jp-OutputArea details").first
    panel.locator("summary").click()
    assert panel.locator("table").is_visible(), "the parameters open without any script of ours"
    assert page.locator("img[src='x'], .jp-OutputArea script").count() == 0
    page.locator(".jp-Notebook").screenshot(path=ARTEFACTS / "untrusted.png")


def test_on_paper_everything_is_there(page: Page, lab: Lab, tmp_path: Path) -> None:
    """Exported to a page and printed: images, and what plain images are for where there is no HTML."""
    cells = ["%load_ext runware_nb", "%runware sandbox", "%%runware -s 256x256 -n 2 --seed 7 -o ships\na small airship",
             "%runware compare ships", "%config RunwareMagics.display = 'image'",
             "%%runware -s 256x256 -n 3 --seed 9\na red ship"]  # fmt: skip
    path = lab.write("paper.ipynb", cells)
    open_notebook(page, lab, path.name)
    run_all(page, len(cells))
    save(page)
    book = nbformat.read(path, as_version=4)
    assert set(book.cells[-1].outputs[0].data) == {"image/jpeg", "text/plain"}
    html, _ = HTMLExporter().from_notebook_node(book)
    (tmp_path / "paper.html").write_text(html, encoding="utf-8")
    page.goto((tmp_path / "paper.html").as_uri())
    assert (
        page.evaluate("() => Promise.all([...document.images].map(each => each.decode())).then(all => all.length)") >= 6
    )
    printed = page.pdf(path=ARTEFACTS / "paper.pdf")
    assert printed.count(b"/Subtype /Image") >= 3, "the two, and the three in one; equal pictures are kept once"


SCALED = """%load_ext runware_nb
from runware_nb.providers.runware import fate
first, later = fate.first_poll_s, fate.poll_delay_s
fate.first_poll_s = lambda operation: first(operation) / 30
fate.poll_delay_s = lambda attempt: later(attempt) / 30"""
VIDEO = [SCALED, "%runware sandbox --latency-s 240 --time-scale 30"]
PLAYED = """async () => {
    const video = document.querySelector('.jp-OutputArea-output video');
    video.muted = true;
    await video.play();
    const before = video.currentTime;
    await new Promise(done => { video.ontimeupdate = () => video.currentTime > before + 0.2 && done(); });
    return {before, after: video.currentTime, width: video.videoWidth, error: video.error?.message};
}"""


def test_a_video_survives_stop_and_restart_and_plays(page: Page, lab: Lab) -> None:
    """Four minutes of the service are eight seconds here, and its polls are scaled alike."""
    make = "%runware video -m google:3@3 --prompt 'a red ship at sunset' --duration 2 --yes"
    path = lab.write("video.ipynb", [*VIDEO, make])
    open_notebook(page, lab, path.name)
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    panel = page.locator(".runware-nb-progress")
    panel.get_by_text(re.compile(r"in progress.* · \d+ %")).wait_for(timeout=90_000)
    assert panel.locator("figure > div").evaluate("box => box.clientWidth / box.clientHeight") == pytest.approx(
        16 / 9, rel=0.02
    )
    page.locator('[data-command="notebook:interrupt-kernel"]').first.click()
    page.get_by_text("The service continues task").wait_for()
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    page.wait_for_function(READY, timeout=60_000)
    page.evaluate(
        """cells => {
        const model = window.jupyterapp.shell.currentWidget.content.model.sharedModel;
        model.deleteCellRange(2, model.cells.length);
        for (const source of cells) model.insertCell(model.cells.length, {cell_type: 'code', source});
    }""",
        ["%runware resume", "print(type(_rw).__name__, len(_rw))"],
    )
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.get_by_text("Outcome 1").wait_for(timeout=60_000)
    (poster,) = decoded_images(page)
    assert poster["alt"] == "Video: a red ship at sunset"
    assert poster["width"] == 512
    assert page.get_by_text(re.compile(r"MP4 video, 2\.0 s, \d+ × \d+, \d+ fps, \d+ KiB")).count() == 1
    page.locator(".jp-Notebook").screenshot(path=ARTEFACTS / "video.png")
    played = page.evaluate(PLAYED)
    assert played["after"] > played["before"]
    assert played["width"] > 0
    full = page.request.get(page.get_by_role("link", name="open full file").evaluate("link => link.href"))
    assert full.ok
    assert full.body()[4:8] == b"ftyp"
    download = page.get_by_role("link", name="download").get_attribute("download")
    assert re.fullmatch(r"a-red-ship-at-sunset-[0-9a-f]{8}\.mp4", download or "")
    save(page)
    assert path.stat().st_size < 100 * 1024
    (lab.folder / "runware_images").rename(lab.folder / "elsewhere")
    page.reload()
    page.wait_for_function(READY, timeout=90_000)
    (poster,) = decoded_images(page)
    assert poster["shown"] > 100, "the poster is there without the file, and without having been run again"
    page.locator(".jp-Notebook").screenshot(path=ARTEFACTS / "video-saved.png")
    html, _ = HTMLExporter().from_filename(str(path))
    assert html.count('alt="Video: a red ship at sunset"') == 1
