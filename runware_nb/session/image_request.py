"""The request of an image from the parameters of `rw.image` and `%%runware`.

Some parameters depend on more than their value: `outpaint` on the size of the source, `control` on the architecture of
the model, `vary` on the run that made an earlier image.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from ..core.items import Item
from ..core.operations import TEXT_TO_IMAGE, operation_of
from ..core.option_values import parse_loras
from ..core.outpainting import Outpaint, Ratio, extend_to_ratio, parse_outpaint
from ..errors import ArgumentInvalid, RunwareNBError, TaskInvalid
from ..providers.runware.catalog import DEFAULT_MODEL, all_models, find_model
from ..providers.runware.image_options import STRUCTURED, GuideSource, check_accepted, wire_fields
from ..providers.runware.operations import WIRE_NAMES, wire_name
from ..providers.runware.tasks import ImageTask, request_of
from ..reprs import short_repr
from .image_sources import size_of_image
from .variations import original_of

if TYPE_CHECKING:
    from ..engine.jobs import Job
    from ..engine.submission import Plan
    from ..providers.runware.catalog import Rulebook
    from ..runlog.records import Parent
    from .session import Session

__all__ = ["ImageRequest", "guide_sources", "image_request", "plan_image", "submit_image"]

_INPUTS = tuple(medium.name for medium in TEXT_TO_IMAGE.inputs)
_NEED_SOURCE = frozenset({"outpaint"})
_ALWAYS_CHECKED = frozenset({"acceleration", "strength", *STRUCTURED, *_NEED_SOURCE, "vary", *_INPUTS})
"""Parameters that are refused if the schema of the model lacks them. Any other one is sent with a warning."""
_DEFAULT_PX = 1024


@short_repr()
@dataclass(frozen=True, slots=True)
class ImageRequest:
    """What is sent for an image, and what the log records with it.

    Attributes:
        task: The task. A guide image that has to be made first is a `GuideSource` in it.
        parents: Earlier runs that it depends on and that are not media of the task.
        notes: Sentences about values that were derived.
        enhances: Whether the prompt is enhanced first, so that the image is made from the version that comes back.
    """

    task: ImageTask
    parents: tuple[Parent, ...] = ()
    notes: tuple[str, ...] = ()
    enhances: bool = False

    @property
    def first(self) -> list[Item]:
        """The tasks whose results the image needs: those of its guide images, and the last one for its prompt."""
        tasks = [guide.to_task() for guide in guide_sources(self.task)]
        return [*tasks, _enhancement_of(self.task.positive_prompt)] if self.enhances else tasks


def image_request(
    session: Session | None,
    prompt: str | None,
    parameters: Mapping[str, Any],
    *,
    extra: Mapping[str, Any] | None = None,
    typed: Mapping[str, str] | None = None,
    defaults: Collection[str] = (),
) -> ImageRequest:
    """Build the request of an image.

    Args:
        session: Finds earlier runs and the rules of models; None checks nothing that needs them.
        prompt: What to draw; None or empty takes the prompt of the image of `vary`.
        parameters: By their names in Python; None for those that are not given.
        extra: Any other parameter, in wire spelling.
        typed: How the user typed the parameters, such as `--ip-adapter`; by default, their names.
        defaults: Parameters whose values come from settings, and not from the user.

    Raises:
        TaskInvalid: A value is not understood, or the model does not accept it. Nothing was sent.
        ArgumentInvalid: A parameter has an unknown name.
    """
    values = {name: value for name, value in parameters.items() if value is not None}
    _refuse_unknown(values)
    typed = typed or {}
    own = {name: typed.get(name, name) for name in values if name not in defaults and name in _ALWAYS_CHECKED}
    parents: tuple[Parent, ...] = ()
    carried: Item = {}
    if "vary" in values:
        values, carried, prompt, parents = _as_variation(session, values, prompt, defaults, typed)
    name = str(values.get("model") or DEFAULT_MODEL)
    rules = session.planner.rules_for(name) if session is not None and (own or "outpaint" in values) else None
    air = name if session is None else session.aliases.air_of(name)
    known = find_model(air)
    check_accepted(rules, own, name="" if known is None else known.name)
    fields = wire_fields(values, architecture="" if known is None else known.architecture, model=air)
    if values.get("transparent"):
        _choose_transparent_format(values, defaults, typed)
    notes: tuple[str, ...] = ()
    if "outpaint" in values:
        source = values.get("seed_image", _source_in(extra or {}))
        outpaint, final, notes = _outpaint(session, {**values, "seed_image": source}, rules, typed, defaults)
        values["width"], values["height"] = final
        fields["outpaint"] = outpaint.to_wire()
    elif session is not None and "seed_image" in values and not {"width", "height"} & (values.keys() - {*defaults}):
        (values["width"], values["height"]), notes = _size_of_source(session, values, rules, typed)
    media = {wire_name(medium): values[medium] for medium in _INPUTS if medium in values}
    plain = {key: value for key, value in values.items() if key in WIRE_NAMES}
    plain = {"model": DEFAULT_MODEL, "width": _DEFAULT_PX, "height": _DEFAULT_PX, **plain}
    if "loras" in plain:
        plain["loras"] = parse_loras(plain["loras"])
    task = ImageTask(positive_prompt=prompt or "", extra={**carried, **media, **fields, **(extra or {})}, **plain)
    return ImageRequest(task, parents, notes)


def _refuse_unknown(values: Mapping[str, Any]) -> None:
    import difflib

    known = [name for name in WIRE_NAMES if name != "positive_prompt"]
    known += [option.name for option in TEXT_TO_IMAGE.options if option.name not in {"size", *known}] + [*_INPUTS]
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"the nearest is {near[0]}" if near else "others go into extra={...}"
            raise ArgumentInvalid("parameter", name, f"a parameter of rw.image; {hint}")


def _as_variation(
    session: Session | None,
    values: dict[str, Any],
    prompt: str | None,
    defaults: Collection[str],
    typed: Mapping[str, str],
) -> tuple[dict[str, Any], Item, str | None, tuple[Parent, ...]]:
    """Add what an earlier image was made with, below what the user states and above the defaults of settings."""
    if "seed_image" in values:
        raise TaskInvalid(
            f"{typed.get('vary', 'vary')} and {typed.get('seed_image', 'seed_image')} both state the image to start "
            "from. Nothing was sent. Leave one of them out.",
            parameter="seedImage",
        )
    image = values.pop("vary")
    original = None if session is None else original_of(session, image)
    if original is None:
        if _is_blank(prompt):
            raise TaskInvalid(
                f"{typed.get('vary', 'vary')}: neither the log nor the file contains the prompt of this image. Nothing "
                "was sent. Write the prompt.",
                parameter="positivePrompt",
            )
        return {**values, "seed_image": image}, {}, prompt, ()
    own = {name: value for name, value in values.items() if name not in defaults}
    taken = dict(original.parameters)
    carried: Item = dict(original.extra)
    if "model" in own and session is not None and session.aliases.air_of(str(own["model"])) != taken.get("model"):
        # Steps, guidance and adaptations of one model say little about another one, which may refuse them.
        taken = {name: value for name, value in taken.items() if name in {"width", "height"}}
        carried = {}
    if {"width", "height", "outpaint"} & own.keys():
        taken = {name: value for name, value in taken.items() if name not in {"width", "height"}}
    merged = {**values, **taken, **own, "seed_image": image}
    return merged, carried, original.prompt if _is_blank(prompt) else prompt, original.parents


def _is_blank(prompt: Any) -> bool:
    """Return whether there is no prompt. A job stands for the text that it will have."""
    return prompt is None or (isinstance(prompt, str) and not prompt.strip())


def _choose_transparent_format(values: dict[str, Any], defaults: Collection[str], typed: Mapping[str, str]) -> None:
    chosen = values.get("output_format")
    if chosen is None or "output_format" in defaults:
        values["output_format"] = chosen if str(chosen).upper() in {"PNG", "WEBP"} else "PNG"
    elif str(chosen).upper() not in {"PNG", "WEBP"}:
        raise TaskInvalid(
            f"{typed.get('transparent', 'transparent')} needs PNG or WEBP: {chosen} files have no transparency. "
            "Nothing was sent.",
            parameter="outputFormat",
            allowed_values=("PNG", "WEBP"),
        )


def _outpaint(
    session: Session | None,
    values: Mapping[str, Any],
    rules: Rulebook | None,
    typed: Mapping[str, str],
    defaults: Collection[str],
) -> tuple[Outpaint, tuple[int, int], tuple[str, ...]]:
    """Return the sides to extend, the final size, and sentences about what was derived."""
    shown = typed.get("outpaint", "outpaint")
    wanted = parse_outpaint(values["outpaint"])
    source = values.get("seed_image")
    if source is None:
        source_name = typed.get("seed_image", "seed_image")
        raise TaskInvalid(
            f"{shown} extends an image, and there is none. Nothing was sent. Add {source_name} with the image.",
            parameter="seedImage",
        )
    if isinstance(wanted, Outpaint) and {"width", "height"} <= values.keys() and not {"width", "height"} & {*defaults}:
        size = (values["width"], values["height"])
        _check_size(wanted, size, shown)
        return wanted, size, ()
    if session is None:
        raise TaskInvalid(
            f"{shown} needs the size of its source, which is not known here. Nothing was sent. State the final size.",
            parameter="width",
        )
    width, height = size_of_image(session, source, shown)
    step = _step_px(rules)
    inner = (_rounded(width, step), _rounded(height, step))
    notes: list[str] = []
    if inner != (width, height):
        notes.append(
            f"The source of {width}x{height} px is scaled to {inner[0]}x{inner[1]} px: the model accepts sizes in "
            f"steps of {step} px."
        )
    outpaint = extend_to_ratio(*inner, wanted) if isinstance(wanted, Ratio) else wanted
    final = outpaint.size_of(*inner)
    if isinstance(wanted, Ratio):
        sides = ", ".join(f"{side}={pixels}" for side, pixels in outpaint.to_wire().items())
        notes.append(f"{shown} {wanted}: {sides}, which makes {final[0]}x{final[1]} px.")
    return outpaint, final, tuple(notes)


def _size_of_source(
    session: Session, values: Mapping[str, Any], rules: Rulebook | None, typed: Mapping[str, str]
) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Return the size of the image to start from, so that an edit does not distort it, and sentences about changes.

    If the size is not known here, as of an image of another server, the usual size applies. A source that cannot be
    used at all is refused later, with its own sentence.
    """
    shown = typed.get("seed_image", "seed_image")
    usual = (values.get("width", _DEFAULT_PX), values.get("height", _DEFAULT_PX))
    try:
        width, height = size_of_image(session, values["seed_image"], shown)
    except RunwareNBError:
        return usual, ()
    step = _step_px(rules)
    low, high = _bounds_px(rules)
    scale = min(1.0, high / max(width, height))
    scale = max(scale, low / min(width, height))
    size = (_rounded(width * scale, step), _rounded(height * scale, step))
    if not low <= min(size) <= max(size) <= high:  # no size of this shape is accepted
        return usual, ()
    if size == (width, height):
        return size, ()
    note = (
        f"The result has {size[0]}x{size[1]} px, and not the {width}x{height} px of {shown}: the model accepts {low} "
        f"to {high} px in steps of {step} px."
    )
    return size, (note,)


def _source_in(extra: Mapping[str, Any]) -> Any:
    """Return the image to start from among further parameters in wire spelling; None if there is none."""
    inputs = extra.get("inputs")
    nested = inputs if isinstance(inputs, Mapping) else {}
    return extra.get("seedImage") or nested.get("seedImage") or nested.get("image")


def _check_size(outpaint: Outpaint, size: tuple[int, int], shown: str) -> None:
    inner = (size[0] - outpaint.left - outpaint.right, size[1] - outpaint.top - outpaint.bottom)
    if min(inner) <= 0:
        raise TaskInvalid(
            f"{shown} extends the image by more than the final size of {size[0]}x{size[1]} px. Nothing was sent. State "
            "a larger size, or none: it is then the size of the source plus the extension.",
            parameter="width",
        )


def _step_px(rules: Rulebook | None) -> int:
    width = {} if rules is None else rules.schema.get("properties", {}).get("width", {})
    step = width.get("multipleOf") if isinstance(width, Mapping) else None
    return step if isinstance(step, int) and step > 0 else 1


def _bounds_px(rules: Rulebook | None) -> tuple[int, int]:
    width = {} if rules is None else rules.schema.get("properties", {}).get("width", {})
    found = [width.get(name) if isinstance(width, Mapping) else None for name in ("minimum", "maximum")]
    low, high = (value if isinstance(value, int) else None for value in found)
    return low or 1, high or 2 * _DEFAULT_PX


def _rounded(pixels: float, step: int) -> int:
    return max(step, int(pixels / step + 0.5) * step)


def plan_image(session: Session, request: ImageRequest) -> Plan:
    """Return what a request would send, and its price together with what is made first: guide images and a prompt."""
    plan = session.plan(request.task)
    plan.warnings = [*request.notes, *plan.warnings]
    first = [session.plan(task) for task in request.first]
    if first:
        costs = [one.price.usd for one in (*first, plan)]
        total = "unknown" if None in costs else f"${sum(cost or 0 for cost in costs):.4f}"
        guides = first[:-1] if request.enhances else first
        kinds = ", ".join(str(guide.task["model"]) for guide in guides)
        what = ["The prompt is enhanced first."] if request.enhances else []
        what += [f"A guide image is made first ({kinds})."] if guides else []
        plan.warnings.insert(0, f"{' '.join(what)} All together: {total}.")
    return plan


def submit_image(
    session: Session,
    request: ImageRequest,
    *,
    template: str | None = None,
    tags: str | Sequence[str] = (),
    note: str | None = None,
    fresh: bool = False,
    agreed: bool = False,
) -> Job:
    """Submit a request, and before it the preprocessors of its guide images and the enhancement of its prompt.

    The image is planned first: a request that would be refused must not pay for what it needs. The user agrees to the
    cost of all of it at once. A guide image that the log has costs nothing.
    """
    labels: Any = {"tags": tags, "note": note}
    first = request.first
    task = request.task
    if first:
        plan = session.plan(task)
        agreed = session.engine.agree_to_chain(first, plan, agreed=agreed)
        runs = [session.submit(each, agreed=agreed, **labels) for each in first]
        if guide_sources(task):
            task = _with_guides(task, runs)
        if request.enhances:
            # The text of the enhancement takes the place of this job, and the image records it as its parent.
            task = replace(task, positive_prompt=cast("str", runs[-1]))
    job = session.submit(task, template=template, fresh=fresh, agreed=agreed, parents=request.parents, **labels)
    job.notices.extend(request.notes)
    return job


def _enhancement_of(prompt: str) -> Item:
    """Return the task that writes one more detailed version of a prompt."""
    task = request_of(operation_of("enhance"), {"prompt": prompt, "versions": 1})
    model = next(model.air for model in all_models() if model.task_type == task["taskType"])
    return {**task, "model": model}


def guide_sources(task: ImageTask) -> list[GuideSource]:
    """Return the guide images of a task that have to be made first."""
    found = [entry.get("guideImage") for entry in task.extra.get("controlNet") or () if isinstance(entry, Mapping)]
    return [guide for guide in found if isinstance(guide, GuideSource)]


def _with_guides(task: ImageTask, runs: Sequence[Job]) -> ImageTask:
    each = iter(runs)
    entries = [
        {**entry, "guideImage": next(each)} if isinstance(entry.get("guideImage"), GuideSource) else entry
        for entry in task.extra["controlNet"]
    ]
    return replace(task, extra={**task.extra, "controlNet": entries})
