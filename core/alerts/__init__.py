"""What is wrong and open: found by jobs, acknowledged by people, resolved when its cause is gone."""
