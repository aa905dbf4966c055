"""From a prompt to a file that the customer can open, whatever breaks on the way."""
