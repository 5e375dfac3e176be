"""Generate images with Runware from a notebook; nothing paid for is ever lost."""

__version__ = "0.1.0"
