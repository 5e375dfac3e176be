"""The services: one package for each."""
