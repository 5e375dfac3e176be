"""The sandbox of Runware: tasks, models, schemas, and its HTTP and WebSocket protocol."""
