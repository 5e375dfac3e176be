"""Models: what they are called, what they take, what they cost."""

from .check import Rulebook, check_task, rulebook_of
from .fields import Field, FieldProblem, Kind, check_value, fields_of, fields_of_schema, read_value, size_pairs
from .listed import ListedModel, listed_models
from .live import LiveCatalogue
from .models import DEFAULT_MODEL, Model, Sizes, all_models, find_model, nearest_names
from .placing import place_media
from .prices import estimate_usd

__all__ = [
    "DEFAULT_MODEL",
    "Field",
    "FieldProblem",
    "Kind",
    "ListedModel",
    "LiveCatalogue",
    "Model",
    "Rulebook",
    "Sizes",
    "all_models",
    "check_task",
    "check_value",
    "estimate_usd",
    "fields_of",
    "fields_of_schema",
    "find_model",
    "listed_models",
    "nearest_names",
    "place_media",
    "read_value",
    "rulebook_of",
    "size_pairs",
]
