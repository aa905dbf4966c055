"""The library of LoRAs: found, shown, rated, moderated; never deleted."""
