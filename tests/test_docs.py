"""Every code block of the documents runs, and every magic and option in the code is in the documents."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from runware_nb.commands import COMMANDS
from runware_nb.notebook.parsing import cell_parser
from runware_nb.sandbox.runware.faults import KINDS

REPO = Path(__file__).resolve().parent.parent
DOCUMENTS = [REPO / "README.md", REPO / "CONTRIBUTING.md", *sorted((REPO / "docs").glob("*.md"))]
BLOCKS = [
    (document.name, kind, code)
    for document in DOCUMENTS
    for kind, code in re.findall(r"^```(\w+)\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
]
README = (REPO / "README.md").read_text()


def blocks(*kinds):
    chosen = [block for block in BLOCKS if block[1] in kinds]
    return pytest.mark.parametrize(
        ("document", "code"), [(d, c) for d, _, c in chosen], ids=[f"{d}-{i}" for i, (d, _, _) in enumerate(chosen)]
    )


def environment(sandbox):
    return {
        **os.environ,
        **sandbox.environment_of_all_services,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def test_there_is_no_block_that_nobody_runs():
    assert {kind for _, kind, _ in BLOCKS} <= {"python", "sh", "ipython", "toml"}


def test_settings_blocks_are_read(tmp_path):
    from runware_nb.settings import load_settings, user_file

    blocks = [code for _, kind, code in BLOCKS if kind == "toml"]
    assert blocks
    for number, code in enumerate(blocks):
        folder = tmp_path / str(number)
        environ = {"XDG_CONFIG_HOME": str(folder)}
        file = folder / "pyproject.toml" if "[tool." in code else user_file(environ)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code)
        profiles = [*re.findall(r"\[profiles\.(\w+)\]", code), ""]
        assert all(load_settings(environ, cwd=folder, profile=name) for name in profiles)


@blocks("python")
def test_python_blocks_run(sandbox, tmp_path, document, code):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment(sandbox),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@blocks("sh")
def test_shell_blocks_run(sandbox, tmp_path, document, code):
    for line in code.strip().splitlines():
        if line.startswith("make "):
            target = line.split()[1]
            assert re.search(rf"^{target}:", (REPO / "Makefile").read_text(), re.MULTILINE), line
        else:
            done = subprocess.run(
                shlex.split(line), env=environment(sandbox), capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, done.stderr


def test_notebook_blocks_run(sandbox, tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    for name, value in sandbox.environment_of_all_services.items():
        monkeypatch.setenv(name, value)
    cells = [nbformat.v4.new_code_cell(code.strip()) for _, kind, code in BLOCKS if kind == "ipython"]
    assert cells
    NotebookClient(
        nbformat.v4.new_notebook(cells=cells), timeout=60, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name):
    assert re.search(rf"\b{re.escape(name)}\b", README)


@pytest.mark.parametrize("option", [name for name in cell_parser().option_names() if name.startswith("--")])
def test_every_option_of_a_cell_is_in_the_readme(option):
    short = {
        "--model": "-m",
        "--size": "-s",
        "--number-results": "-n",
        "--output": "-o",
        "--quiet": "-q",
        "--help": "-h",
    }
    assert short.get(option, option) in README


def test_every_fault_and_every_option_of_the_sandbox_is_documented():
    page = (REPO / "docs" / "sandbox.md").read_text()
    assert all(f"`{kind}`" in page for kind in KINDS)
    usage = subprocess.run(
        [sys.executable, "-m", "runware_nb.sandbox", "-h"], capture_output=True, text=True, check=True
    ).stdout
    for option in set(re.findall(r"--[a-z-]+", usage)) - {"--help", "--host", "--watch-stdin"}:
        assert option in page, option


def test_every_link_inside_leads_somewhere():
    for document in DOCUMENTS:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_errors_page_has_every_error():
    from runware_nb import errors

    page = (REPO / "docs" / "errors.md").read_text()
    assert all(f"`{name}`" in page for name in errors.__all__)


SECURITY = (REPO / "docs" / "security.md").read_text()


def test_every_test_that_the_security_page_names_exists():
    for name in re.findall(r"`(test_\w+\.py)`", SECURITY):
        assert (REPO / "tests" / "hostile" / name).is_file(), name
    for path in re.findall(r"`(tests/[\w/.]+)`", SECURITY):
        assert (REPO / path).is_dir() if path.endswith("/") else (REPO / path).is_file(), path


@pytest.mark.parametrize("name", sorted(path.name for path in (REPO / "tests" / "hostile").glob("test_*.py")))
def test_every_hostile_test_is_on_the_security_page(name):
    assert f"`{name}`" in SECURITY


def test_every_section_that_the_security_page_links_exists():
    headings = re.findall(r"^## (.+)$", SECURITY, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", SECURITY)) <= anchors


# --- settings -------------------------------------------------------------------------------------------


def test_the_settings_page_has_the_tables_of_the_code():
    """The tables of the page are those that `settings.reference` builds; copy them from the failure of this test."""
    from runware_nb.settings.reference import markdown

    page = (REPO / "docs" / "settings.md").read_text()
    parts = dict(re.findall(r"<!-- ([a-z ]+) -->\n(.*?)\n<!-- end -->", page, re.DOTALL))
    assert parts == markdown()


def test_the_page_of_operations_is_that_of_the_table():
    """`python -m tests.operation_reference` writes the page."""
    from tests.operation_reference import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_variable_in_the_documents_exists():
    from runware_nb.settings import settings_table
    from runware_nb.settings.model import other_variables

    known = {setting.variable for setting in settings_table().values()} | set(other_variables())
    for document in DOCUMENTS:
        assert set(re.findall(r"RUNWARE_NB_[A-Z_]*[A-Z]", document.read_text())) <= known, document.name


def test_the_security_page_names_every_declared_secret():
    from runware_nb.core.provider_secrets import declared_secrets

    assert all(f"`{name}`" in SECURITY for name in declared_secrets.variables)
