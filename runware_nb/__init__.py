"""Generate images with Runware from a notebook; nothing paid for is ever lost.

Every name is loaded on first use, so that importing this package costs next to nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .commands.call import command
    from .commands.prompt_api import prompt, prompts
    from .core.option_values import LoRA
    from .core.results import Outcome, Result
    from .engine.job_group import JobGroup
    from .errors import RunwareNBError, TaskError
    from .notebook.forms import form, pick_model
    from .notebook.gallery import gallery
    from .notebook.masks import brush, mask_rectangle
    from .providers.runware.client import Client
    from .providers.runware.tasks import ImageTask
    from .reproduce.api import bundle, check_bundle, code, import_runs, open_bundle, replay, verify
    from .session import (
        CellContext,
        Job,
        Session,
        cancel_queued,
        connect,
        image,
        job,
        log,
        pending,
        read,
        resume,
        run,
        upload,
    )
    from .session.history import history
    from .session.operation_functions import (
        audio,
        caption,
        controlnet,
        enhance,
        mask,
        model_3d,
        remove_background,
        text,
        upscale,
        vectorize,
        video,
    )
    from .settings import Settings

_HOMES = {
    "bundle": "reproduce.api",
    "check_bundle": "reproduce.api",
    "code": "reproduce.api",
    "import_runs": "reproduce.api",
    "open_bundle": "reproduce.api",
    "replay": "reproduce.api",
    "verify": "reproduce.api",
    "CellContext": "engine.context",
    "Client": "providers.runware.client",
    "ImageTask": "providers.runware.tasks",
    "Job": "engine.jobs",
    "JobGroup": "engine.job_group",
    "LoRA": "core.option_values",
    "Outcome": "core.results",
    "Result": "core.results",
    "RunwareNBError": "errors",
    "Session": "session.session",
    "Settings": "settings",
    "TaskError": "errors",
    "cancel_queued": "session.api",
    "connect": "session.api",
    "history": "session.history",
    "image": "session.api",
    "job": "session.api",
    "log": "session.api",
    "pending": "session.api",
    "read": "session.api",
    "resume": "session.api",
    "run": "session.api",
    "upload": "session.api",
    "brush": "notebook.masks",
    "command": "commands.call",
    "form": "notebook.forms",
    "gallery": "notebook.gallery",
    "mask_rectangle": "notebook.masks",
    "pick_model": "notebook.forms",
    "prompt": "commands.prompt_api",
    "prompts": "commands.prompt_api",
}

__all__ = [
    "CellContext",
    "Client",
    "ImageTask",
    "Job",
    "JobGroup",
    "LoRA",
    "Outcome",
    "Result",
    "RunwareNBError",
    "Session",
    "Settings",
    "TaskError",
    "__version__",
    "audio",
    "brush",
    "bundle",
    "cancel_queued",
    "caption",
    "check_bundle",
    "code",
    "command",
    "connect",
    "controlnet",
    "enhance",
    "form",
    "gallery",
    "history",
    "image",
    "import_runs",
    "job",
    "log",
    "mask",
    "mask_rectangle",
    "model_3d",
    "open_bundle",
    "pending",
    "pick_model",
    "prompt",
    "prompts",
    "read",
    "remove_background",
    "replay",
    "resume",
    "run",
    "text",
    "upload",
    "upscale",
    "vectorize",
    "verify",
    "video",
]


class _EarlierNames:
    """Finds modules of this package under their earlier names, see `moved`.

    It must be asked before the finder of files. That one would load `wire/results` a second time, from the folder of
    `core`, with classes that are not those that the package uses. It is written here, because an import at this point
    would be one more moment at which Stop shows a traceback.
    """

    @staticmethod
    def find_spec(fullname: str, path: Any = None, target: Any = None, /) -> Any:
        """Return a spec for an earlier name; None for any other name. See `importlib.abc.MetaPathFinder`."""
        del path, target
        if not fullname.startswith(f"{__package__}.") or fullname == f"{__package__}.moved":
            return None
        from .moved import spec_of

        return spec_of(fullname)


if not any(getattr(finder, "__module__", None) == __name__ for finder in sys.meta_path):
    sys.meta_path.insert(0, _EarlierNames)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        from .core.operations import OPERATIONS

        for operation in OPERATIONS:
            if name == operation.function:
                from .loading import load

                return load("session.operations").function_of(operation)
        if not name.startswith("_"):  # Python and IPython ask for many such names, and no provider adds one
            from .loading import load

            registry = load("providers.registry")
            if name in registry.exported_names():
                return registry.exported(name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .loading import load

    return getattr(load(_HOMES[name]), name)


def __dir__() -> list[str]:
    from .providers.registry import exported_names

    return sorted([*__all__, *exported_names()])


def load_ipython_extension(shell: Any) -> None:
    """Add the magics to a shell: what `%load_ext runware_nb` calls."""
    try:
        from .loading import load

        load("notebook.extension").load(shell)
    except KeyboardInterrupt as stop:
        from .loading import show_as_line  # again: Stop may have come while it was imported

        show_as_line(stop)
        raise


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics out again: what `%unload_ext runware_nb` calls."""
    from .notebook.extension import unload

    unload(shell)
