"""The clock of a service's pace."""

import pytest

from runware_nb.net.clock import Clock


def test_it_counts_in_seconds_of_the_service():
    clock = Clock(1000)
    before = clock.now()
    assert clock.real_s(50) == 0.05
    assert clock.now() >= before


def test_it_states_its_scale():
    assert Clock(1000).scale == 1000


def test_it_sleeps_for_seconds_of_the_service(run_async):
    clock = Clock(1000)

    async def measure():
        before = clock.now()
        await clock.sleep(20)
        await clock.sleep(-1)
        return clock.now() - before

    assert run_async(measure()) >= 19


@pytest.mark.parametrize("scale", [0, -1, float("nan")])
def test_a_scale_is_above_zero(scale):
    with pytest.raises(ValueError, match="expected a number above 0"):
        Clock(scale)


def test_its_repr_names_its_pace():
    """It is in the attributes of providers, which debuggers and tracebacks show."""
    assert repr(Clock(20)) == "<Clock scale=20>"
