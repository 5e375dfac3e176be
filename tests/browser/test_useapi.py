"""The forms of useapi.net in a real JupyterLab: an account is added, updated and removed, and a video generated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.jupyter import ARTEFACTS, Lab, chromium_page, open_notebook, run_all, save
from tests.useapi_sandbox import FIRST, UseApiSandbox

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

PASSWORD = "wonder-wall-4711"
REPO = Path(__file__).parents[2]


@pytest.fixture
def useapi() -> Iterator[UseApiSandbox]:
    sandbox = UseApiSandbox("--time-scale", "1000")
    yield sandbox
    sandbox.close()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path / "lab" if (tmp_path / "lab").mkdir() is None else tmp_path)
    yield made
    made.end_kernels()
    made.close()


@pytest.fixture
def page(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Page]:
    with chromium_page(request.node.name) as opened:
        yield opened


def test_accounts_and_a_video_in_jupyterlab(page: Page, lab: Lab, useapi: UseApiSandbox) -> None:
    connected = {**useapi.process.environment, "USEAPI_TOKEN": useapi.token, "RUNWARE_NB_USEAPI_URL": useapi.url}
    (lab.folder / "connected.py").write_text(
        f"import os, sys\nos.environ.update({connected!r})\nsys.path.insert(0, {str(REPO)!r})\n"
        "def connect():\n"
        "    from runware_nb.session import Session, current\n    from runware_nb.settings import load_settings\n"
        "    from tests.useapi_front import fast_packages\n"
        "    current._session = Session(load_settings(), packages=fast_packages())\n"
    )
    cells = [
        "import connected\n%load_ext runware_nb\nimport runware_nb as rw\nconnected.connect()",
        "%useapi form accounts",
        "rw.form('useapi:gen4', text_prompt='a ship', duration=5)",
    ]
    path = lab.write("useapi.ipynb", cells)
    open_notebook(page, lab, path.name)
    run_all(page, 3)
    form = page.locator(".runware-nb-useapi-accounts")
    form.get_by_text("No account yet").wait_for(timeout=30_000)

    # What is missing is told beside its field.
    form.get_by_role("button", name="Add or update").click()
    form.get_by_role("alert").get_by_text("Expected the e-mail").wait_for()
    page.locator(".jp-Notebook").screenshot(path=ARTEFACTS / "useapi-accounts-problem.png")

    form.get_by_label("E-mail").fill(FIRST)
    secret = form.locator("input[type=password]")
    secret.fill(PASSWORD)
    secret.press("Tab")
    assert secret.input_value() == "", "the field is empty as soon as it is left"
    form.get_by_role("button", name="Add or update").click()
    form.get_by_text("Runway accepted the password").wait_for(timeout=30_000)
    form.get_by_role("cell", name="fi…@example.com").wait_for()
    assert FIRST not in form.inner_text()
    page.locator(".jp-Notebook").screenshot(path=ARTEFACTS / "useapi-accounts.png")

    generate = page.locator(".runware-nb-form").nth(1)
    button = generate.get_by_role("button", name="Generate")
    button.click()
    generate.get_by_text("Click Generate again").wait_for(timeout=30_000)
    page.wait_for_timeout(800)  # a question that is answered sooner was not read
    button.click()
    generate.get_by_text("Done: 1 result").wait_for(timeout=60_000)
    page.locator(".runware-nb-results video").first.wait_for()
    page.locator(".jp-Notebook").screenshot(path=ARTEFACTS / "useapi-generate.png")

    # The state of all widgets, as JupyterLab saves it in notebooks.
    state = page.evaluate(
        """async () => {
            const panel = window.jupyterapp.shell.currentWidget;
            const kernel = panel.sessionContext.session.kernel;
            const future = kernel.requestExecute({code: `
import ipywidgets, json
print(json.dumps(ipywidgets.Widget.get_manager_state(), default=str))`});
            let said = '';
            future.onIOPub = message => { said += message.content.text || ''; };
            await future.done;
            return said;
        }"""
    )
    assert "typed text is hidden" in state
    assert PASSWORD not in state
    html = page.content()
    assert PASSWORD not in html
    assert json.dumps(PASSWORD) not in html

    form.get_by_label("Account", exact=True).select_option(label="fi…@example.com")
    form.get_by_role("button", name="Remove").first.click()
    form.get_by_text("Remove fi…@example.com from useapi.net").wait_for()
    page.locator(".jp-Notebook").screenshot(path=ARTEFACTS / "useapi-accounts-remove.png")
    form.get_by_role("button", name="Yes, remove it").click()
    form.get_by_text("was removed from useapi.net").wait_for(timeout=30_000)
    form.get_by_text("No account yet").wait_for()
    assert useapi.raw("GET", f"/accounts/{FIRST}")[0] == 404

    save(page)
    saved = path.read_text(encoding="utf-8")
    assert PASSWORD not in saved
    assert useapi.token not in saved
