"""The provider of useapi.net: Runway accounts of the user's own, driven through an unofficial proxy."""
