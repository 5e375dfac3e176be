"""Each operation: magic, cell, function, method, form and terminal make the same request on the wire."""

import concurrent.futures
import json
import os
import re
import subprocess
import sys
import time

import pytest
from PIL import Image

import runware_nb as rw
from runware_nb.core.chaining import method_name, subject_of
from runware_nb.core.operations import OPERATIONS, operation_of

CASES = {
    "text-to-image": ("-s 256x256 --seed 5", "a ship", {"width": 256, "height": 256, "seed": 5}),
    "upscale": ("in.png --factor 2 --format PNG", None, {"image": "in.png", "factor": 2, "output_format": "PNG"}),
    "remove-background": (
        "in.png --alpha-matting --rgba 1,2,3,255", None,
        {"image": "in.png", "alpha_matting": True, "rgba": [1, 2, 3, 255]},
    ),
    "caption": ("in.png", "what is it?", {"image": "in.png"}),
    "mask": ("in.png --detector hand --blur 8", None, {"image": "in.png", "detector": "hand", "mask_blur": 8}),
    "controlnet": (
        "in.png --preprocessor canny --low-threshold 50", None,
        {"image": "in.png", "preprocessor": "canny", "low_threshold_canny": 50},
    ),
    "enhance": ("-n 2", "a cat on a roof", {"versions": 2}),
    "vectorize": ("in.png", None, {"image": "in.png"}),
    "video": (
        "--duration 1 --fps 8 --first-frame in.png --seed 3", "a storm",
        {"duration": 1, "fps": 8, "first_frame": "in.png", "seed": 3},
    ),
    "audio": (
        "--duration 1 --seed 3 --sample-rate 8000 --format WAV", "rain",
        {"duration": 1, "seed": 3, "sample_rate": 8000, "output_format": "WAV"},
    ),
    "text": (
        "--image in.png --system 'be short' --max-tokens 9 --seed 1", "name it",
        {"images": ["in.png"], "system_prompt": "be short", "max_tokens": 9, "seed": 1},
    ),
    "3d": ("in.png --seed 5", None, {"image": "in.png", "seed": 5}),
}  # fmt: skip
OFFERED = [operation.name for operation in OPERATIONS if operation.function is not None]
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def terminal(tmp_path_factory, _shared_sandbox):
    """What the terminal sends and prints for each operation: the processes run two at a time, before the tests."""
    folder = tmp_path_factory.mktemp("terminal")
    Image.new("RGB", (64, 64), "teal").save(folder / "in.png")
    _shared_sandbox.reset()

    def run(name):
        line, prompt, _ = CASES[name]
        words = [*split(line), *([] if prompt is None else ["--prompt", prompt])]
        environment = {**os.environ, **_shared_sandbox.environment, "RUNWARE_NB_HOME": str(folder / name)}
        return subprocess.run(
            [sys.executable, "-c", POLLS_SOON, name, *words, "--yes"], capture_output=True, text=True, env=environment,
            cwd=folder, timeout=120, check=False,
        )  # fmt: skip

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        done = dict(zip(OFFERED, pool.map(run, OFFERED), strict=True))
    sent = {type_of(task): plain(task) for task in _shared_sandbox.requests()}
    assert len(sent) == len(OFFERED), {name: each.stderr for name, each in done.items() if each.returncode}
    return done, sent


POLLS_SOON = """
import sys
import runware_nb.providers.runware.fate as fate
from runware_nb.cli import main
fate.first_poll_s = lambda operation: 0.2
sys.exit(main())
"""


def split(line):
    import shlex

    return shlex.split(line)


def type_of(task):
    return task["taskType"]


def plain(task):
    """Return a request without its own UUID, and with a placeholder for the UUID of each upload."""
    return json.loads(_UUID.sub("<uuid>", json.dumps({**task, "taskUUID": ""}, sort_keys=True)))


def settle(form):
    until = time.monotonic() + 20
    while form._sender.generate.disabled:
        assert time.monotonic() < until, form._sender.status.value
        time.sleep(0.01)


@pytest.mark.parametrize("name", OFFERED)
def test_each_way_to_ask_makes_the_same_request(shell, sandbox, terminal, polls_soon, tmp_path, name):
    Image.new("RGB", (64, 64), "teal").save("in.png")
    operation = operation_of(name)
    line, prompt, values = CASES[name]
    given = {**values, **({} if prompt is None else {"prompt": prompt})}
    # The form comes first: it has no --fresh, and the log would answer it.
    form = rw.form(name, **given)
    form._sender.generate.click()
    settle(form)
    if "Click Generate again" in form._sender.status.value:
        time.sleep(0.75)  # a question that is answered sooner was not read
        form._sender.generate.click()
        settle(form)
    assert form.outcome is not None, form._sender.status.value
    shell.names["values"], shell.names["text"] = values, prompt
    shell.run("import runware_nb as rw")
    on_line = "" if prompt is None else f" --prompt {prompt!r}"
    shell.run(f"%runware {name} {line}{on_line} --fresh --yes -q -o by_magic")
    if operation.body is not None and prompt is not None:
        shell.run(f"%%runware {name} {line} --fresh --yes -q\n{prompt}")
    call = (
        f"rw.{operation.function}({'' if prompt is None else 'text, ' if name == 'text-to-image' else 'prompt=text, '}"
    )
    shell.run(f"by_function = {call}**values, fresh=True, agreed=True).result()")
    sent = [plain(task) for task in sandbox.requests()]
    assert len(sent) == (4 if operation.body is not None and prompt is not None else 3)
    expected = terminal[1][sent[0]["taskType"]]
    for task in sent:
        assert task == expected
    check_method(shell, sandbox, operation, values, expected)
    assert terminal[0][name].returncode == 0, terminal[0][name].stderr
    assert len(shell.names["by_magic"].results) == len(shell.names["by_function"].results) > 0


def check_method(shell, sandbox, operation, values, expected):
    """Call the method of an earlier result: it makes the same request, with the result in the place of the medium."""
    method = method_name(operation)
    if method is None:
        return
    kind = subject_kind(operation) if operation.subjects else None
    made = {"image": "rw.mask('in.png', agreed=True)", "audio": "rw.audio('sea', duration=1, agreed=True)",
            None: "rw.enhance('a cat', agreed=True)"}[kind]  # fmt: skip
    shell.run(f"earlier = {made}.result()[0]")
    subject = None if kind is None else subject_of(operation, kind)
    given = {name: value for name, value in values.items() if subject is None or name != subject.name}
    shell.names["given"] = given
    prompt = "" if "prompt" not in {option.name for option in operation.options} or kind is None else "prompt=text, "
    shell.run(f"earlier.{method}({prompt}**given, fresh=True, agreed=True).result()")
    task = plain(sandbox.requests()[-1])
    if kind is None:  # a text becomes the prompt
        assert task == {**expected, "prompt": shell.names["earlier"].text}
    elif kind == "audio":
        assert task == {**expected, "inputs": {"audio": "<uuid>"}}
    else:
        assert task == expected


def subject_kind(operation):
    """Return the kind of the first medium that its method takes; for audio, that of the models in the catalog."""
    first = next(medium.kind for medium in operation.inputs if medium.name == operation.subjects[0])
    return "audio" if first == "video" else first


def test_every_operation_is_tried():
    assert list(CASES) == OFFERED
