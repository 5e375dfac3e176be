"""A chain of six operations in one notebook, in a real kernel: what is sent, what is sent again, and what history shows."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = [
    pytest.mark.kernel,
    # jupyter_client and zmq leave sockets to the garbage collector when a kernel ends
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

SETUP = "%load_ext runware_nb\nimport runware_nb as rw\nfrom PIL import Image\nmask = Image.new('L', (256, 256), 255)"
CHAIN = [
    "%%runware -s 256x256 --seed 1 -o ship\na small airship over a forest",
    "%%runware -s 256x256 --seed 2 --from ship --mask mask --strength 0.9 -o repainted\n{}",
    "%runware upscale repainted --factor 2 --yes -o large",
    "%runware remove-background large --yes -o cut",
    "%runware vectorize cut --yes -o drawing",
    "%runware caption cut --yes -o words",  # a drawing has no pixels
]
STEPS = ["image", "inpaint", "upscale", "remove-background", "vectorize", "caption"]


@pytest.fixture
def run_cells(sandbox, tmp_path, monkeypatch):
    """Executes cells in one kernel, and returns those of a run with their outputs."""
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    book = new_notebook()
    client = NotebookClient(book, timeout=60, resources={"metadata": {"path": str(tmp_path)}})
    with client.setup_kernel():

        def run(sources):
            book.cells = [new_code_cell(source) for source in sources]
            for number, cell in enumerate(book.cells):
                client.execute_cell(cell, number)
            return nbformat.from_dict(book).cells

        yield run


def test_a_chain_repeats_what_depends_on_a_change_and_nothing_else(run_cells, sandbox):
    """Six requests; none when all cells run again; five after a change of the second step, also with another kernel's
    log. The tree is the same from whichever run it is asked for."""

    def chain(prompt):
        return [SETUP, *(cell.replace("{}", prompt) for cell in CHAIN)]

    run_cells(chain("a castle on a hill"))
    first = sandbox.requests()
    assert [task["taskType"] for task in first] == [
        "imageInference", "imageInference", "upscale", "removeBackground", "vectorize", "caption"
    ]  # fmt: skip
    assert len(sandbox.charges()) == 6
    assert len(sandbox.uploads()) == 1  # the mask: every step names the result of the one before it

    run_cells(chain("a castle on a hill"))
    assert len(sandbox.requests()) == 6

    run_cells(chain("a lighthouse on a cliff"))
    again = sandbox.requests()[6:]
    assert [task["taskType"] for task in again] == [task["taskType"] for task in first[1:]]
    assert len(sandbox.charges()) == 11
    assert len(sandbox.uploads()) == 1

    trees = run_cells(["%runware history words", "%runware history ship", "print(words.history())"])
    html = trees[0].outputs[0]["data"]["text/html"]
    for step in STEPS:
        assert html.count(f"  {step}") >= 1 + (step != "image"), step
    assert html.count("<img ") == 9  # all but the captions
    assert "11 runs, $" in html
    texts = [
        trees[0].outputs[0]["data"]["text/plain"],
        trees[1].outputs[0]["data"]["text/plain"],
        trees[2].outputs[0]["text"],
    ]
    plain = [text.replace("> ", "").strip() for text in texts]
    assert plain[0] == plain[1] == plain[2]
    lines = plain[0].splitlines()
    deepest = max(len(line) - len(line.lstrip(" │├└─")) for line in lines)
    assert deepest == 3 * 5 or any("caption" in line for line in lines)
    assert sum("caption (" in line for line in lines) == 2
