"""Make a folder of work with the version of the package that is on the path. Kept to show how the data came about.

    PYTHONPATH=<checkout of the version> python tests/earlier/make.py <empty folder>

It runs against that version's own sandbox and uses only names that every version has: one run of each operation, an
edit of an earlier result, a run that was accepted and not collected, exports, bundles, and an executed notebook. What
a version cannot do yet is left out, and `made.json` lists what there is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any


def main() -> None:
    """Make everything, each step in a process of its own, as a user would."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("step", nargs="?", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        {"runs": make_runs, "unfinished": leave_unfinished, "curate": curate}[options.step]()
        return
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    startup = folder / "startup"
    startup.mkdir()
    # The records describe the environment. The platform is made the same on every machine.
    (startup / "sitecustomize.py").write_text("import platform\nplatform.platform = lambda *_, **__: 'Linux-x86_64'\n")
    command = [sys.executable, "-m", "runware_nb.sandbox", "--watch-stdin", "--latency-s", "0"]
    sandbox = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert sandbox.stdout is not None
    info = json.loads(sandbox.stdout.readline())
    environment = {
        **os.environ, "HOME": "/nonexistent", "RUNWARE_API_KEY": info["api_key"],
        "RUNWARE_NB_REST_URL": info["rest_url"], "RUNWARE_NB_WS_URL": info["ws_url"],
        "RUNWARE_NB_SCHEMAS_URL": info["schemas_url"],
        "PYTHONPATH": os.pathsep.join([str(startup), os.environ["PYTHONPATH"]]),
    }  # fmt: skip

    def step(*arguments: str, needed: bool = True) -> bool:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=170
        )
        if done.returncode and needed:
            raise SystemExit(f"{arguments}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.returncode == 0

    steps: dict[str, bool] = {}
    try:
        script = str(Path(__file__).resolve())
        step(script, str(folder), "runs")
        steps["notebook"] = execute_notebook(folder, environment)
        step(script, str(folder), "unfinished")
        step(script, str(folder), "curate")
        cli = ["-m", "runware_nb"]
        steps["export"] = step(*cli, "export", "runs.jsonl", needed=False)
        steps["bundle"] = step(*cli, "bundle", "make", "bundle.zip", needed=False)
        if steps["notebook"]:
            steps["notebook_bundle"] = step(
                *cli, "bundle", "make", "airships.zip", "--notebook", "airships.ipynb", needed=False
            )
    finally:
        sandbox.terminate()
        sandbox.communicate()
    shutil.rmtree(startup)
    for path in list(folder.rglob("*")):
        if path.name.endswith((".sqlite-wal", ".sqlite-shm", ".log")) or path.name in {".ipynb_checkpoints", "schemas"}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / "made.json").write_text(json.dumps(steps, indent=1) + "\n")


def make_runs() -> None:
    """One run of each operation, each to its end; a refused one is a kind of run too."""
    import runware_nb as rw

    for task in tasks():
        try:
            run(task).result()
        except Exception as error:
            print(type(error).__name__, error)
    first = rw.image("a small airship", width=128, height=128, seed=11, number_results=2).result()
    edit = {"taskType": "imageInference", "model": "runware:101@1", "positivePrompt": "the same at night",
            "seedImage": str(first[0].path), "strength": 0.6, "width": 128, "height": 128, "seed": 12}  # fmt: skip
    run(edit).result()
    rw.image("a small airship, no seed of its own", width=128, height=128).result()
    shut()


def run(task: dict[str, Any]) -> Any:
    """Submit a task, and agree to its cost where the version asks."""
    import inspect

    import runware_nb as rw

    return rw.run(task, **({"agreed": True} if "agreed" in inspect.signature(rw.run).parameters else {}))


def tasks() -> list[dict[str, Any]]:
    """One task of each type, with inputs small enough to keep."""
    from PIL import Image

    source = Path("source.png")
    Image.new("RGB", (64, 64), "teal").save(source)
    placed = {"inputs": {"image": str(source)}}
    image = {"taskType": "imageInference", "model": "runware:101@1", "width": 128, "height": 128}
    lora = [{"model": "civitai:1@1", "weight": 0.5}]
    return [
        {**image, "positivePrompt": "a ship, \u2028 & <b>é</b> {x}", "seed": 1},
        {**image, "positivePrompt": "a ship with a LoRA", "seed": 2, "lora": lora, "outputFormat": "PNG"},
        {**image, "positivePrompt": "a ship as WebP", "seed": 3, "outputFormat": "WEBP", "negativePrompt": "sails"},
        {**image, "positivePrompt": "wrong", "seed": 4, "width": 131},
        {"taskType": "upscale", "model": "runware:504@1", "upscaleFactor": 2, **placed},
        {"taskType": "removeBackground", "model": "runware:109@1", **placed},
        {"taskType": "caption", **placed},
        {"taskType": "imageMasking", "model": "runware:35@1", **placed, "settings": {"maskBlur": 0}},
        {"taskType": "controlNetPreprocess", "model": "runware:controlnet-preprocess@canny", **placed},
        {"taskType": "vectorize", "model": "recraft:1@1", **placed},
        {"taskType": "promptEnhance", "prompt": "a cat", "promptVersions": 2, "promptMaxLength": 64},
        {"taskType": "textInference", "model": "google:gemma@4-31b", "messages": [{"role": "user", "content": "hi"}],
         "settings": {"maxTokens": 4}},
        {"taskType": "videoInference", "model": "google:3@3", "positivePrompt": "it moves", "duration": 1, "fps": 8},
        {"taskType": "audioInference", "model": "runware:ace-step@v1.5-turbo", "positivePrompt": "a tune", "duration": 1,
         "outputFormat": "WAV"},
        {"taskType": "3dInference", "model": "microsoft:trellis-2@4b", **placed},
    ]  # fmt: skip


def execute_notebook(folder: Path, environment: dict[str, str]) -> bool:
    """Write a notebook, and execute it in a kernel of its own."""
    import nbformat

    cells = [
        "%load_ext runware_nb\nimport runware_nb as rw",
        "%%runware -s 128x128 --seed 21\nan airship over a forest",
        "job = rw.image('an airship over the sea', width=128, height=128, seed=22)\njob.result()",
        "%%runware -s 128x128 -n 2 --seed 23\nan airship over a town",
    ]
    path = folder / "airships.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    nbformat.write(notebook, path)
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--execute", "--inplace", "--to", "notebook", path.name]
    named = {**environment, "JPY_SESSION_NAME": str(path), "HOME": str(folder), "RUNWARE_NB_HOME": ".runware"}
    done = subprocess.run(command, cwd=folder, env=named, capture_output=True, text=True, timeout=170)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    for name in (".ipython", ".local", ".cache", ".jupyter"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return True


def curate() -> None:
    """Rate, tag, vote, name and limit, as far as the version can; each by the command that every version calls so."""
    from runware_nb.cli import main as run_command

    names = [run.task_uuid for run in _recent() if run.task_type == "imageInference"]
    for line in (
        ["rate", names[0], "5"], ["rate", names[1], "2"], ["alias", "flux", "runware:101@1"], ["budget", "50"],
        ["budget", "5", "--tag", "ships"],
    ):  # fmt: skip
        try:
            run_command(line)
        except SystemExit as end:
            print(line, end)
    shut()


def leave_unfinished() -> None:
    """A video that was sent and is not collected: the process ends as a killed kernel would."""
    import time

    task = {"taskType": "videoInference", "model": "google:3@3", "positivePrompt": "it is not finished", "duration": 1}
    job = run(task)
    until = time.monotonic() + 20
    while str(job.state) not in {"accepted", "sent", "State.ACCEPTED", "State.SENT"} and time.monotonic() < until:
        time.sleep(0.005)
    print(job.task_uuid, job.state, flush=True)
    os._exit(0)  # without any goodbye


def _recent() -> list[Any]:
    import runware_nb as rw

    return list(rw.log.recent(100)) if hasattr(rw.log, "recent") else list(rw.log.select(limit=100))


def shut() -> None:
    """Close the session, so that the log is one file."""
    from runware_nb.session.current import current_session

    current_session().close()


def pack(folder: Path, archive: Path) -> None:
    """Write a folder as one archive, in a fixed order."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                target.write(path, path.relative_to(folder))


if __name__ == "__main__":
    main()
