"""The machinery that every kind of background work shares."""
