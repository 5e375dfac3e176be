"""Looking through what was made: thousands of images, and which of them are better."""

from .ballot import Ballot
from .bradley_terry import Rank, rank_items
from .exhibition import Exhibition, GalleryFilter

__all__ = ["Ballot", "Exhibition", "GalleryFilter", "Rank", "rank_items"]
