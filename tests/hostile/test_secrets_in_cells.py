"""A key that is typed into a cell, a prompt or a line reaches no file, no output and no record."""

import dataclasses
import hashlib
import json
import secrets
import sqlite3
import string
import zipfile
from contextlib import closing

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from runware_nb.commands.image_options import refuse_keys
from runware_nb.core.cell_source import redact_source
from runware_nb.core.redaction import known_secrets
from runware_nb.engine.context import CellContext, hash_of_source
from runware_nb.errors import MagicUsageError, RunwareNBError, TaskInvalid
from tests.conftest import TASK
from tests.notebook.conftest import open_shell

KEY = "Zk3vQ9sT7bW2xY5mN8pR1cL4dF6gH0jA"
UNKNOWN = "q7w8e9r0t1y2"  # no key that this process knows, and too short to have the shape of one


def split(key, *sizes):
    pieces, rest = [], key
    for size in sizes:
        pieces, rest = [*pieces, rest[:size]], rest[size:]
    return [*pieces, rest]


def written_by(key):
    """Give the ways in which a cell can write a key that was used before, or is used by the same cell."""
    pieces = split(key, 3, 4, 5)
    return {
        "argument": f'rw.connect(api_key="{key}")',
        "environment": f'os.environ["RUNWARE_API_KEY"] = "{key}"',
        "line magic": f"%env RUNWARE_API_KEY={key}\nrw.image('x')",
        "shell": f"!export USEAPI_TOKEN={key}\nrw.image('x')",
        "class": f"rw.Client('{key}')",
        "implicit concatenation": "k = (" + "\n    ".join(f'"{piece}"  # part' for piece in pieces) + "\n)",
        "sum": "k = " + " + ".join(repr(piece) for piece in pieces),
        "join": f"k = ''.join({pieces!r})",
        "f-string": f'k = f"{{x}}{key}{{y}}"',
        "f-string of f-strings": f'k = f"{{"{pieces[0]}"}}{"".join(pieces[1:])}"'.replace('{"', "{'").replace(
            '"}', "'}"
        ),
        "bytes": f'k = b"{key}".decode()',
        "hexadecimal escapes": 'k = "' + "".join(f"\\x{ord(c):02x}" for c in key) + '"',
        "named escapes": 'k = "' + "".join(f"\\u{ord(c):04x}" for c in key) + '"',
        "octal escapes": 'k = "' + "".join(f"\\{ord(c):03o}" for c in key) + '"',
        "two variables": f'a = "{key[:12]}"; b = "{key[12:]}"',
        "comment": f"# my key is {key}\nx = 1",
        "prompt": f"%%runware -s 128x128\na poster that says {key}",
        "no Python": f"SELECT '{key}' FROM",
        "url": f'u = "https://h.example/?key={"".join(f"%{ord(c):02X}" for c in key)}"',
    }


NAMED = {
    "argument": f'rw.connect(api_key="{UNKNOWN}")',
    "provider's variable": f'os.environ["RUNWARE_API_KEY"] = "{UNKNOWN}"',
    "other variable": f"os.environ['HF_TOKEN'] = '{UNKNOWN}'",
    "default": f'key = os.environ.setdefault("RUNWARE_API_KEY", "{UNKNOWN}")',
    "magic": f"%env RUNWARE_API_KEY={UNKNOWN}\nrw.image('x')",
    "magic with a space": f"%env RUNWARE_API_KEY {UNKNOWN}\nrw.image('x')",
    "shell": f"rw.image('x')\n!RUNWARE_API_KEY={UNKNOWN} runware-nb log",
    "cell magic": f"%%time\nrw.connect(api_key='{UNKNOWN}')",
    "await": f"await rw.Client('{UNKNOWN}').open()",
    "name": f"API_KEY = '{UNKNOWN}'",
    "attribute": f"self.secret_key: str = '{UNKNOWN}'",
    "walrus": f"use(api_key := '{UNKNOWN}')",
    "dictionary": f"headers = {{'x-api-key': '{UNKNOWN}'}}",
    "parameter": f"def draw(prompt, api_key='{UNKNOWN}', *, n=1): ...",
    "choice": f"api_key = os.environ.get('KEY') or '{UNKNOWN}'.strip()",
    "comment": f"# api_key = '{UNKNOWN}'\nrw.image('x')",
    "bytes": f"password = b'{UNKNOWN}'",
    "unfinished": f"rw.connect(api_key='{UNKNOWN}'",
    "password in a URL": f"rw.connect(log_url='postgresql://user:{UNKNOWN}@h/db')",
    "text around": f"rw.image('a ship', note='api_key={UNKNOWN}')",
}
UNCHANGED = [
    "rw.image('a ship', seed=7, max_tokens='1234567890', model='runware:101@1')",
    "c = sqlite3.connect('runs-2024.sqlite')",
    "client = Client('localhost:8786')",
    "client = Client('tcp://scheduler.example:8786')",
    "api_key = os.environ['RUNWARE_API_KEY']",
    "rw.connect(api_key=api_key_of_user1)",
    "Settings(api_key_from='LAB_2_RUNWARE_API_KEY')",
    "class MyVeryLongNameOfATestCase2Go: ...",
    "digest = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'",
    "run = '3f2a9c1b-1111-4222-8333-444455556666'",
    "%%runware -m runware:101@1 -s 512x512 --seed 7\na small airship, 4k, token of love",
    "%env RUNWARE_API_KEY={key}\nrw.image('x')",
    "tokenizer.eos_token = '<|endoftext|>'",
    "ä = 'ü' * 3  # ünïcode\r\nx = '''\n%env A=1\n'''",
    "",
]


def leftovers(text, key, size=8):
    """List the parts of a key that a text still contains."""
    return [key[n : n + size] for n in range(len(key) - size + 1) if key[n : n + size] in text]


@pytest.mark.parametrize("way", written_by(KEY))
def test_the_stored_source_contains_no_part_of_a_known_key(way):
    known_secrets.add(KEY)
    source = written_by(KEY)[way]
    stored = redact_source(source)
    assert "[redacted]" in stored
    assert leftovers(stored, KEY) == []
    assert not any(f"{piece}" in stored for piece in split(KEY, 3, 4, 5))
    assert redact_source(stored) == stored


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 10), max_size=6),
    joint=st.sampled_from([" ", " + ", "\n", " \\\n"]), quote=st.sampled_from(['"', "'", '"""']),
)  # fmt: skip
def test_a_key_in_pieces_is_replaced_whatever_their_size(sizes, joint, quote):
    known_secrets.add(KEY)
    pieces = joint.join(f"{quote}{piece}{quote}" for piece in split(KEY, *sizes))
    stored = redact_source(f"rw.image('ä')\nk = ({pieces})\nrw.image('ö')")
    assert stored == "rw.image('ä')\nk = (\"[redacted]\")\nrw.image('ö')" or leftovers(stored, KEY, 4) == []
    assert stored.startswith("rw.image('ä')\n")
    assert stored.endswith("\nrw.image('ö')")


@pytest.mark.parametrize("way", NAMED)
def test_a_literal_with_the_name_of_a_key_is_replaced(way):
    """No code has used it yet, or never will: its name says what it is."""
    stored = redact_source(NAMED[way])
    assert UNKNOWN not in stored
    assert "[redacted]" in stored
    assert redact_source(stored) == stored
    assert stored.count("\n") == NAMED[way].count("\n")


@pytest.mark.parametrize("source", UNCHANGED)
def test_a_source_without_a_key_is_unchanged(source):
    assert redact_source(source) == source
    assert hash_of_source(source) == hashlib.sha256(source.encode()).hexdigest()


@settings(deadline=None, max_examples=60)
@given(source=st.text(max_size=80) | st.text(st.sampled_from("ab'\"\\{}()%!#=\n\r\t f"), max_size=60))
def test_any_text_is_redacted_without_an_error(source):
    """A cell may be any text; nothing of it is lost, and to redact it again changes nothing."""
    stored = redact_source(source)
    assert redact_source(stored) == stored
    if "[redacted]" not in stored:
        assert stored == source


def test_cells_that_differ_only_in_the_key_have_one_hash():
    """So replay mode and bundles still match a cell when its author uses another key."""
    known_secrets.add(KEY)
    cells = [f"rw.connect(api_key='{key}')\nrw.image('x')" for key in (KEY, UNKNOWN)]
    assert len({hash_of_source(cell) for cell in cells}) == 1
    context = CellContext(cell_source=redact_source(cells[0]))
    assert context.cell_hash == hashlib.sha256(context.cell_source.encode()).hexdigest() == hash_of_source(cells[0])


@settings(deadline=None, max_examples=40)
@given(key=st.text(st.sampled_from(string.ascii_letters + string.digits), min_size=26, max_size=40))
def test_a_line_with_a_known_key_is_refused_without_repeating_it(key):
    for line in (["--tag", KEY], [f"--note=my {KEY}"], ["--note", "%" + "%".join(f"{ord(c):02x}" for c in KEY)]):
        known_secrets.add(KEY)
        with pytest.raises(MagicUsageError) as caught:
            refuse_keys(line)
        assert KEY not in str(caught.value)
    assert key


# --- through the sandbox -----------------------------------------------------------------------------


def everything_below(folder):
    """Yield the bytes of each file and of each member of a zip file; IPython's own history is not ours."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or "ipython" in path.parts:
            continue
        yield path.name, path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as bundle:
                yield from ((name, bundle.read(name)) for name in bundle.namelist())
        if path.suffix in {".png", ".jpg", ".webp"}:
            from runware_nb import read

            yield f"metadata of {path.name}", repr(dataclasses.asdict(read(path))).encode()


def places_of(key, folder):
    forms = [key.encode(), key.encode("utf-16-le"), key.encode("utf-16-be")]
    return [name for name, body in everything_below(folder) if any(form in body for form in forms)]


@pytest.fixture
def own_sandbox(start_sandbox, tmp_path_factory):
    """A sandbox with a random key that has no prefix."""
    key = secrets.token_urlsafe(24).replace("-", "x").replace("_", "y") + "a1B"
    file = tmp_path_factory.mktemp("key") / "key"
    file.write_text(key)
    return start_sandbox("--key-file", str(file))


@pytest.fixture
def sandbox_shell(own_sandbox, monkeypatch):
    """A shell that knows where the sandbox is, and has no key yet."""
    # The empty key is set, so that what a cell sets is undone.
    with open_shell({**own_sandbox.environment, "RUNWARE_API_KEY": ""}, monkeypatch) as keyless:
        yield keyless


SENT = {
    "connect": "rw.connect(api_key='{key}')\n",
    "class": "client = rw.Client('{key}')\n",
    "environment": "import os; os.environ['RUNWARE_API_KEY'] = '{key}'\n",
    "magic": "%env RUNWARE_API_KEY={key}\n",
    "pieces": "k = '{first}' '{second}'\n",
    "variables": "a = '{first}'; b = '{second}'\n",
    "comment": "# {key}\n",
    "notebook path": "__vsc_ipynb_file__ = '/home/{key}/{key}.ipynb'\n",
}
REFUSED = {
    "prompt": "rw.image('says {key}', width=128, height=128).result()",
    "body": "%%runware -s 128x128\nsays {key}",
    "variable in a body": "%%runware -s 128x128\nsays {{hidden}}",
    "note": "rw.image('a ship', width=128, height=128, note='my {key}').result()",
    "tag": "rw.image('a ship', width=128, height=128, tags=['a', '{key}']).result()",
    "negative": "rw.image('a ship', width=128, height=128, negative_prompt='{key}').result()",
    "any parameter": "rw.run({{**task, 'settings': {{'a': [1, 'x{key}']}}}}).result()",
    "webhook": "rw.run({{**task, 'webhookURL': 'https://h.example/?key={key}'}}).result()",
    "line": "%runware text-to-image -s 128x128 --prompt 'says {key}'",
    "line, --set": "%%runware -s 128x128 --set user={key}\na ship",
    "alias": "%runware alias mine runware:{key}@1",
    "alias in Python": "rw.command('alias', 'mine', 'runware:{key}@1')",
    "login": "%runware login {key}",
    "config": "%runware config rest_url https://h.example/{key}",
}


def test_a_key_in_a_cell_reaches_no_file_and_no_output(own_sandbox, sandbox_shell, tmp_path, capsys, caplog):
    """Each way to write it, then everything that this product writes: log, images, bundle, export, trace, outputs."""
    key = own_sandbox.api_key
    values = {"key": key, "first": key[:9], "second": key[9:]}
    shell = sandbox_shell
    shell.run("import runware_nb as rw\n%runware trace on")
    leaks, spent = [], 0
    for name, cell in SENT.items():
        shell.run(cell.format(**values) + f"rw.image('ship {name}', seed=1, width=128, height=128).result()")
        spent += 1
    assert len(own_sandbox.charges()) == spent
    shell.names.update(hidden=key, task={**TASK, "width": 128, "height": 128, "seed": 2})
    for name, cell in REFUSED.items():
        with pytest.raises(RunwareNBError) as caught:
            shell.run(cell.format(**values))
        assert "key" in str(caught.value), name  # refused for this reason, and not for another
        leaks += [f"error of {name}"] * (key in f"{caught.value}{caught.value._render_traceback_()}{caught.value.args}")
    assert len(own_sandbox.charges()) == spent  # nothing was sent, and nothing was charged
    own_sandbox.faults({"kind": "refuse", "status": 400, "code": "invalidSeed", "message": f"you sent {key}"})
    with pytest.raises(TaskInvalid):
        shell.run("rw.image('echo', seed=9, width=128, height=128).result()")
    for line in ("log", "status", "config", "trace save t.jsonl", "trace show", "export all.jsonl",
                 "bundle make b.zip", "methods", "trace off"):  # fmt: skip
        shell.run(f"%runware {line}")
    shell.run("print([rw.command('show', run.task_uuid).json for run in rw.log.select()], rw.log.select())")
    outputs = capsys.readouterr()
    printed = outputs.out.replace(f"env: RUNWARE_API_KEY={key}", "")  # by IPython's own magic
    leaks += [f"output {stream}" for stream, text in (("out", printed), ("err", outputs.err), ("log", caplog.text))
              if key in text]  # fmt: skip
    assert (tmp_path / "b.zip").exists()
    assert (tmp_path / "all.jsonl").exists()
    assert leaks + places_of(key, tmp_path) == []
    with closing(sqlite3.connect(tmp_path / ".runware" / "runs.sqlite")) as log:
        sources = log.execute("SELECT hash, source FROM cells").fetchall()
        assert key not in json.dumps(list(log.iterdump()))
    assert len(sources) >= len(SENT)
    assert all(hashlib.sha256(source.encode()).hexdigest() == digest for digest, source in sources)
    assert sum("[redacted]" in source for _, source in sources) >= len(SENT) - 1
