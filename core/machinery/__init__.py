"""The scheduled jobs as people steer them: when they run, how they do, who works, what is paused."""
