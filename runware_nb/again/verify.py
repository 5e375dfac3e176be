"""Runs of the log made again within a budget: exact, close or drifted?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import RunwareNBError
from ..images.compare import Comparison, Verdict
from ..reprs import short_repr
from ..runlog import RunRecord, State
from ..runlog.keeping import note_perceptual_hash
from ..session.hooks import hooks
from ..session.money import Estimate, agree, estimate
from ..session.show import error_sentence
from .replay import Original, compare_with, original_of

if TYPE_CHECKING:
    from ..session import Job, Session

__all__ = ["Checked", "Plan", "plan_verification", "verify"]


@short_repr()
@dataclass(slots=True)
class Checked:
    """One run, made again.

    Attributes:
        run: The run of the log.
        original: What was to be made again.
        job: The new run; None where none was sent.
        comparisons: By position.
        cost_usd: What the new run cost, in US dollars.
        why_not: Why there is nothing to compare.
    """

    run: RunRecord
    original: Original | None = None
    job: Job | None = None
    comparisons: dict[int, Comparison] = field(default_factory=dict)
    cost_usd: float | None = None
    why_not: str | None = None

    @property
    def verdict(self) -> Verdict | None:
        """The worst of its results; None where it was not made again."""
        order = list(Verdict)
        found = [each.verdict for each in self.comparisons.values()]
        return max(found, key=order.index) if found else None


@short_repr()
@dataclass(slots=True)
class Plan:
    """What a verification would send.

    Attributes:
        chosen: Runs that are made again, and what each is likely to cost.
        left_out: Runs that are not, with the reason.
        estimate_usd: Of all that are.
    """

    chosen: list[tuple[RunRecord, Original, float]]
    left_out: list[Checked]
    estimate_usd: float


def plan_verification(session: Session, runs: Sequence[RunRecord], *, budget_usd: float | None) -> Plan:
    """Choose what can be made again within the budget, in the order given.

    Args:
        session: Whose log and prices count.
        runs: What was selected.
        budget_usd: What may be spent, in US dollars; None for no limit.
    """
    plan = Plan([], [], 0.0)
    for run in runs:
        why_not = _why_not(run)
        if why_not is None:
            try:
                original = original_of(session, run)
            except RunwareNBError as error:
                why_not = str(error)
        if why_not is not None:
            plan.left_out.append(Checked(run, why_not=why_not))
            continue
        price = run.cost_usd if run.cost_usd is not None else estimate(session, run.request).usd
        if budget_usd is not None and price is None:
            plan.left_out.append(Checked(run, why_not="its price is unknown, and there is a budget"))
        elif budget_usd is not None and plan.estimate_usd + (price or 0.0) > budget_usd + 1e-9:
            plan.left_out.append(Checked(run, why_not=f"the budget of ${budget_usd:.2f} does not reach to it"))
        else:
            plan.chosen.append((run, original, price or 0.0))
            plan.estimate_usd += price or 0.0
    return plan


def verify(session: Session, plan: Plan, *, agreed: bool) -> list[Checked]:
    """Make the chosen runs again, several at once, and compare.

    Args:
        session: Who sends.
        plan: What to send.
        agreed: Whether the price was agreed to: a budget on the line says so.

    Raises:
        NotConfirmed: All of it costs more than is sent without a yes.
    """
    total = Estimate(plan.estimate_usd, "what these runs cost the first time")
    agree(session, total, agreed=agreed, count=len(plan.chosen))
    checked = []
    for run, original, _ in plan.chosen:
        each = Checked(run, original)
        try:
            each.job = session.submit(
                original.request, template=run.prompt_template, note=f"verification of run {run.task_uuid[:8]}",
                fresh=True, agreed=True, replay_of=run.task_uuid,
            )  # fmt: skip
        except RunwareNBError as error:
            each.why_not = error_sentence(error)
        checked.append(each)
    for number, each in enumerate(checked, 1):
        _wait(session, each)
        if hooks.show_progress is not None:
            hooks.show_progress(number, len(checked), "made again")
    return [*checked, *plan.left_out]


def _wait(session: Session, each: Checked) -> None:
    if each.job is None or each.original is None:
        return
    try:
        each.job.result()
    except RunwareNBError as error:
        each.why_not = error_sentence(error)
        return
    each.cost_usd = each.job.record.cost_usd
    each.comparisons = compare_with(session, each.original, each.job.record.results)
    _note_hashes(session, each)


def _note_hashes(session: Session, each: Checked) -> None:
    """Keep how the originals look, for whoever compares later."""
    from ..errors import MediaError
    from ..images import decode
    from ..images.compare import perceptual_hash

    assert each.original is not None
    for result in each.run.results:
        body = each.original.files.get(result.position)
        if body is None or result.perceptual_hash is not None:
            continue
        try:
            note_perceptual_hash(session.log, each.run.task_uuid, result.position, perceptual_hash(decode(body)))
        except MediaError:
            continue


def _why_not(run: RunRecord) -> str | None:
    if run.state not in {State.SUCCEEDED, State.PARTIAL}:
        return f"it is {run.state.value}"
    if run.replay_of is not None:
        return f"it is itself a replay of run {run.replay_of[:8]}"
    if run.is_imported:
        return "it came from somebody else's log; `replay` sends it, after a question"
    if all(result.received_sha256 is None for result in run.results):
        return "none of its results is a file that is here"
    return None
