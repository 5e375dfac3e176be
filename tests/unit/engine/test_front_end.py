"""A front end is an object: that of a session, else that of the process."""

import io

import pytest

from runware_nb.cli import TerminalFrontEnd
from runware_nb.engine.consent import confirm
from runware_nb.engine.front_end import ScriptFrontEnd, current_front_end, use_front_end
from runware_nb.errors import NotConfirmed
from runware_nb.notebook.front_end import NotebookFrontEnd
from runware_nb.session import Session
from runware_nb.session.current import settings_in_use
from runware_nb.settings import Settings
from tests.fake_front_end import FakeFrontEnd


@pytest.fixture(autouse=True)
def _front_end_of_a_script():
    """Each test begins in a process in which no other front end is in use."""
    earlier = use_front_end(ScriptFrontEnd())
    yield
    use_front_end(earlier)


class Shell:
    """As much of IPython's shell as the front end reads when it is created."""

    def __init__(self, folder):
        self.user_ns = {}
        self.starting_dir = str(folder)


def test_a_session_has_the_front_end_that_it_is_given(tmp_path):
    """Two sessions of one process ask their own users."""
    first, second = FakeFrontEnd(), FakeFrontEnd()
    sessions = [Session(Settings(home=tmp_path), front_end=front_end) for front_end in (first, second)]
    first.asks, second.asks = (lambda question: True), (lambda question: False)
    confirm(sessions[0].front_end, "One image costs $1.")
    with pytest.raises(NotConfirmed, match=r"^You answered no\. Nothing was sent\.$"):
        confirm(sessions[1].front_end, "One image costs $1.")
    for session in sessions:
        session.close()


def test_a_session_without_its_own_follows_the_front_end_of_the_process(tmp_path):
    """A session that exists before `%load_ext` can ask and show after it."""
    session = Session(Settings(home=tmp_path))
    assert not session.front_end.has_cells
    notebook = NotebookFrontEnd(Shell(tmp_path), tmp_path)
    assert isinstance(use_front_end(notebook), ScriptFrontEnd)
    assert session.front_end is current_front_end() is notebook
    session.close()


def test_a_script_cannot_ask_and_shows_nothing():
    script = ScriptFrontEnd()
    assert not script.can_ask
    assert script.confirm("Send? [y/N] ") is None
    shown = [script.show_job(None), script.show_gallery(None), script.show_ballot(None), script.show_form("")]
    assert shown == [False] * 4
    assert script.current_cell().execution_count is None


@pytest.mark.parametrize("refusal", [EOFError, NotImplementedError, RuntimeError])
def test_a_notebook_whose_client_takes_no_input_cannot_ask(monkeypatch, tmp_path, refusal):
    """nbconvert and papermill refuse a request for input in these ways."""

    def refuse(question):
        raise refusal

    monkeypatch.setattr("builtins.input", refuse)
    with pytest.raises(NotConfirmed, match=r"cannot ask for confirmation\. Nothing was sent"):
        confirm(NotebookFrontEnd(Shell(tmp_path), tmp_path), "One image costs $1.")


def test_a_shell_without_a_kernel_shows_no_widgets(tmp_path):
    """IPython in a terminal: the commands then print text."""
    front_end = NotebookFrontEnd(Shell(tmp_path), tmp_path)
    assert [front_end.show_job(None), front_end.show_gallery(None), front_end.show_form("")] == [False] * 3


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_asks_only_if_its_user_can_answer(monkeypatch, capsys, is_terminal):
    monkeypatch.setattr("runware_nb.cli._is_terminal", lambda stream: is_terminal)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    terminal = TerminalFrontEnd()
    assert terminal.can_ask == is_terminal
    assert terminal.confirm("Send? [y/N] ") is (True if is_terminal else None)
    terminal.show_progress(2, 2, "sent")
    assert capsys.readouterr().err == ("Send? [y/N] \r2 of 2 sent\n" if is_terminal else "")


def test_settings_are_in_use_only_once_there_is_a_session(monkeypatch, tmp_path):
    """`%load_ext` reads the settings itself before the first session exists, and creates none."""
    monkeypatch.setattr("runware_nb.session.current._session", None)
    assert settings_in_use() is None
    session = Session(Settings(home=tmp_path))
    monkeypatch.setattr("runware_nb.session.current._session", session)
    assert settings_in_use() is session.settings
    session.close()
