"""What a page has loaded is not looked through at every collection."""

import gc

from pages.components import memory
from tests.pages.conftest import OpenPage


def test_what_a_page_loads_is_out_of_the_collectors_way_after_its_first_run(open_page: OpenPage) -> None:
    gc.unfreeze()
    memory.settle.cache_clear()
    assert gc.get_freeze_count() == 0
    open_page("overview.py")
    settled = gc.get_freeze_count()
    assert settled > 50_000
    open_page("overview.py")
    assert gc.get_freeze_count() <= settled
    gc.unfreeze()
