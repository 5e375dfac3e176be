"""A yes to an unknown price leaves the sum at which a cell is asked again where it was."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runware_nb.core.money import Money
from runware_nb.engine.consent import Consent, Priced
from runware_nb.engine.context import CellContext
from runware_nb.engine.estimates import Estimate
from runware_nb.errors import NotConfirmed
from runware_nb.runlog import RunLog
from runware_nb.settings import Settings


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[Any]:
    log = RunLog(tmp_path)
    yield SimpleNamespace(settings=Settings(home=tmp_path, ask_above_usd=0.5), log=log)
    log.close()


def test_yes_to_unknown_price_does_not_raise_the_agreed_sum(ports: Any) -> None:
    consent = Consent(ports)
    consent.accept([Priced("known", Estimate(Money(1.0), "price list"))], scope="cell")
    known = [Priced("known", Estimate(Money(0.4), "price list"))]
    mixed = [*known, Priced("new", Estimate(None, "no price"))]
    question = consent.question(mixed, scope="cell")
    assert question is not None
    assert "unknown" in question
    assert "twice" not in question
    consent.accept(mixed, scope="cell")
    again = consent.question([Priced("known", Estimate(Money(0.6), "price list"))], scope="cell")
    assert again is not None
    assert "twice" in again


def test_a_step_that_has_become_more_expensive_is_not_sent(ports: Any) -> None:
    """A chain is agreed to when it is built; nobody can be asked when a step is sent."""
    consent, cell = Consent(ports), CellContext()

    def step(amount: float | None) -> Priced:
        return Priced("upscale", Estimate(None if amount is None else Money(amount), "median"))

    def check(agreed: float | None, now: float | None) -> None:
        consent.recheck(step(now), step(agreed).price, context=cell)

    check(0.2, 0.2)
    check(0.2, 0.1)
    check(None, None)
    check(None, 0.1)
    check(0.2, 0.5)  # the difference needs no question, and counts towards the sum of the cell
    with pytest.raises(NotConfirmed, match=r"agreed to about \$0.20 .* is now \$0.50.*not sent and cost nothing"):
        check(0.2, 0.5)
    with pytest.raises(NotConfirmed, match="Its estimated cost is unknown now"):
        check(0.2, None)
    with pytest.raises(NotConfirmed, match=r"the price of this step \(upscale\) was unknown.* is now \$5.00"):
        check(None, 5.0)
