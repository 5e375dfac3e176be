"""The functions behind `rw.replay(...)` and its friends: magics, the terminal and scripts call the same ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import BundleError
from ..runlog.maintenance import Merged
from ..session import current_session
from ..session.api import log
from .bundle import Made, make_bundle, merge_bundle, open_into
from .bundle_files import read_bundle
from .code import code_for
from .notebook_runs import NotebookRuns, find_runs
from .replay import Replayed, find_original, only_one, send_again
from .verify import Checked, plan_verification
from .verify import verify as verify_plan

__all__ = ["bundle", "check_bundle", "code", "import_runs", "open_bundle", "replay", "verify"]


def code(ref: str) -> str:
    """Write the Python that makes a run again.

    Args:
        ref: Task UUID, or its first characters.

    Raises:
        RunNotFound: None fits, or more than one.
    """
    session = current_session()
    return code_for(session.log.find(ref), session.media.folder)


def replay(ref: str | Path, *, agreed: bool = False) -> Replayed:
    """Send a past run again, wait, and compare.

    Args:
        ref: A task UUID or its first characters, an image file, or a bundle that holds one run.
        agreed: Whether its price is agreed to; what is not from one's own log is asked about otherwise.

    Returns:
        The new outcome, and a comparison for each result: *exact*, *close* or *drifted*.

    Raises:
        RunNotFound: Nothing fits.
        NotConfirmed: Nobody agreed to the price.
        TaskError: The service refuses it now.
    """
    session = current_session()
    return send_again(session, only_one(find_original(session, str(ref)), str(ref)), agreed=agreed)


def verify(*, budget_usd: float | None = None, agreed: bool = False, **filters: Any) -> list[Checked]:
    """Make runs again within a budget, and compare each with what came then.

    Args:
        budget_usd: What may be spent, in US dollars; giving it agrees to it.
        agreed: Whether the price is agreed to, however high.
        **filters: Which runs, as `rw.log.select` takes them.

    Raises:
        NotConfirmed: It costs more than is sent without a yes.
    """
    session = current_session()
    chosen = [run for run in log.select(**filters) if run.replay_of is None]
    plan = plan_verification(session, chosen, budget_usd=budget_usd)
    return verify_plan(session, plan, agreed=agreed or budget_usd is not None)


def bundle(
    out: str | Path, *, notebook: str | Path | None = None, add: Sequence[str | Path] = (), **filters: Any
) -> Made:
    """Write a bundle: notebook, pictures, records and checksums.

    Args:
        out: Where to; a name that ends in `.zip` is a file, any other a directory.
        notebook: The notebook that goes with it; then only its runs do.
        add: Further files, which are put beside the notebook when the bundle is opened.
        **filters: Which runs, as `rw.log.select` takes them; all by default.

    Raises:
        BundleError: A key was found in it, or it cannot be written.
    """
    session = current_session()
    chosen = log.select(**{"with_replays": True, **filters})  # an archive of the runs is complete
    book = Path(notebook).expanduser() if notebook is not None else None
    if book is not None:
        theirs = {run.task_uuid for run in find_in_notebook(book).runs}
        chosen = [run for run in chosen if run.task_uuid in theirs]
    files = [Path(path).expanduser() for path in ([add] if isinstance(add, str | Path) else add)]
    return make_bundle(session, Path(out).expanduser(), chosen, notebook=book, add=files)


def find_in_notebook(notebook: Path) -> NotebookRuns:
    """Find the runs that a notebook uses, and what the log does not have of it.

    Raises:
        BundleError: It is no notebook.
    """
    try:
        read = json.loads(notebook.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{notebook} is no notebook: {error}") from error
    if not isinstance(read, dict):
        raise BundleError(f"{notebook} is no notebook: it has no cells")
    return find_runs(current_session(), read, notebook.name)


def check_bundle(path: str | Path) -> int:
    """Check every file of a bundle against its checksums and records; returns how many there are.

    Raises:
        BundleError: One is missing, changed or does harm.
    """
    with read_bundle(Path(path).expanduser()) as opened:
        return opened.check()


def open_bundle(path: str | Path, folder: str | Path) -> list[str]:
    """Open a bundle in a new folder, whose kernels then answer from its records; returns the notebooks in it.

    Raises:
        BundleError: It is damaged or hostile, or the folder is not empty.
    """
    opened, _ = open_into(Path(path).expanduser(), Path(folder).expanduser())
    return opened.notebooks


def import_runs(path: str | Path) -> Merged:
    """Add the runs of a bundle, or of a file of records, to the log; those that are there already stay as they are.

    Raises:
        BundleError: It is damaged, hostile, or no records of ours.
    """
    return merge_bundle(current_session(), Path(path).expanduser())
