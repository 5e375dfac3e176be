"""A provider is added by its package and its name in the registry; all front ends follow."""

import filecmp
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import runware_nb
from runware_nb.core.provider_secrets import DeclaredSecrets, ProviderSecret
from runware_nb.errors import ConfigError
from runware_nb.providers.package import ProviderPackage
from runware_nb.settings import Setting, Settings

PACKAGE = Path(runware_nb.__file__).parent
TRIAL = Path(__file__).parents[2] / "trial_provider"
TOKEN = "harbor~4711~lantern"
REGISTERED = '_NAMES = ("runware", '


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package with one more provider: a folder, and one name."""
    root = tmp_path_factory.mktemp("copy")
    package = root / "runware_nb"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, package, ignore=ignored)
    shutil.copytree(TRIAL, package / "providers/trial", ignore=ignored)
    registry = package / "providers/registry.py"
    source = registry.read_text()
    assert source.count(REGISTERED) == 1
    registry.write_text(source.replace(REGISTERED, f'{REGISTERED}"trial", '))
    return root


def environment(root, **more):
    return {"PATH": os.environ["PATH"], "HOME": str(root), "RUNWARE_NB_HOME": str(root / "home"), "PYTHONPATH": str(root),
            "IPYTHONDIR": str(root / "ipython"), **more}  # fmt: skip


def python(root, code, **more):
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False,
        env=environment(root, **more),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def terminal(root, *words, **more):
    return subprocess.run(
        [sys.executable, "-m", "runware_nb", *words], cwd=root, capture_output=True, text=True, check=False,
        env=environment(root, **more),
    )  # fmt: skip


def test_no_other_module_is_touched(copy):
    def files(folder):
        return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}

    changed = {name for name in files(PACKAGE) if not filecmp.cmp(PACKAGE / name, copy / "runware_nb" / name, False)}
    added = files(copy / "runware_nb") - files(PACKAGE)
    assert changed == {Path("providers/registry.py")}
    assert {name.parts[:2] for name in added} == {("providers", "trial")}


def test_its_modules_keep_to_the_layers(copy):
    shutil.copy(TRIAL.parent / "test_layers.py", copy)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "one_way or wrong_lines", "test_layers.py"],
        cwd=copy, capture_output=True, text=True, check=False, env=environment(copy),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_its_setting_is_read_checked_and_explained(copy, tmp_path):
    script = """
import json, os
import runware_nb as rw
from runware_nb.commands.arguments import HelpRequested
from runware_nb.errors import ConfigError, MagicUsageError
from runware_nb.settings import load_settings
from runware_nb.settings.reference import markdown

default = load_settings({}).value("trial_url")
hidden = load_settings({"RUNWARE_NB_TRIAL_URL": "https://me:secret@host/x"}).provider_values
environment = rw.command("config", "trial_url").json
rw.connect  # public names load as before
changed = rw.command("config", "trial_url", "https://session.example").json
errors = []
for call in (lambda: rw.command("config", "trial_url", "gopher://x"), lambda: load_settings({"RUNWARE_NB_TRIAL_URL": "x"}),
             lambda: rw.command("config", "trial_ur", "x")):
    try:
        call()
    except (ConfigError, MagicUsageError) as error:
        errors.append(str(error))
print(json.dumps({"default": default, "hidden": repr(hidden), "environment": environment, "changed": changed,
                  "errors": errors, "page": markdown()["settings"]}))
"""
    config = tmp_path / "runware_nb" / "config.toml"
    config.parent.mkdir()
    config.write_text('trial_url = "https://file.example"\n')
    result = python(copy, script, RUNWARE_NB_TRIAL_URL="https://environment.example", XDG_CONFIG_HOME=str(tmp_path))
    assert result["default"] == "https://trial.example/v1"
    assert "secret" not in result["hidden"]
    assert result["environment"] == {"trial_url": "https://environment.example"}
    assert result["changed"] == {"trial_url": "https://session.example"}
    assert result["errors"][0] == "Invalid trial_url 'gopher://x': expected http:// or https:// and a host."
    assert "RUNWARE_NB_TRIAL_URL" in result["errors"][1]
    assert "cannot set trial_ur" in result["errors"][2]
    assert "| `trial_url` | the URL of the trial service | http:// or https:// and a host |" in result["page"]
    (tmp_path / "runware_nb/config.toml").write_text('trial_url = "https://file.example"\n')
    done = terminal(copy, "config", "trial_url", XDG_CONFIG_HOME=str(tmp_path))
    assert json.loads(done.stdout) == {"trial_url": "https://file.example"}
    assert "trial_url " in terminal(copy, "config", "-h").stdout


def test_a_project_cannot_set_what_its_entry_forbids(copy, tmp_path):
    (tmp_path / "config.toml").write_text('trial_url = "https://evil.example"\n')
    done = terminal(copy, "config", "trial_url", RUNWARE_NB_HOME=str(tmp_path))
    assert json.loads(done.stdout) == {"trial_url": "https://trial.example/v1"}
    assert "sets trial_url; it may set only" in done.stderr


def test_its_secret_is_redacted_without_a_session_and_asked_for_by_login(copy):
    script = f"""
import getpass, json
import keyring
from keyring.backend import KeyringBackend

class Memory(KeyringBackend):
    priority = 1
    stored = {{}}
    def get_password(self, service, user): return self.stored.get((service, user))
    def set_password(self, service, user, value): self.stored[service, user] = value
    def delete_password(self, service, user): del self.stored[service, user]

keyring.set_keyring(Memory())
from runware_nb.core.cell_source import redact_source
from runware_nb.settings import load_settings, secrets_of_environment
load_settings()
redacted = redact_source("x = {TOKEN!r}")
found = secrets_of_environment()
asked = []
getpass.getpass = lambda question: asked.append(question) or "another~token"
import runware_nb as rw
answer = rw.command("login", "trial").text
stored = [list(name) for name in Memory.stored]
gone = rw.command("logout", "trial").json
print(json.dumps({{"redacted": redacted, "found": found, "asked": asked, "answer": answer, "stored": stored, "gone": gone}}))
"""
    result = python(copy, script, TRIAL_TOKEN=TOKEN)
    assert TOKEN not in result["redacted"]
    assert result["found"] == [TOKEN]
    assert result["asked"] == ["Trial token (not shown): "]
    assert result["stored"] == [["runware_nb", "trial:default"]]
    assert result["gone"]["was_in_keyring"] is True


def test_its_commands_run_in_a_terminal(copy):
    listed = terminal(copy, "-h").stdout
    assert "\n  trial " in listed
    assert "commands for the trial service" in listed
    group = terminal(copy, "trial").stdout
    assert "runware-nb trial echo    send a text, and get it back" in group
    assert "how it is returned" in terminal(copy, "trial", "echo", "-h").stdout
    wrong = terminal(copy, "trial", "ecko")
    assert (wrong.returncode, "runware-nb trial echo" in wrong.stderr) == (2, True)
    answered = terminal(copy, "trial", "status", RUNWARE_NB_TRIAL_URL="https://environment.example")
    assert json.loads(answered.stdout) == {"url": "https://environment.example"}
    refused = terminal(copy, "trial", "echo", "--prompt", "a ship")
    assert (refused.returncode, refused.stderr) == (
        2,
        "ConfigError: No Trial token. Set TRIAL_TOKEN. Nothing was sent. `runware-nb login trial` asks for it.\n",
    )
    sent = terminal(copy, "trial", "echo", "--prompt", "a ship", "--style", "loud", TRIAL_TOKEN=TOKEN)
    assert sent.returncode == 0, sent.stderr
    assert "A SHIP" in sent.stdout
    assert TOKEN not in sent.stdout + sent.stderr


def test_its_magics_its_form_and_a_run(copy):
    script = """
import io, json
from contextlib import redirect_stdout
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shown = io.StringIO()

def run(cell):
    shown.truncate(0)
    shown.seek(0)
    with redirect_stdout(shown):
        result = shell.run_cell(cell)
    error = result.error_before_exec or result.error_in_exec
    return str(error) if error else shown.getvalue()

run("%load_ext runware_nb")
from runware_nb.notebook.completion import complete_runware
import runware_nb as rw
texts = {
    "help": run("%trial"), "own": run("%runware -h"), "status": run("%trial status"), "long": run("%runware trial status"),
    "cell": run("thing = 'ship'\\nget_ipython().run_cell_magic('trial', '--style loud', 'a {thing}')"),
    "cell_help": run("%%trial -h"), "wrong": run("%trial ecko"),
}
outcome = rw.Session().submit({"taskType": "trialEcho", "text": "a sea"}, service="trial").result()
form = rw.form("trial:a harbor", placeholder="x")
completed = [complete_runware(line)[1] for line in ("%trial ", "%trial st", "%trial echo --s", "%trial echo --style ", "%other ")]
called = rw.command("trial", "status").json
run("%unload_ext runware_nb")
gone = shell.find_line_magic("trial") is None and shell.find_cell_magic("trial") is None
print(json.dumps({"texts": texts, "result": outcome[0].raw["text"], "cost": str(outcome.cost), "form": form.value,
                  "completed": completed, "called": called, "gone": gone, "runs": [r.provider for r in rw.log.select()]}))
"""
    result = python(copy, script, TRIAL_TOKEN=TOKEN)
    texts = result["texts"]
    assert "%trial echo    send a text, and get it back" in texts["help"]
    assert "%runware trial " in texts["own"]
    assert texts["status"] == texts["long"] == "The trial is at https://trial.example/v1.\n"
    assert "A SHIP" in texts["cell"]
    assert "how it is returned" in texts["cell_help"]
    assert "did you mean trial echo" in texts["wrong"]
    assert result["result"] == "a sea"
    assert result["cost"] == "1 credit"
    assert result["form"] == "a harbor"
    assert result["completed"] == [["echo", "status"], ["status"], ["--style"], ["plain", "loud"], []]
    assert result["called"] == {"url": "https://trial.example/v1"}
    assert result["gone"]
    assert result["runs"][0] == "trial"


def test_its_names_are_public(copy):
    script = """
import json
import runware_nb as rw
print(json.dumps([rw.TrialProvider.name, rw.trial_services, "trial_services" in dir(rw), hasattr(rw, "trial_other")]))
"""
    assert python(copy, script) == ["trial", ["trial"], True, False]


def test_settings_of_a_provider_begin_with_its_name():
    setting = Setting(name="url", kind=str, default="", summary="x")
    with pytest.raises(ValueError, match="its name begins with acme_"):
        ProviderPackage(name="acme", services=("acme",), settings=(setting,))


def test_a_setting_that_no_package_declares_is_unknown():
    with pytest.raises(ConfigError, match="Unknown setting 'acme_url'"):
        Settings().with_values(acme_url="https://x")
    with pytest.raises(KeyError):
        Settings().value("acme_url")


def test_a_package_replaces_the_secrets_that_were_declared_for_it():
    secrets = DeclaredSecrets()
    first = ProviderSecret(provider="acme", label="Acme key", variables=("ACME_KEY",))
    other = ProviderSecret(provider="other", label="Other key", variables=("OTHER_KEY",))
    secrets.declare(first, other)
    second = ProviderSecret(provider="acme", label="Acme key", variables=("ACME_KEY", "ACME_API_KEY"))
    secrets.declare_of_provider("acme", (second,))
    assert secrets.entries == (second, other)
    with pytest.raises(ValueError, match="OTHER_KEY is a variable of the Other key"):
        secrets.declare_of_provider(
            "acme", (ProviderSecret(provider="acme", label="Acme key", variables=("OTHER_KEY",)),)
        )
    assert secrets.entries == (second, other)
