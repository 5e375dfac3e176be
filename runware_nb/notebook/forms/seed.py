"""The seed: typed, locked, one more, or drawn anew."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from ...providers.runware.catalog import Field, FieldProblem, read_value
from .look import Look

__all__ = ["SeedControl"]

_LARGEST = 2**31 - 32
_KEEPS, _RENEWS = "keep the seed of the last run", "a new seed for each run"
_LOCK, _UNLOCK = "Lock seed", "Unlock seed"


class SeedControl:
    """A seed is locked as long as the field holds one; an empty field has one picked, and logged, for each run."""

    def __init__(self, field: Field, look: Look, chance: random.Random) -> None:
        self.field = field
        self._chance = chance
        self._last: int | None = None
        self._text = look.make(
            widgets.Text, width="tight", description="Seed", continuous_update=False,
            placeholder="empty: a new one each time", tooltip="the same seed makes the same image again",
        )  # fmt: skip
        self._lock = look.make(
            widgets.Button, width="tight", description=_LOCK, tooltip="keep the seed of the last run"
        )
        one_more = look.make(widgets.Button, width="tight", description="+1", tooltip="seed: one more")
        dice = look.make(widgets.Button, width="tight", description="Dice", tooltip="seed: draw another one")
        self.widget = look.row(self._text, self._lock, one_more, dice)
        one_more.on_click(lambda _: self._set((self._given() or self._last or 0) + 1))
        dice.on_click(lambda _: self._set(self._chance.randrange(1, _LARGEST)))
        self._lock.on_click(lambda _: self._turn_lock())
        self._text.observe(lambda change: self._typed(change["new"]), "value")

    def read(self) -> Any:
        """Give the value; see `Control`."""
        return read_value(self.field, self._text.value)

    def show(self, value: Any) -> None:
        """Show a value; see `Control`."""
        self._text.value = "" if value is None else str(value)

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have changes told; see `Control`."""
        self._text.observe(lambda _: changed(), "value")

    def used(self, seed: int | None) -> None:
        """Remember the seed of a run that has ended."""
        if seed is not None:
            self._last = seed
            self._text.placeholder = f"last: {seed}; empty: a new one"

    def _given(self) -> int | None:
        try:
            value = self.read()
        except FieldProblem:
            return None
        return value if isinstance(value, int) else None

    def _set(self, seed: int) -> None:
        self._text.value = str(seed)

    def _typed(self, text: str) -> None:
        self._lock.description = _UNLOCK if text.strip() else _LOCK
        self._lock.tooltip = _RENEWS if text.strip() else _KEEPS

    def _turn_lock(self) -> None:
        if self._text.value.strip():
            self._text.value = ""
        else:
            self._set(self._last or self._chance.randrange(1, _LARGEST))
