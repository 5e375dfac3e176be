"""RunKey.ai's API in the sandbox: templates, tasks, credits, limits and signed webhooks."""
