"""Keeps what stays in memory for good out of the garbage collector's way."""

import functools
import gc


@functools.cache
def settle(page: str) -> None:
    """After a page's first run in this process: whatever it loaded is not looked through again.

    Streamlit collects all garbage after every run of a script, and meanwhile nothing else in the
    process goes on. Through all modules that took 150 ms every time that any page refreshed itself,
    callbacks included.
    """
    gc.collect()
    gc.freeze()
