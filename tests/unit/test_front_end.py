"""What the browser fetches ahead of Streamlit's front end is there, and all of it."""

from core.web import front_end
from core.web.front_end import PARTS, parts, scripts


def test_each_part_is_found_with_what_it_imports() -> None:
    names = scripts()
    assert [part for part in PARTS if not any(name.startswith(f"{part}.") for name in names)] == []
    assert [name.split(".")[0] for name in parts()] == list(PARTS)
    # Fields have what they import in files of their own.
    assert len(names) > len(PARTS)
    folder = front_end._folder()
    assert folder is not None
    assert [name for name in names if not (folder / name).is_file()] == []
    assert len(names) == len(set(names))


def test_the_script_names_each_of_them_and_waits_for_the_page() -> None:
    said = front_end.fetching_ahead().decode()
    assert [name for name in scripts() if f'"{name}"' not in said] == []
    assert front_end.DRAWN in said
