"""The engine: one path for everything that costs money, whichever service answers."""
