"""What the notebook layer costs: Stop in each kernel, a form's comms, a gallery's first paint, bytes per image.

    make bench-workshop

Each is measured in a real kernel, and what is seen in a real JupyterLab in Chromium. Nothing here fails by itself.
"""

from __future__ import annotations

import base64
import io
import json
import os
import queue
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_client import KernelManager
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
OUTPUT = ROOT / "bench-output"
KERNELS = {"7.4": None, "7.3.0": ROOT / ".kernels" / "7.3.0", "6.31.0": ROOT / ".kernels" / "6.31.0"}
ROUNDS = 5


class Kernel:
    """A kernel in a folder of its own, driven over its sockets."""

    def __init__(self, folder: Path, packages: Path | None) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RUNWARE_")}
        if packages is not None:
            environment["PYTHONPATH"] = str(packages)
        self._manager = KernelManager()
        self._manager.start_kernel(cwd=str(folder), env=environment)
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)

    def start(self, code: str) -> str:
        return self._client.execute(code)

    def interrupt(self) -> None:
        self._manager.interrupt_kernel()

    def messages_until_idle(self, parent: str, timeout_s: float = 60) -> list[dict[str, Any]]:
        found = []
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            try:
                message = self._client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            if message["parent_header"].get("msg_id") != parent:
                continue
            found.append(message)
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return found
        raise TimeoutError("the kernel did not become idle")

    def run(self, code: str) -> list[dict[str, Any]]:
        found = self.messages_until_idle(self.start(code))
        errors = [each["content"]["evalue"] for each in found if each["msg_type"] == "error"]
        assert not errors, errors
        return found

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


@contextmanager
def kernel(packages: Path | None = None) -> Iterator[Kernel]:
    with tempfile.TemporaryDirectory() as folder:
        made = Kernel(Path(folder), packages)
        try:
            yield made
        finally:
            made.close()


def measure_stop() -> dict[str, float]:
    """Milliseconds from Stop to an idle kernel, the worst of some rounds, in cells that wait and cells that await."""
    made = {}
    for name, packages in KERNELS.items():
        with kernel(packages) as one:
            one.run("%load_ext runware_nb\nimport runware_nb as rw")
            one.run("%runware sandbox --latency-s 3")
            for kind, cell in (
                ("waiting", "%%runware -s 256x256\na ship"),
                ("await", "await rw.image('a ship', width=256, height=256)"),
            ):
                took = []
                for _ in range(ROUNDS):
                    parent = one.start(cell)
                    time.sleep(0.8)
                    began = time.perf_counter()
                    one.interrupt()
                    one.messages_until_idle(parent)
                    took.append((time.perf_counter() - began) * 1000)
                made[f"Stop to prompt, ipykernel {name}, {kind} cell, worst of {ROUNDS}"] = max(took)
    return made


def measure_form() -> dict[str, float]:
    """Comms and milliseconds of a form of eighteen controls, and of load_ext."""
    with kernel() as one:
        began = time.perf_counter()
        one.run("%load_ext runware_nb")
        loading = (time.perf_counter() - began) * 1000
        one.run("import runware_nb as rw\nfrom runware_nb.notebook import forms")
        one.run("%runware sandbox")
        one.run("rw.form()")
        took, comms = [], 0
        for _ in range(ROUNDS):
            began = time.perf_counter()
            messages = one.run("rw.form()")
            took.append((time.perf_counter() - began) * 1000)
            comms = sum(each["msg_type"] == "comm_open" for each in messages)
    return {"%load_ext, round trip included": loading, "form of 18 controls, comms": comms,
            "form of 18 controls, cell to idle": statistics.median(took)}  # fmt: skip


def measure_gallery() -> dict[str, float]:
    """Milliseconds to the first paint of 10,000 images in Chromium, and the longest blank while scrolling."""
    from tests.browser.jupyter import Lab, chromium_page, open_notebook
    from tests.many import fill

    with tempfile.TemporaryDirectory() as folder:
        server = Lab(Path(folder))
        fill(server.folder, 10_000)
        try:
            with chromium_page("bench gallery") as page:
                path = server.write("g.ipynb", ["%load_ext runware_nb\nimport runware_nb as rw\nrw.log.recent(1)",
                                                "%runware gallery --limit 5", "%runware gallery"])  # fmt: skip
                open_notebook(page, server, path.name)
                for _ in range(2):  # the second cell loads what the first gallery of a kernel loads
                    page.evaluate("window.jupyterapp.commands.execute('notebook:run-cell-and-select-next')")
                page.wait_for_timeout(3000)
                page.evaluate(_WATCH)
                page.evaluate("void window.jupyterapp.commands.execute('notebook:run-cell')")
                page.wait_for_function("() => window.painted !== undefined", timeout=60_000)
                first = page.evaluate("() => window.painted")
                page.wait_for_timeout(1000)
                blanks = page.evaluate(_SCROLL)
        finally:
            server.close()
    return {"gallery of 10,000, cell run to all in sight painted": first,
            "gallery of 10,000, longest time that a tile in sight was blank": max(blanks),
            "the same, median of 40 jumps": statistics.median(blanks)}  # fmt: skip


_WATCH = """() => {
    const began = performance.now();
    const seen = new Set(document.querySelectorAll('.runware-nb-gallery'));
    const look = () => {
        const gallery = [...document.querySelectorAll('.runware-nb-gallery')].find(each => !seen.has(each));
        const tiles = gallery ? [...gallery.querySelectorAll('.tile')] : [];
        if (tiles.length > 12 && !tiles.some(each => each.classList.contains('waiting'))
            && [...gallery.querySelectorAll('.picture img')].slice(0, 12).every(each => each.complete && each.naturalWidth)
            && gallery.querySelectorAll('.picture img').length > 11) window.painted = performance.now() - began;
        else requestAnimationFrame(look);
    };
    look();
}"""
_SCROLL = """async () => {
    const galleries = document.querySelectorAll('.runware-nb-gallery');
    const gallery = galleries[galleries.length - 1];
    const scroller = gallery.querySelector('.scroller');
    const blank = () => {
        const box = scroller.getBoundingClientRect();
        return [...gallery.querySelectorAll('.tile.waiting')].some(each => {
            const tile = each.getBoundingClientRect();
            return tile.bottom > box.top && tile.top < box.bottom;
        });
    };
    const took = [];
    for (let n = 0; n < 40; n += 1) {
        scroller.scrollTop += n % 4 === 3 ? 9000 : 400;
        const began = performance.now();
        await new Promise(done => requestAnimationFrame(done));
        while (blank()) await new Promise(done => requestAnimationFrame(done));
        took.push(performance.now() - began);
    }
    return took;
}"""


def measure_bytes() -> dict[str, float]:
    """KiB that one 1024 x 1024 image takes in the notebook's file, beside what PIL's own display takes."""
    from runware_nb.media import make_thumbnail

    chance = Image.frombytes("RGB", (1024, 1024), os.urandom(3 * 1024 * 1024))
    clear = chance.copy()
    clear.putalpha(Image.frombytes("L", (1024, 1024), os.urandom(1024 * 1024)))
    from runware_nb.sandbox.core.making.painter import Brief, paint

    photo = paint(Brief("a small airship over a forest", width=1024, height=1024, seed=7, model="runware:101@1"))
    made = {}
    for name, image in (("picture", photo), ("noise", chance), ("noise with transparency", clear)):
        ours = len(base64.b64encode(make_thumbnail(image).body))
        theirs = 0
        for kind in ("PNG", "JPEG"):
            buffer = io.BytesIO()
            try:
                image.save(buffer, kind)
            except OSError:
                continue  # PIL shows no JPEG where there is transparency
            theirs += len(base64.b64encode(buffer.getvalue()))
        made[f"{name}: ours"] = ours / 1024
        made[f"{name}: PIL's own display"] = theirs / 1024
        made[f"{name}: ratio"] = ours / theirs
    return made


BOUNDS = {"Stop to prompt": 250, "comms": 30, "gallery of 10,000, cell run": 1000, "longest time": 200, "ours": 160}


def main() -> None:
    OUTPUT.mkdir(exist_ok=True)
    lines = []
    found: dict[str, float] = {}
    for title, unit, measure in (("in the kernel", "ms", measure_stop), ("forms", "ms", measure_form),
                                 ("gallery", "ms", measure_gallery), ("bytes per image", "KiB", measure_bytes)):  # fmt: skip
        lines.append(f"{title} ({unit})")
        for name, value in measure().items():
            found[name] = value
            bound = next((limit for sign, limit in BOUNDS.items() if sign in name), None)
            said = "" if bound is None else f"   bound {bound}: {'met' if value <= bound else 'MISSED'}"
            lines.append(f"  {name.ljust(72)}{value:10.2f}{said}")
    text = "\n".join(lines)
    print(text)
    (OUTPUT / "workshop.txt").write_text(text + "\n")
    (OUTPUT / "workshop.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
