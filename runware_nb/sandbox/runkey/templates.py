"""Templates: what a run of each produces, takes and costs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from .errors import Refused

__all__ = ["OUTPUTS", "SCENARIOS", "Template", "initial_templates"]

Json = dict[str, Any]
OUTPUTS = ("image", "video", "audio", "json", "inline")
SCENARIOS = {
    "success": "the task completes",
    "failure": "the task fails with 50001",
    "timeout": "the task fails with 50003",
    "no_gpu": "the task is refused with 50002",
    "out_of_credits": "the task is refused with 40002",
    "cancel_queued": "the user stops the task in the queue",
    "cancel_running": "the user stops the task while it runs",
    "preempted": "the task returns to the queue once, then completes",
}
"""How runs of a template end."""


@dataclass(frozen=True)
class Template:
    """A saved definition of work.

    Attributes:
        template_id: Id.
        output: Kind of result, from `OUTPUTS`. `inline` has no file.
        scenario: How its runs end, from `SCENARIOS`.
        price_credits: Credits that a completed run costs.
        queue_s: Seconds of the protocol in the queue.
        run_s: Seconds of the protocol that it runs; None for the time that the sandbox has for its output.
        required: Keys that the input must have.
        webhook_url: URL for callbacks, if the request has none.
    """

    template_id: str
    output: str = "image"
    scenario: str = "success"
    price_credits: float = 15
    queue_s: float = 0.0
    run_s: float | None = None
    required: tuple[str, ...] = ()
    webhook_url: str | None = None

    @classmethod
    def parse(cls, values: Json) -> Template:
        """Parse a template of a control request.

        Raises:
            ValueError: A field is unknown, missing or invalid.
        """
        unknown = set(values) - {part.name for part in fields(cls)}
        if unknown:
            raise ValueError(f"unknown field {min(unknown)!r} of a template")
        if not isinstance(values.get("template_id"), str) or not values["template_id"]:
            raise ValueError("A template needs a template_id.")
        template = cls(**{**values, "required": tuple(values.get("required", ()))})
        if template.output not in OUTPUTS:
            raise ValueError(f"Invalid output={template.output!r}: expected one of {', '.join(OUTPUTS)}.")
        if template.scenario not in SCENARIOS:
            raise ValueError(f"Invalid scenario={template.scenario!r}: expected one of {', '.join(SCENARIOS)}.")
        for name in ("price_credits", "queue_s", "run_s"):
            value = getattr(template, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9
            if not is_number and not (name == "run_s" and value is None):
                raise ValueError(f"Invalid {name}={value!r}: expected a number, at least 0.")
        return template

    def check(self, given: Any) -> None:
        """Check the input of a run.

        Raises:
            Refused: It is not an object, or a required key is missing.
        """
        if not isinstance(given, dict):
            raise Refused(40005, "input must be an object.")
        missing = [name for name in self.required if name not in given]
        if missing:
            raise Refused(40005, f"input has no {missing[0]}.")


def initial_templates() -> dict[str, Template]:
    """Return the templates that exist at the start: one for each kind of output, and that of the documents."""
    templates = [Template("tpl_abc123"), *(Template(f"tpl_{output}", output) for output in OUTPUTS)]
    return {template.template_id: template for template in templates}
