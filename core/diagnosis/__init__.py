"""Where a generation is, why it is not with its customer, and what a click can do about it."""
