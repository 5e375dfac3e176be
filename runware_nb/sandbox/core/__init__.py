"""Parts that every sandbox service shares. Imports no service."""
