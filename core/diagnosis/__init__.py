"""What happened to a task, and what to do about it."""
