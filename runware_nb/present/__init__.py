"""What things look like: HTML and text made from plain values. Everything from outside is escaped."""
