"""A local service that speaks Runware's protocol over real sockets, for trying, teaching and testing.

It runs as its own process (`python -m runware_nb.sandbox`) and shares no code with the client, so that a
field misread once cannot agree with itself.
"""
