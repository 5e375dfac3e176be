"""A yes to an unknown price leaves the sum at which a cell is asked again where it was."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runware_nb.core.money import Money
from runware_nb.engine.consent import Consent, Priced
from runware_nb.engine.estimates import Estimate
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
