"""`%runware webhook` in a real shell: the receiver runs in the background of the kernel."""

import urllib.error
import urllib.request

import pytest

import runware_nb.session.current as sessions
from runware_nb.errors import ConfigError, MagicUsageError
from runware_nb.providers.package import ProviderPackage
from runware_nb.providers.runkey.callbacks import RUNKEY_WEBHOOK_SECRET
from runware_nb.session import Session
from runware_nb.settings import Settings

PACKAGE = ProviderPackage(
    name="runkey", services=("runkey",), secrets=(RUNKEY_WEBHOOK_SECRET,), callbacks="build_route"
)


@pytest.fixture
def session(shell, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNKEY_WEBHOOK_SECRET", "whsec_example_not_a_real_secret")
    session = Session(Settings(home=tmp_path / "home"), packages=[PACKAGE])
    monkeypatch.setattr(sessions, "_session", session)
    yield session
    session.close()


def test_a_cell_starts_it_and_later_cells_show_and_stop_it(shell, session, capsys):
    shell.run("%runware webhook")
    assert "`%runware webhook --port 8766` starts to receive them." in capsys.readouterr().out
    shell.run("%runware webhook --port 0")
    printed = capsys.readouterr().out
    url = session.callbacks.url_of("runkey", is_local=True)
    assert f"URL to give to runkey: {url}" in printed
    assert "pass its URL with `--public-url URL`" in printed
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(url, b"{}"), timeout=30)
    refused.value.close()
    assert refused.value.code == 401
    shell.run("%runware webhook")
    printed = capsys.readouterr().out
    assert "1 callback: 1 refused" in printed
    assert "it has no header X-RunKey-Signature" in printed
    with pytest.raises(ConfigError, match="Stop it first with `--stop`"):
        shell.run("%runware webhook --port 0")
    shell.run("%runware webhook --stop")
    assert "no longer received" in capsys.readouterr().out
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(urllib.request.Request(url, b"{}"), timeout=30)


def test_a_secret_in_a_cell_is_refused(shell, session):
    for line in ("webhook --port 0 --secret-env hunter2_harbor", "webhook --port 0 --secret hunter2_harbor"):
        with pytest.raises((ConfigError, MagicUsageError)) as caught:
            shell.run(f"%runware {line}")
        assert "hunter2" not in str(caught.value)
    assert session.callbacks.receiver is None
