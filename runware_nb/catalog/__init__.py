"""Models: what they are called, what they take, what they cost."""

from .check import Rulebook, check_task, rulebook_of
from .live import LiveCatalogue
from .models import DEFAULT_MODEL, Model, Sizes, all_models, find_model, nearest_names
from .placing import place_media
from .prices import estimate_usd

__all__ = [
    "DEFAULT_MODEL",
    "LiveCatalogue",
    "Model",
    "Rulebook",
    "Sizes",
    "all_models",
    "check_task",
    "estimate_usd",
    "find_model",
    "nearest_names",
    "place_media",
    "rulebook_of",
]
