"""Practise on a made-up history with real deliveries: only in the local profile, and gone without a trace."""
