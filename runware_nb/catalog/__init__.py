"""Models: what they are called, what they take, what they cost."""

from .check import check_task
from .models import DEFAULT_MODEL, Model, all_models, estimate_usd, find_model, nearest_names

__all__ = [
    "DEFAULT_MODEL",
    "Model",
    "all_models",
    "check_task",
    "estimate_usd",
    "find_model",
    "nearest_names",
]
