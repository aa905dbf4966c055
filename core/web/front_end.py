"""Files of Streamlit's front end that the browser would fetch only when a page first needs them.

A table is 1.5 MB of script in thirty files; fetched and read at the first click on a page with one, they are
half of that click. The browser gets to know them as soon as the first page is drawn, so that it takes nothing
from that page.
"""

import functools
import re
from importlib.util import find_spec
from pathlib import Path

# What pages draw and a first page may lack, as the files are named.
PARTS = ("DataFrame", "LinkButton", "ButtonGroup", "TextInput", "TextArea", "DateInput")
FOLDER = "static/js"
# A page of ours that is drawn to its end.
DRAWN = "[data-test-script-state=notRunning] .so-title"
LOOK_EVERY_MS = 250
_IMPORTS = re.compile(r'(?:\bfrom|\bimport)\s*"\./([\w.-]+\.js)"')


def _folder() -> Path | None:
    found = find_spec("streamlit")
    places = found.submodule_search_locations if found else None
    return Path(places[0]) / "static" / FOLDER if places else None


@functools.cache
def scripts() -> tuple[str, ...]:
    """The names of the parts' files and of all that these import, but for what every first page fetches; none
    where they are not to be found."""
    folder = _folder()
    if folder is None or not folder.is_dir():
        return ()
    waiting = [path.name for part in PARTS for path in folder.glob(f"{part}.*.js")]
    known: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in known and (folder / name).is_file():
            known.add(name)
            waiting += _IMPORTS.findall((folder / name).read_text(encoding="utf-8"))
    first_page = (folder.parents[1] / "index.html").read_text(encoding="utf-8")
    return tuple(name for name in sorted(known) if name not in first_page)


@functools.cache
def fetching_ahead() -> bytes:
    """The script that has the browser fetch and read them, once the first page stands."""
    names = ",".join(f'"{name}"' for name in scripts())
    return (
        "const ahead=()=>{"
        f'if(!document.querySelector("{DRAWN}"))return void setTimeout(ahead,{LOOK_EVERY_MS});'
        f'for(const name of [{names}]){{const link=document.createElement("link");'
        'link.rel="modulepreload";link.crossOrigin="";'
        f'link.href=window.__streamlit.BACKEND_BASE_URL+"{FOLDER}/"+name;document.head.append(link)}}}};\n'
        f'addEventListener("load",()=>setTimeout(ahead,{LOOK_EVERY_MS}));\n'
    ).encode()
