"""Bulk resync: a frozen plan over many generations, tried dry, then carried out by workers item by item."""
