"""What a task is likely to cost, from prices seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.amounts import parse_amount
from ..tasks import expected_results
from .models import find_model

__all__ = ["estimate_usd"]


def estimate_usd(task: Mapping[str, Any]) -> float | None:
    """Estimate what a wire task costs.

    Returns:
        US dollars for all its results; None where the model's price is not known.
    """
    model = find_model(str(task.get("model", "")))
    width, height = task.get("width"), task.get("height")
    if model is None or not model.price_points or not isinstance(width, int) or not isinstance(height, int):
        return None
    try:
        megapixels = width * height / 1e6
    except OverflowError:  # such a size has no price; the service refuses it
        return None
    points = model.price_points
    if len(points) == 1:
        one = points[0][1] * megapixels / points[0][0]
    else:
        upper = next((n for n in range(1, len(points)) if megapixels <= points[n][0]), len(points) - 1)
        (x0, y0), (x1, y1) = points[upper - 1], points[upper]
        one = max(0.0, y0 + (y1 - y0) * (megapixels - x0) / (x1 - x0))
    return parse_amount(round(one * expected_results(task), 6))
