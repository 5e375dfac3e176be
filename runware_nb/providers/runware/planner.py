"""Planning a task for Runware: complete it, and check it against the schema of its model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...core.media_fields import holds_media, replace_media
from ...errors import ConfigError
from ...forking import disconnect, restart_after_fork
from ...media.incoming import is_sendable
from ...remedies import Remedy
from ...settings import Settings
from ..base import Plan, Task
from .catalog import Rulebook, check_task, find_model, place_media, rulebook_of
from .schema_refresh import FreshSchemas
from .tasks import as_wire, require_streamable
from .weighting import apply_weights, weights_notice

__all__ = ["Planner"]


class Planner:
    """What is known about Runware's models: bundled, and fresher where the schema service has answered.

    Args:
        settings: Returns the settings that apply.
        air_of: Returns the AIR identifier for a name, such as an alias that the user gave to a model.
    """

    def __init__(self, settings: Callable[[], Settings], air_of: Callable[[str], str]) -> None:
        self._settings = settings
        self._air_of = air_of
        self._fresh = FreshSchemas(settings)
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Ask the schema service over a connection of its own after a fork."""
        disconnect((), self._fresh)
        self._fresh = FreshSchemas(self._settings)

    def plan(self, task: Task, *, as_is: bool = False) -> Plan:
        """Complete and check a task. See `Provider.plan`."""
        if as_is:
            wire = dict(task if isinstance(task, Mapping) else task.to_wire())
            return Plan(wire)
        wire = as_wire(task if isinstance(task, Mapping) else task.to_wire())
        wire.setdefault("taskType", "imageInference")
        require_streamable(wire)
        if isinstance(wire.get("model"), str):
            wire["model"] = self._air_of(wire["model"])
        rules = self._fresh.rules_for(wire)
        wire = apply_weights(wire, rules)
        wire = place_media(wire, schema=None if rules is None else rules.schema)
        shown = wire
        if holds_media(wire):
            shown = replace_media(wire, lambda value: value if is_sendable(value) else "<medium>")
        warnings: list[str | Remedy] = [*check_task(shown, rules=rules)]
        unweighted = weights_notice(wire, rules)
        if unweighted is not None:
            warnings.append(unweighted)
        refused = self._fresh.take_notice(wire)
        return Plan(wire, tuple(warnings if refused is None else [refused, *warnings]))

    def takes_seed(self, task: Mapping[str, Any]) -> bool:
        """Return whether the model of a task takes a seed."""
        rules = self._fresh.known(task)
        if rules is not None:
            return "seed" in rules.names
        model = find_model(str(task.get("model", "")))
        return model is not None and model.takes_seed

    def rules_for(self, name: str, *, waits: bool = False) -> Rulebook | None:
        """Return what a model takes: fresh from the schema service where it answers, else as bundled.

        Args:
            name: AIR identifier, slug, name or alias.
            waits: Whether the service's response is awaited, for a few seconds at most. Otherwise a model that is
                bundled has its bundled rules until the response is here.
        """
        air = self._air_of(name)
        model = find_model(air)
        fresh = self._fresh.rules_for({"model": air, "taskType": "imageInference"}, waits=waits)
        return fresh or (rulebook_of(model) if model is not None else None)

    def known_rules(self, task: Mapping[str, Any]) -> Rulebook | None:
        """Return the rules for a task's model that are fresher than the bundled ones, if they are here already."""
        return self._fresh.known(task)

    def lacks_schema(self, name: str) -> bool:
        """Return whether the schema service has not returned the schema of a model, although it was asked.

        Args:
            name: AIR identifier, slug, name or alias.
        """
        return self._fresh.is_on and self._fresh.known({"model": self._air_of(name)}) is None

    def check_refused(self, name: str, consequence: str) -> None:
        """Check that the schema of a model was not refused.

        Args:
            name: AIR identifier, slug, name or alias.
            consequence: A sentence on what is missing without a schema.

        Raises:
            ConfigError: It was refused; the model can still be used.
        """
        air = self._air_of(name)
        reason = self._fresh.refusal(air)
        if reason is not None:
            raise ConfigError(
                f"The schema of model {air} is not used: {reason}. {consequence} "
                "Cells and rw.run() accept the model; the service checks its parameters."
            )

    def close(self) -> None:
        """Close the connection to the schema service."""
        self._fresh.close()
