"""The package of a provider, as small as it can be: an echo in memory. A test copies it into `providers/`."""
