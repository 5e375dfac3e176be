"""How frames travel: over HTTP or over a WebSocket."""
