"""A text in a real JupyterLab: early words are there before later ones are sent, and nothing that it says can do harm."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from runware_nb.runlog import RunLog, State
from tests.browser.jupyter import ARTEFACTS, READY, Lab, chromium_page, open_notebook, run_all, run_below, save
from tests.conftest import SandboxProcess

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

WORDS = [f"word{number}" for number in range(60)]
TEXT = " ".join(WORDS)
HOSTILE = r"""# A *title*

<script>window.harmed = "script"</script>
<img src=x onerror="window.harmed = 'image'">
[a link](javascript:window.harmed='link') <javascript:window.harmed='auto'>
[a page](https://example.org/a_(b)) ![a picture](https://example.org/tracker.png)
[quoted](https://example.org/"onmouseover="window.harmed='attribute')
<details open ontoggle="window.harmed='toggle'"><summary>x</summary></details>

| a | b |
| - | - |
| `<b>` | costs $5, not $6 |

$e^{i\pi} = -1$ and $\href{javascript:window.harmed='formula'}{formula}$

```html
</code></pre><script>window.harmed = "code"</script>
```
"""


@pytest.fixture
def sandbox() -> Iterator[SandboxProcess]:
    started = SandboxProcess()
    yield started
    started.close()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    made.close()


@pytest.fixture
def page(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Page]:
    with chromium_page(request.node.name) as opened:
        yield opened


def test_text_in_jupyterlab(page: Page, lab: Lab, sandbox: SandboxProcess) -> None:
    path = lab.write("text.ipynb", ["%load_ext runware_nb", f"import os; os.environ.update({sandbox.environment!r})"])
    open_notebook(page, lab, path.name)
    run_all(page, 2)
    log = RunLog(lab.folder / ".runware")
    try:
        words_before_they_are_all_sent(page, sandbox)
        stop_keeps_what_has_arrived(page, sandbox, log)
        a_hostile_text(page, sandbox)
        save(page)
        page.reload()
        page.wait_for_function(READY, timeout=90_000)
        page.locator(".runware-nb-words h1").wait_for()
        nothing_was_done(page)
    finally:
        log.close()


def words_before_they_are_all_sent(page: Page, sandbox: SandboxProcess) -> None:
    """The service holds the rest back until the test releases it, so that it cannot be on the page."""
    sandbox.faults({"kind": "write", "text": TEXT}, {"kind": "hold", "after": 9})
    run_below(page, "%%runware text --yes\nCount to sixty, please.")
    cell = page.locator(".jp-Cell").last
    cell.get_by_text("word8").wait_for(timeout=30_000)
    assert cell.locator("progress").count() == 1
    assert "word9" not in cell.inner_text()
    assert sandbox.charges() == [], "the service has not finished it"
    cell.screenshot(path=ARTEFACTS / "text-streaming.png")
    sandbox.control("release", post=True)
    cell.get_by_text("word59").wait_for(timeout=20_000)
    cell.get_by_text("tokens: ").wait_for(timeout=20_000)
    assert cell.locator("progress").count() == 0
    assert len(sandbox.charges()) == 1


def stop_keeps_what_has_arrived(page: Page, sandbox: SandboxProcess, log: RunLog) -> None:
    sandbox.faults({"kind": "write", "text": TEXT}, {"kind": "hold", "after": 9})
    run_below(page, "%%runware text --yes\nCount to sixty once more, please.")
    cell = page.locator(".jp-Cell").last
    cell.get_by_text("word8").wait_for(timeout=30_000)
    page.locator('[data-command="notebook:interrupt-kernel"]').first.click()
    cell.get_by_text("Stopped waiting. The service continues task").wait_for(timeout=4_000)
    assert "word8" in cell.locator(".runware-nb-words").inner_text(), "what has arrived stays in the cell"
    until = time.monotonic() + 20
    while not ((record := log.recent(1)[0]).results and record.results[0].raw["text"].endswith("word8")):
        assert time.monotonic() < until, "Stop did not write the text"
        time.sleep(0.05)
    assert record.results[0].raw["isPartial"] is True
    assert record.state is State.DETACHED
    sandbox.control("release", post=True)
    cell.get_by_text("word59").wait_for(timeout=20_000)
    assert log.recent(1)[0].results[0].raw["text"] == TEXT
    assert len(sandbox.charges()) == 2


def a_hostile_text(page: Page, sandbox: SandboxProcess) -> None:
    sandbox.faults({"kind": "write", "text": HOSTILE, "reasoning": "<script>window.harmed = 'reasoning'</script>"})
    run_below(page, "%%runware text --yes\nBe evil, please.")
    cell = page.locator(".jp-Cell").last
    cell.locator(".runware-nb-words h1 em").wait_for(timeout=30_000)
    cell.locator("summary", has_text="Reasoning").click()
    assert cell.locator("table td").nth(1).inner_text() == "costs $5, not $6"
    cell.locator("mjx-container").first.wait_for(timeout=20_000)
    cell.screenshot(path=ARTEFACTS / "text-hostile.png")
    nothing_was_done(page)


def nothing_was_done(page: Page) -> None:
    links = page.evaluate("""() => {
        const links = [...document.querySelectorAll('.jp-OutputArea a')];
        links.filter(link => !/^https:/.test(link.href?.baseVal ?? link.href)).forEach(link => link.dispatchEvent(
            new MouseEvent('click', {bubbles: true, cancelable: true})));
        return links.map(link => link.getAttribute('href') ?? link.getAttributeNS('http://www.w3.org/1999/xlink', 'href'));
    }""")
    assert not [link for link in links if link and "javascript" in link.partition("?")[0].lower()[:20]], links
    assert page.evaluate("window.harmed ?? null") is None
    assert page.locator(".jp-OutputArea script, .jp-OutputArea img").count() == 0, "nothing is loaded for a text"
