"""Earlier names of modules. They still import, with a deprecation warning that states the new name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType
else:
    Loader = object  # the class adds nothing here, and takes a millisecond to import

__all__ = ["MOVED", "RENAMED", "find_renamed", "new_name", "spec_of"]

MOVED = {
    "again": "reproduce",
    "catalog": "providers.runware.catalog",
    "client": "providers.runware.client",
    "core.bindings": "providers.runware.operations",
    "core.parameters": "providers.runware.parameters",
    "core.tasks": "providers.runware.tasks",
    "delivery": "providers.runware",
    "delivery.board": "providers.runware.router",
    "delivery.connection": "providers.runware.connection",
    "delivery.courier": "providers.runware.tracker",
    "delivery.flight": "providers.runware.attempt",
    "delivery.slots": "providers.runware.concurrency",
    "delivery.streams": "providers.runware.streams",
    "delivery.uploads": "providers.runware.uploader",
    "images": "media",
    "notebook.candidates": "notebook.completion_values",
    "notebook.forms.place": "notebook.forms.output_area",
    "notebook.running": "notebook.magic_runner",
    "notebook.wall": "notebook.static_gallery",
    "runlog.bucket": "media.bucket",
    "runlog.files": "media.store",
    "runlog.frames": "runlog.dataframe",
    "runlog.keeping": "runlog.maintenance",
    "session.consent": "engine.consent",
    "session.context": "engine.context",
    "session.estimates": "engine.estimates",
    "session.fresh": "providers.runware.schema_refresh",
    "session.hooks": "engine.front_end",
    "session.job_table": "engine.job_table",
    "session.jobs": "engine.jobs",
    "session.lineage": "engine.input_lineage",
    "session.media_recovery": "engine.media_recovery",
    "session.origin": "engine.provenance",
    "session.pictures": "engine.thumbnails",
    "session.pipeline": "engine.execution",
    "session.replaying": "engine.replay_lookup",
    "session.show": "engine.display",
    "session.storing": "engine.result_storage",
    "session.submit": "engine.submission",
    "session.uses": "engine.uses",
    "transport": "net",
    "transport.base": "providers.runware.transport",
    "transport.rest": "providers.runware.rest",
    "transport.safety": "net.address_policy",
    "transport.trace": "net.trace",
    "transport.websocket": "providers.runware.websocket",
    "view": "present",
    "wire": "core",
    "wire.classify": "providers.runware.classify",
    "wire.collect": "providers.runware.collect",
    "wire.frames": "providers.runware.frames",
    "wire.media": "core.media_types",
    "wire.parameters": "providers.runware.parameters",
    "wire.places": "core.media_fields",
    "wire.plain": "core.plain_values",
    "wire.redact": "core.redaction",
    "wire.retries": "core.retry",
    "wire.service": "providers.base",
    "wire.sse": "providers.runware.sse",
    "wire.tasks": "providers.runware.tasks",
}
"""Earlier names, and where the modules are now; the longest name that fits counts."""


RENAMED = {
    "commands": {"Answer": "CommandResult"},
    "providers.runware": {
        "Board": "Router",
        "Courier": "Tracker",
        "Flight": "TrackedAttempt",
        "Slots": "ConcurrencyLimiter",
        "UploadDesk": "Uploader",
    },
}
"""Earlier names of classes, by the module that exports them."""


def find_renamed(module: str, name: str) -> Any:
    """Return what a module exports under an earlier name, and warn.

    Args:
        module: Its name inside the package.
        name: What was asked for.

    Raises:
        AttributeError: The module has nothing of this name.
    """
    import importlib
    import warnings

    new = RENAMED[module].get(name)
    if new is None:
        raise AttributeError(f"module '{__package__}.{module}' has no attribute {name!r}")
    warnings.warn(f"{name} is now {new}; the earlier name will be removed", DeprecationWarning, stacklevel=3)
    return getattr(importlib.import_module(f"{__package__}.{module}"), new)


def spec_of(fullname: str) -> ModuleSpec | None:
    """Return the spec of a module by its earlier name; None for any other name."""
    if new_name(fullname.partition(".")[2]) is None:
        return None
    from importlib.machinery import ModuleSpec

    # Not as a package: the import system would give a plain module the folder of one.
    return ModuleSpec(fullname, _MovedLoader())


class _MovedLoader(Loader):
    """Gives a module under its earlier name: both names are the same module."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Import the module under its new name, and warn. See `importlib.abc.Loader`."""
        import importlib
        import warnings

        new = f"{__package__}.{new_name(spec.name.partition('.')[2])}"
        warnings.warn(f"{spec.name} is now {new}; the earlier name will be removed", DeprecationWarning, stacklevel=2)
        return importlib.import_module(new)

    def exec_module(self, module: ModuleType) -> None:
        """Undo what the import system wrote into the module, which has run already. See `importlib.abc.Loader`."""
        import importlib.util

        module.__spec__ = importlib.util.spec_from_file_location(
            module.__name__, module.__file__, submodule_search_locations=getattr(module, "__path__", None)
        )


def new_name(name: str) -> str | None:
    """Return the new name of a module inside the package; None if it has not moved."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        new = MOVED.get(".".join(parts[:count]))
        if new is not None:
            return ".".join([new, *parts[count:]])
    return None
