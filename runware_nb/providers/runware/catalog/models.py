"""What is known about a model, and how to find one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from ....reprs import short_repr

__all__ = ["DEFAULT_MODEL", "Model", "Sizes", "all_models", "find_model", "nearest_names"]

DEFAULT_MODEL = "runware:101@1"
"""What is used when nobody says: FLUX.1 [dev]."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Which widths and heights a model takes, in pixels.

    Attributes:
        step_px: Both are multiples of this.
        low_px: Smallest.
        high_px: Largest.
        pairs_px: Where not empty, these pairs of width and height and no others.
    """

    step_px: int = 64
    low_px: int = 128
    high_px: int = 2048
    pairs_px: tuple[tuple[int, int], ...] = ()


@short_repr()
@dataclass(frozen=True, slots=True)
class Model:
    """One model.

    Attributes:
        air: AIR identifier.
        slug: Its name in the documentation's addresses.
        name: Its name for people.
        task_type: The kind of task it does, such as `imageInference`.
        architecture: Architecture key, such as `flux-1-dev`; empty for closed models and operations.
        aliases: Short names of ours.
        takes: Parameters beyond those of its kind of task, in wire spelling.
        needs: Which parameters are required.
        inputs: What may stand under `inputs`.
        needs_inputs: What must stand there.
        sizes: Widths and heights; None where it takes neither.
        steps: Usual number of steps; 0 where there are none to choose.
        cfg_scale: Usual guidance; 0 where there is none to choose.
        formats: Output formats, the default first; empty for those of its kind.
        price_points: Prices seen, as (megapixels, US dollars for one image); empty where none is known.

    Source:
        Runware reference 5 and 6.2. Prices of compute-billed models vary from run to run.
    """

    air: str
    slug: str
    name: str
    task_type: str = "imageInference"
    architecture: str = ""
    aliases: tuple[str, ...] = ()
    takes: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    needs_inputs: tuple[str, ...] = ()
    sizes: Sizes | None = None
    steps: int = 0
    cfg_scale: float = 0.0
    formats: tuple[str, ...] = ()
    price_points: tuple[tuple[float, float], ...] = ()

    @property
    def short_name(self) -> str:
        """The name that is easiest to type: its first alias, else its slug."""
        return self.aliases[0] if self.aliases else self.slug

    @property
    def typed_names(self) -> tuple[str, ...]:
        """The names that completion offers: its AIR identifier, and its aliases or its slug."""
        return (self.air, *(self.aliases or (self.slug,)))

    @property
    def documentation(self) -> str:
        """Address of its documentation."""
        return f"https://runware.ai/docs/models/{self.slug}"

    @property
    def takes_seed(self) -> bool:
        """Whether a seed can be given."""
        return "seed" in self.takes

    def request_schema(self) -> dict[str, Any]:
        """Give its request schema, as JSON Schema 2020-12."""
        from .schemas import request_schema

        return request_schema(self)


def all_models() -> tuple[Model, ...]:
    """List every model of the snapshot, the default first."""
    from .snapshot import MODELS

    return MODELS


@cache
def _by_name() -> Mapping[str, Model]:
    return {
        name.lower(): model
        for model in all_models()
        for name in (model.air, model.slug, model.name, *model.aliases)
    }  # fmt: skip


def find_model(name: str) -> Model | None:
    """Find a model by AIR, slug, name or alias; None when the snapshot has none."""
    return _by_name().get(name.strip().lower())


def nearest_names(name: str) -> list[str]:
    """Suggest up to three names that look like *name*."""
    return difflib.get_close_matches(name.lower(), list(_by_name()), n=3, cutoff=0.6)
