"""Five types of secrets are planted, used in a real kernel, and searched for in everything that is left afterwards.

They are the keys of RunKey.ai and useapi.net, a webhook secret, a Runway password and the session token of a Runway
account. The notebook is saved with the state of its widgets, as nbclient and JupyterLab can save it.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from runware_nb.providers.useapi.accounts import Password
from tests.useapi_front import environment_of
from tests.useapi_sandbox import FIRST, SECOND, UseApiSandbox

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

REPO = Path(__file__).parents[2]
PASSWORD = "wonder~wall~4711\"'<harbor>"
CELLS = [
    # Everything that any library logs goes to a file, and to the output of the cell.
    (
        "import logging, os, sys\n"
        "logging.basicConfig(level=logging.DEBUG, filename='debug.log')\n"
        "logging.getLogger('httpx').addHandler(logging.StreamHandler(sys.stdout))\n"
        "%load_ext runware_nb\nimport runware_nb as rw"
    ),
    f"%useapi account add {FIRST} --password-env PLANTED_PASSWORD --max-jobs 2",
    f"%useapi account add {SECOND} --password-file password.txt",
    "%useapi accounts --credits --full\n%useapi credits\n%useapi tasks\n%useapi assets",
    f"rw.command('useapi account', 'show', '{FIRST}').json",
    "%%useapi image --model gen4 --seed 3 --yes -o ship\na ship",
    "%%runkey tpl_abc123 --yes -o lighthouse\n" + '{"prompt": "a lighthouse"}',
    # A password that is typed into a cell by way of a variable is refused, and so are tokens of all kinds.
    f"%useapi account add {FIRST} {{os.environ['PLANTED_PASSWORD']}}",
    f"password = os.environ['PLANTED_PASSWORD']\n%useapi account add {FIRST} {{password}}",
    "%%useapi image --yes\n{password}",
    "token = os.environ['USEAPI_TOKEN']\n%useapi image {token} --yes",
    "%%useapi image --note {token} --yes\na ship",
    "rw.useapi.image(password, agreed=True)",
    # The service refuses the login and repeats what it was sent.
    (
        "import urllib.request\n"
        'fault = b\'[{"kind": "login", "on": "accounts", "reason": "password"}]\'\n'
        "key = {'Authorization': f\"Bearer {os.environ['RUNWARE_API_KEY']}\"}\n"
        "url = os.environ['RUNWARE_NB_USEAPI_URL'] + '/_sandbox/faults'\n"
        "urllib.request.urlopen(urllib.request.Request(url, fault, key)).read()\n"
        f"rw.useapi.save_account('{FIRST}', password)"
    ),
    # The client, its accounts with their secrets, and what they look like.
    (
        "client = rw.UseApi()\n"
        "revealed = await client.accounts(reveals=True)\n"
        "print(client, vars(client), revealed, [vars(rw) is None], [each.secrets for each in revealed])\n"
        "repr(revealed), str(revealed[0].secrets), f'{revealed[0].secrets.password}', f'{revealed[0].secrets.session_token}'"
    ),
    "import pickle\npickle.dumps(revealed)",
    "raise RuntimeError(f'{revealed} {client!r}')",
    # The form: the password arrives as it does from a browser.
    "form = rw.form('useapi:accounts')\nform",
    (
        "box = form._password.widget\n"
        "box._handle_msg({'content': {'data': {'method': 'custom', 'content': {'kind': 'secret', 'text': password}}}, "
        "'buffers': []})\n"
        "import time\n"
        "def settle(until):\n"
        "    while form._is_busy and time.monotonic() < until: time.sleep(0.05)\n"
        f"settle(time.monotonic() + 30)\nform._email.value = '{SECOND}'\nform.save()\nsettle(time.monotonic() + 30)\n"
        "form.status.value, box.note"
    ),
    "received = rw.command('webhook', port=0)\nreceived.is_failure",  # its output has the token in the path of a URL
    (
        "from runware_nb.session import current_session\n"
        "session = current_session()\n"
        "print(session.settings, session.connection, vars(session.providers), session.provider('useapi'), "
        "session.provider('runkey'), vars(session.provider('runkey')), vars(session.provider('useapi')))"
    ),
    "%runware log\n%runware show {ship.task_uuid}\n%runware code {ship.task_uuid}\n%runware status\n%runware config",
    "open('ps.txt', 'w').write(os.popen('ps -eo args').read())",
    (
        "import ipywidgets, json\n"
        "open('state.json', 'w').write(json.dumps(ipywidgets.Widget.get_manager_state(), default=str))"
    ),
]


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """Run the notebook once; return the secrets, the folder and the saved notebook."""
    folder = tmp_path_factory.mktemp("planted")
    useapi = UseApiSandbox("--time-scale", "500")
    useapi.switch(password="echoed")
    (folder / "password.txt").write_text(PASSWORD)
    info = useapi.process.info
    environment = {
        **environment_of(useapi), "PLANTED_PASSWORD": PASSWORD, "RUNKEY_API_KEY": info["runkey_api_key"],
        "RUNKEY_WEBHOOK_SECRET": info["runkey_webhook_secret"], "RUNWARE_NB_RUNKEY_URL": info["runkey_url"],
        "PYTHONPATH": str(REPO), "IPYTHONDIR": str(folder / "ipython"), "JUPYTER_WIDGETS_ECHO": "1",
    }  # fmt: skip
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("RUNWARE_", "RUNKEY_", "USEAPI_"))
    }
    book = new_notebook(cells=[new_code_cell(source) for source in CELLS])
    client = NotebookClient(
        book, timeout=120, allow_errors=True, store_widget_state=True, resources={"metadata": {"path": str(folder)}}
    )
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update({**kept, **environment})
    try:
        client.execute()
    finally:
        os.environ.clear()
        os.environ.update(before)
    path = folder / "planted.ipynb"
    nbformat.write(book, path)
    accounts = useapi.call("GET", "/accounts")[1]
    secrets = {
        "RunKey key": info["runkey_api_key"], "webhook secret": info["runkey_webhook_secret"],
        "API token": useapi.token, "Runway password": PASSWORD, "Runway JWT": accounts[FIRST]["jwt"]["token"],
    }  # fmt: skip
    (folder / "password.txt").unlink()
    useapi.close()
    return secrets, folder, book


def spellings(secret):
    """Return a secret as it may stand in a file: plain, in JSON, in HTML, in a URL, and its longest part."""
    import html
    import urllib.parse

    return {
        secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], html.escape(secret), urllib.parse.quote(secret),
        urllib.parse.quote(secret, safe=""), max(re.split(r"[\"'<>]", secret), key=len),
    }  # fmt: skip


def found_in(body, secrets):
    return [name for name, secret in secrets.items() for spelling in spellings(secret) if spelling.encode() in body]


def output_of(book, words):
    cell = next(cell for cell in book.cells if words in cell.source)
    return json.dumps(cell.outputs)


def test_the_notebook_did_what_it_was_written_for(left):
    """Nothing is proven by a notebook whose cells fail for other reasons."""
    secrets, folder, book = left
    assert len(set(secrets.values())) == 5
    assert all(len(secret) > 15 for secret in secrets.values())
    assert "Runway accepted the password" in output_of(book, "--password-env")
    assert "Runway accepted the password" in output_of(book, "--password-file")
    assert FIRST in output_of(book, "--full")
    assert "image" in output_of(book, "-o ship")
    assert "error" not in output_of(book, "-o lighthouse")
    assert "A password must not be on a line" in output_of(book, "account add first@example.com {password}")
    for words in ("{password}\n", "{token} --yes", "--note {token}", "image(password"):
        if any(words.strip() in cell.source for cell in book.cells):
            assert "error" in output_of(book, words.strip()), words
    assert "refused the login" in output_of(book, "save_account")
    assert "password of a Runway account" in output_of(book, "reveals=True")
    assert "never pickled" in output_of(book, "pickle.dumps")
    assert "Runway accepted the password" in output_of(book, "form.save()")
    assert "RuntimeError" in output_of(book, "raise RuntimeError")
    assert (folder / "debug.log").stat().st_size > 1000
    assert book.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert "ipykernel" in (folder / "ps.txt").read_text()


def test_no_secret_is_in_an_output_or_in_the_state_of_a_widget(left):
    secrets, folder, book = left
    for number, cell in enumerate(book.cells):
        assert found_in(json.dumps(cell.outputs, ensure_ascii=False).encode(), secrets) == [], (number, cell.source)
    assert found_in(json.dumps(book.metadata, ensure_ascii=False).encode(), secrets) == []
    assert found_in((folder / "state.json").read_bytes(), secrets) == []


def test_no_secret_is_in_any_file_or_in_the_list_of_processes(left):
    """The log, its database, cached thumbnails, the debug logs of HTTP, the history of IPython and the notebook."""
    secrets, folder, _ = left
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"debug.log", "ps.txt", "runs.sqlite", "planted.ipynb"} <= {path.name for path in files}
    assert [(path, names) for path in files if (names := found_in(path.read_bytes(), secrets))] == []
    with sqlite3.connect(folder / ".runware" / "runs.sqlite") as log:
        assert found_in("\n".join(log.iterdump()).encode(), secrets) == []
    log.close()


def test_no_secret_is_in_a_bundle_of_the_notebook(left, monkeypatch):
    from runware_nb.reproduce.bundle import make_bundle
    from runware_nb.runlog.filters import RunFilter
    from runware_nb.session import Session
    from runware_nb.settings import Settings

    secrets, folder, _ = left
    monkeypatch.chdir(folder)
    session = Session(Settings(home=folder / ".runware"))
    try:
        runs = session.log.select(RunFilter(limit=10))
        assert {run.provider for run in runs} == {"useapi-sandbox", "runkey-sandbox"}
        make_bundle(session, folder / "out.zip", runs, notebook=folder / "planted.ipynb")
    finally:
        session.close()
    with zipfile.ZipFile(folder / "out.zip") as bundle:
        assert len(bundle.namelist()) > 3
        assert [(name, names) for name in bundle.namelist() if (names := found_in(bundle.read(name), secrets))] == []


def test_a_secret_that_is_put_into_the_notebook_would_be_found(left):
    secrets, _, book = left
    for name, secret in secrets.items():
        planted = json.dumps([*book.cells, {"source": f"x = {secret!r}"}], ensure_ascii=False).encode()
        assert found_in(planted, secrets).count(name) >= 1


def test_the_password_of_a_terminal_is_in_no_argument(tmp_path, monkeypatch):
    """It comes from a variable or a file, so that `ps` of other users does not show it."""
    assert PASSWORD not in " ".join(sys.argv)
    assert PASSWORD not in f"{Password(PASSWORD)!r} {Password(PASSWORD)} {Password(PASSWORD):s}"
