"""What travels, and the rules about it: no I/O, no clock, no randomness of its own."""
