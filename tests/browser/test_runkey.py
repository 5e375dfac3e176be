"""RunKey.ai in a real JupyterLab: cells, outputs of each kind, and the form of a template."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.jupyter import ARTEFACTS, READY, Lab, chromium_page, decoded_images, open_notebook, run_cells, save

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SCHEMA = {
    "type": "object",
    "required": ["prompt"],
    "properties": {
        "prompt": {"type": "string", "title": "Prompt", "maxLength": 2000, "description": "what to draw"},
        "width": {"type": "integer", "minimum": 64, "maximum": 512, "default": 128},
        "height": {"type": "integer", "minimum": 64, "maximum": 512, "default": 128},
        "style": {"enum": ["photo", "ink"], "default": "ink"},
        "strength": {"type": "number", "minimum": 0, "maximum": 1},
        "seed": {"type": "integer"},
        "tiled": {"type": "boolean"},
    },
}
CELLS = [
    "%load_ext runware_nb\nimport json\nimport runware_nb as rw",
    "%runware sandbox",
    '%%runkey tpl_image --yes -o ship\n{"prompt": "a small airship", "seed": 7, "width": 256, "height": 256}',
    '%%runkey tpl_json --yes\n{"prompt": "a small airship", "image_url": "{ship}"}',
    '%%runkey tpl_video --yes\nprompt = "a small airship"',
    '%runkey run tpl_audio --yes --input text="a small airship"',
    "form = rw.form('runkey:tpl_image', schema=json.load(open('schema.json')))\nform",
    "%runkey account",
    "%runware log",
]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    (made.folder / "schema.json").write_text(json.dumps(SCHEMA))
    yield made
    made.close()


@pytest.fixture
def page(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Page]:
    with chromium_page(request.node.name) as opened:
        opened.set_default_timeout(30_000)
        yield opened


def test_cells_and_the_form_of_a_template(page: Page, lab: Lab) -> None:
    path = lab.write("runkey.ipynb", CELLS)
    open_notebook(page, lab, path.name)
    run_cells(page)
    page.locator(".jp-InputPrompt").get_by_text(f"[{len(CELLS)}]:", exact=True).wait_for(timeout=120_000)
    page.wait_for_function(READY, timeout=60_000)
    page.locator(".jp-Notebook").screenshot(path=ARTEFACTS / "runkey-cells.png")
    assert [image["alt"] for image in decoded_images(page)][:1] == ["a small airship"]
    assert page.get_by_text(re.compile(r"^1 [\w ]+ · 15 credits")).count() >= 4
    assert page.locator("video").count() == 1
    assert page.locator("audio").count() == 1

    shown = page.locator(".runware-nb-form").first
    shown.get_by_role("button", name="Generate").click()
    shown.get_by_text("Prompt is needed").first.wait_for()
    shown.get_by_label("Prompt (needed)", exact=True).fill('a red ship, "quotes" {braces}')
    shown.get_by_label("Strength", exact=True).fill("3")
    page.keyboard.press("Tab")
    shown.get_by_text("3 is too large: 0 to 1").wait_for()
    shown.screenshot(path=ARTEFACTS / "runkey-form-problem.png")
    shown.get_by_label("Strength", exact=True).fill("0.5")
    shown.get_by_label("Style", exact=True).select_option("photo")
    page.keyboard.press("Tab")
    expect(shown.get_by_text("3 is too large")).to_have_count(0)
    shown.get_by_role("button", name="Other inputs").click()
    shown.get_by_role("button", name="Add Input").click()
    shown.get_by_label("Name (needed)", exact=True).fill("extra")
    shown.get_by_label("Value", exact=True).fill("[1, true]")
    page.keyboard.press("Tab")
    shown.get_by_role("button", name="Copy as cell").click()
    cell = shown.get_by_label("As a cell", exact=True)
    expect(cell).to_be_visible()
    written = cell.input_value()
    head, _, body = written.partition("\n")
    assert head == "%%runkey tpl_image"
    assert json.loads(body) == {
        "prompt": 'a red ship, "quotes" {{braces}}', "width": 128, "height": 128, "style": "photo", "strength": 0.5,
        "extra": [1, True],
    }  # fmt: skip
    shown.get_by_role("button", name="Generate").click()
    shown.get_by_text("Done: 1 result · 15 credits").wait_for(timeout=60_000)
    shown.screenshot(path=ARTEFACTS / "runkey-form.png")
    page.get_by_text("1 result · 15 credits").last.wait_for()
    page.locator(".jp-Notebook").screenshot(path=ARTEFACTS / "runkey-notebook.png")
    found = Axe().run(page, context={"include": [[".runware-nb-form"]]})
    assert not [each["id"] for each in found.response["violations"] if each["impact"] in {"serious", "critical"}]
    save(page)
    assert 'alt=\\"a red ship' in path.read_text() or "a red ship" in path.read_text()
