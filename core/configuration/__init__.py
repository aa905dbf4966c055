"""Whether everything that the product needs is there and well: one list of checks, for page and doctor."""
