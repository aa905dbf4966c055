"""Files of Streamlit's front end that the browser would fetch only when a page first needs them.

Fetched and read at the first click on a page with a field or a link button, they are a part of that click.
The browser gets to know them as soon as the first page is drawn, so that it takes nothing from that page.
"""

import functools
import json
import re
from importlib.util import find_spec
from pathlib import Path

# What pages draw and a first page may lack, as the files are named.
PARTS = ("LinkButton", "ButtonGroup", "TextInput", "TextArea", "DateInput")
FOLDER = "static/js"
# A page of ours that is drawn to its end.
DRAWN = "[data-test-script-state=notRunning] .so-title"
LOOK_EVERY_MS = 100
_IMPORTS = re.compile(r'(?:\bfrom|\bimport)\s*"\./([\w.-]+\.js)"')


def _folder() -> Path | None:
    found = find_spec("streamlit")
    places = found.submodule_search_locations if found else None
    return Path(places[0]) / "static" / FOLDER if places else None


@functools.cache
def parts() -> tuple[str, ...]:
    """The names of the parts' own files; none where they are not to be found."""
    folder = _folder()
    if folder is None or not folder.is_dir():
        return ()
    return tuple(path.name for part in PARTS for path in sorted(folder.glob(f"{part}.*.js")))


@functools.cache
def scripts() -> tuple[str, ...]:
    """The same with all that they import, but for what every first page fetches."""
    folder, waiting = _folder(), list(parts())
    if folder is None or not waiting:
        return ()
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
    """The script that has the browser fetch, read and run them, once the first page stands."""
    return (
        "const ahead=()=>{"
        f'if(!document.querySelector("{DRAWN}"))return void setTimeout(ahead,{LOOK_EVERY_MS});'
        f'const folder=window.__streamlit.BACKEND_BASE_URL+"{FOLDER}/";'
        f'for(const name of {json.dumps(scripts())}){{const link=document.createElement("link");'
        'link.rel="modulepreload";link.crossOrigin="";link.href=folder+name;document.head.append(link)}'
        f"for(const name of {json.dumps(parts())})import(folder+name).catch(()=>{{}})}};\n"
        f'addEventListener("load",()=>setTimeout(ahead,{LOOK_EVERY_MS}));\n'
    ).encode()
