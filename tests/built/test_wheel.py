"""The wheel, built and installed where nothing else is."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(REPO)], check=True, capture_output=True
    )
    (made,) = out.glob("*.whl")
    return made


def create_environment(folder):
    """Create an environment, where there is none yet, and return its Python and the words that install into it.

    pip stays outside and writes no bytecode: both took longer than what is installed.
    """
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    return python, pip


def test_the_wheel_holds_types_migrations_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "runware_nb/py.typed" in names
    assert "runware_nb/runlog/migrations/versions/0001_first.py" in names
    assert not [name for name in names if not name.startswith(("runware_nb/", "runware_nb-"))]


@pytest.mark.timeout(300)
def test_it_works_in_an_empty_environment_with_no_extras(wheel, tmp_path):
    home = tmp_path / "an environment"
    python, pip = create_environment(home)
    subprocess.run([*pip, "install", "--quiet", "--no-compile", str(wheel)], check=True, capture_output=True)
    script = (
        "import runware_nb as rw\n"
        "for name in rw.__all__: getattr(rw, name)\n"
        "import runware_nb.notebook.extension, runware_nb.providers.runware.rest, runware_nb.providers.runware.websocket, runware_nb.runlog.store\n"
        "print(rw.__version__, rw.__file__)"
    )
    done = subprocess.run([str(python), "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(home) in done.stdout
    listed = subprocess.run(
        [str(home / "bin" / "runware-nb"), "models", "--bundled"], capture_output=True, text=True, cwd=tmp_path
    )
    assert "runware:101@1" in listed.stdout
    missing = subprocess.run(
        [str(python), "-c", "from runware_nb.session.local_sandbox import LocalSandbox as L; L()"],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert "pip install 'runware-nb[sandbox]'" in missing.stderr


def oldest(requirements):
    """Turn lower bounds into exact versions."""
    return [re.sub(r">=([\d.]+).*", r"==\1", requirement) for requirement in requirements]


@pytest.mark.timeout(600)
def test_the_oldest_supported_dependencies_still_work(wheel, tmp_path):
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    extras = [
        name for extra in ("sandbox", "postgres", "cloud", "canvas") for name in project["optional-dependencies"][extra]
    ]
    pins = oldest([*project["dependencies"], *extras])
    # Kept in the checkout: the next time, pip only compares the versions and installs the wheel.
    python, pip = create_environment(REPO / f".venv-oldest-{sys.version_info.major}.{sys.version_info.minor}")
    subprocess.run([*pip, "uninstall", "--quiet", "--yes", "runware-nb"], capture_output=True)
    others = ["pytest", "pytest-timeout", "hypothesis", "keyring", "numpy", "pandas"]
    done = subprocess.run(
        [*pip, "install", "--quiet", "--no-compile", str(wheel), *pins, *others], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    # Away from the checkout, so that the wheel is what is tested.
    shutil.copytree(REPO / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPO / "pyproject.toml", tmp_path)
    # What depends on other packages; pure rules do not change with their versions.
    parts = ("net", "media", "runlog", "providers/runware", "providers/test_webhook.py", "settings", "engine")
    chosen = [f"tests/unit/{part}" for part in parts]
    chosen += ["tests/contract/test_golden.py", "tests/integration/test_session.py", "tests/notebook/test_magics.py"]
    # What pip would have said while compiling is no warning about us.
    quiet = ["-W", "ignore::SyntaxWarning", "-W", "ignore:invalid escape sequence:DeprecationWarning"]
    done = subprocess.run(
        [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *quiet, *chosen],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-3000:]
