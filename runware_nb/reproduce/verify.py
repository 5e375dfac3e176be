"""Runs of the log made again within a budget: exact, close or drifted?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.money import USD, Money
from ..engine.consent import priced
from ..engine.display import error_sentence
from ..engine.estimates import Estimate, estimate
from ..errors import RunwareNBError
from ..media.compare import Comparison, Verdict
from ..reprs import short_repr
from ..runlog import RunRecord, State
from ..runlog.maintenance import note_perceptual_hash
from .replay import Original, compare_with, original_of, service_of

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
        cost: What the new run cost, in *cost_unit*; None if no run was sent, or if its cost is unknown.
        why_not: Why there is nothing to compare.
        cost_unit: `USD` or `credits`.
    """

    run: RunRecord
    original: Original | None = None
    job: Job | None = None
    comparisons: dict[int, Comparison] = field(default_factory=dict)
    cost: float | None = None
    why_not: str | None = None
    cost_unit: str = USD

    @property
    def cost_usd(self) -> float | None:
        """The cost in US dollars; None if it is unknown, or in another unit."""
        return self.cost if self.cost_unit == USD else None

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
        chosen: Runs that are sent again, each with its estimate.
        left_out: Runs that are not sent again, with the reason.
    """

    chosen: list[tuple[RunRecord, Original, Estimate]]
    left_out: list[Checked]

    @property
    def estimate_usd(self) -> float | None:
        """US dollars for all chosen runs; None if the price of one of them is unknown."""
        prices = [price.usd for _, _, price in self.chosen]
        return None if None in prices else sum(usd for usd in prices if usd is not None)


def plan_verification(session: Session, runs: Sequence[RunRecord], *, budget_usd: float | None) -> Plan:
    """Choose what can be made again within the budget, in the order given.

    Args:
        session: Whose log and prices count.
        runs: What was selected.
        budget_usd: What may be spent, in US dollars; None for no limit.
    """
    plan = Plan([], [])
    planned_usd = 0.0
    for run in runs:
        why_not = _why_not(run)
        if why_not is None:
            try:
                original = original_of(session, run)
            except RunwareNBError as error:
                why_not = error.problem
        if why_not is not None:
            plan.left_out.append(Checked(run, why_not=why_not))
            continue
        if run.cost is not None:
            price = Estimate(Money(run.cost, run.cost_unit), "the cost of the original runs", run.cost_unit)
        else:
            price = estimate(session, run.request, service_of(run))
        if budget_usd is not None and price.usd is None:
            # A budget on the line is consent up to its amount. An unknown price may be above any amount.
            plan.left_out.append(Checked(run, why_not="its price is unknown, so no budget can cover it"))
        elif budget_usd is not None and price.usd is not None and planned_usd + price.usd > budget_usd + 1e-9:
            plan.left_out.append(Checked(run, why_not=f"the budget of ${budget_usd:.2f} does not cover it"))
        else:
            plan.chosen.append((run, original, price))
            planned_usd += price.usd or 0.0
    return plan


def verify(session: Session, plan: Plan, *, agreed: bool) -> list[Checked]:
    """Send the chosen runs again, several at once, and compare each with its original.

    Args:
        session: Whose client and log are used.
        plan: What to send.
        agreed: Whether the user agreed to the cost beforehand; a budget counts as consent up to its amount.

    Raises:
        NotConfirmed: The user did not agree to the cost, or this session cannot ask. Nothing was sent.
        BudgetExceeded: A budget of the log cannot cover all of it. Nothing was sent.
    """
    count = len(plan.chosen)
    for service in dict.fromkeys(service_of(run) for run, _, _ in plan.chosen):  # each has its own unit and budgets
        session.consent.require(
            [priced(run.request, price, service) for run, _, price in plan.chosen if service_of(run) == service],
            context=session.context(counts=False),
            agreed=agreed,
            announces=f"Verification sends {count} run{'' if count == 1 else 's'} again.",
        )
    checked = []
    for run, original, _ in plan.chosen:
        each = Checked(run, original)
        try:
            each.job = session.submit(
                original.request,
                service=service_of(run),
                template=run.prompt_template,
                note=f"verification of run {run.task_uuid[:8]}",
                fresh=True,
                agreed=True,
                replay_of=run.task_uuid,
            )
        except RunwareNBError as error:
            each.why_not = error_sentence(error)
        checked.append(each)
    for number, each in enumerate(checked, 1):
        _wait(session, each)
        session.front_end.show_progress(number, len(checked), "made again")
    return [*checked, *plan.left_out]


def _wait(session: Session, each: Checked) -> None:
    if each.job is None or each.original is None:
        return
    try:
        each.job.result()
    except RunwareNBError as error:
        each.why_not = error_sentence(error)
        return
    each.cost, each.cost_unit = each.job.record.cost, each.job.record.cost_unit
    each.comparisons = compare_with(session, each.original, each.job.record.results)
    _note_hashes(session, each)


def _note_hashes(session: Session, each: Checked) -> None:
    """Keep how the originals look, for whoever compares later."""
    from ..errors import MediaError
    from ..media import decode
    from ..media.compare import perceptual_hash

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
