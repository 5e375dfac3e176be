"""What plain widgets cannot do: a brush, a gallery of thousands, a place to drop files. Needs the extra `canvas`."""
