"""Forms from a model's schema: controls for a run whose results are ordinary outputs."""

from .api import form, pick_model
from .model_form import ModelForm

__all__ = ["ModelForm", "form", "pick_model"]
