"""The commands in Jupyter: magics, display, where a cell is."""
