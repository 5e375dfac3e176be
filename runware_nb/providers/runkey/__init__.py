"""RunKey.ai: tasks from templates, submitted over HTTP and followed by polls, which callbacks can wake."""
