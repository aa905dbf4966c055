"""The house keeps its order: rooms import downwards, and nothing in it is forgotten."""

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core import queries
from core.settings import ROOT, Settings
from jobs.schedule import JOBS

# From top to bottom; a room imports from layers below its own, or from itself.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("app", "pages", "jobs"),
    ("core.web", "core.local"),
    ("core.diagnosis", "core.rehearsal"),
    ("core.alerts", "core.plans", "core.failures", "core.configuration"),
    ("core.deliveries", "core.trainings"),
    ("core.loras",),
    ("core.budget",),
    ("core.upgrade", "core.usage", "core.notifications", "core.machinery", "core.visits"),
    ("core.providers", "core.storage", "core.work", "core.staff", "core.audit", "core.trail", "core.access"),
    ("core.standing",),
    ("core.queries",),
    ("core.database", "core.settings", "core.door", "core.errors", "core.said", "core.log", "core.version"),
)
FLOOR = set(LAYERS[-1])
# What a room may import beside that, each for its reason.
ALSO = {
    "core.audit": {"core.access"},  # who acted stands on each line
    "core.trail": {"core.access"},  # not everybody may read it
    "core.staff": {"core.access", "core.audit"},  # acts like a domain, for all of them
    "app": {"pages"},  # what Streamlit's socket says is told to the pages
    "core.local": {"core.sandbox"},  # the one-command stack starts it
    "pages": {"app"},
} | {room: FLOOR - {room} for room in FLOOR}
# What a room may not import although it lies below.
NEVER = {
    "core.providers": {"core.queries", "core.database"},
    "core.storage": {"core.queries", "core.database"},
}
SANDBOX = {"core.settings", "core.errors"}
DEPTH = {room: depth for depth, rooms in enumerate(LAYERS) for room in rooms}

SOURCES = sorted(
    path
    for place in ("app.py", "pages", "core", "jobs")
    for path in ([ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py"))
)
TESTS = sorted((ROOT / "tests").rglob("*.py"))
# Only these may import it.
ONLY_IN = {
    "streamlit": ("app.py", "pages/"),
    "plotly": ("pages/",),
    "apprise": ("core/notifications/channels.py",),
    "apscheduler": ("jobs/clock.py",),
    "procrastinate": ("jobs/worker.py",),
    # What others name is fetched by core/providers/fetch.py alone; the rest speaks to configured addresses.
    "httpx": (
        "core/providers/",
        "core/storage/",
        "core/sandbox/",
        "core/rehearsal/control.py",
        "core/web/jwks.py",
        "core/configuration/of_others.py",
    ),
}
LONGEST_FILE = 400


@dataclass(frozen=True)
class Import:
    """Line `line` of `file` imports `module`."""

    file: str
    line: int
    module: str


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports_of(path: Path) -> Iterator[Import]:
    """Every import, those within functions too; `from core import log` counts as core.log."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name_of(path), node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield Import(name_of(path), node.lineno, inner if is_module(inner) else node.module or "")


def is_module(dotted: str) -> bool:
    path = ROOT.joinpath(*dotted.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists() or path.is_dir()


def room_of(dotted: str) -> str | None:
    """The room of a module of ours; None for a library."""
    parts = dotted.split(".")
    if parts[0] in {"app", "pages", "jobs", "tests"}:
        return parts[0]
    return ".".join(parts[:2]) if parts[0] == "core" and len(parts) > 1 else None


def may_import(room: str, other: str) -> bool:
    if room == other:
        return True
    if room == "core.sandbox":
        return other in SANDBOX
    if other in NEVER.get(room, set()) or other == "tests":
        return False
    return other in ALSO.get(room, set()) or (other in DEPTH and DEPTH[other] > DEPTH[room])


def test_every_room_has_its_layer() -> None:
    rooms = {
        room_of(".".join(path.relative_to(ROOT).with_suffix("").parts)) or "core"
        for path in SOURCES
        if path != ROOT / "core" / "__init__.py"
    }
    assert rooms - {"core.sandbox"} == set(DEPTH)


def test_rooms_import_downwards_only() -> None:
    wrong = [
        f"{found.file}:{found.line}: {room} imports {other}"
        for path in SOURCES
        for room in [room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))]
        for found in imports_of(path)
        for other in [room_of(found.module)]
        if room and other and not may_import(room, other)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("room", "other", "may"),
    [
        ("jobs", "core.deliveries", True),
        ("core.deliveries", "core.work", True),
        ("core.audit", "core.access", True),
        ("core.local", "core.sandbox", True),
        ("core.sandbox", "core.settings", True),
        ("core.log", "core.settings", True),
        ("core.deliveries", "core.diagnosis", False),
        ("core.work", "core.storage", False),
        ("core.access", "core.audit", False),
        ("core.web", "core.local", False),
        ("core.providers", "core.database", False),
        ("core.storage", "core.queries", False),
        ("core.sandbox", "core.log", False),
        ("core.web", "core.sandbox", False),
        ("core.database", "core.queries", False),
        ("core.settings", "tests", False),
    ],
)
def test_what_the_rule_says(room: str, other: str, may: bool) -> None:
    assert may_import(room, other) is may


def test_a_library_stays_in_its_place() -> None:
    wrong = [
        f"{found.file}:{found.line}: {found.module}"
        for path in SOURCES
        for found in imports_of(path)
        for library, places in ONLY_IN.items()
        if found.module.split(".")[0] == library and not found.file.startswith(places)
    ]
    assert wrong == []


def test_nothing_of_the_product_imports_its_tests() -> None:
    assert not [found for path in SOURCES for found in imports_of(path) if found.module.startswith("tests")]


# Nothing forgotten.


def constants_of(path: Path) -> set[str]:
    return {
        node.value
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_every_named_query_is_used() -> None:
    used = {text for path in SOURCES if path.suffix == ".py" for text in constants_of(path)}
    domains = [path.stem for path in (ROOT / "sql" / "queries").glob("*.sql")]
    unused = [f"{domain}.{name}" for domain in domains for name in queries.load(domain) if name not in used]
    assert unused == []


def test_every_job_is_scheduled() -> None:
    modules = {path.stem for path in (ROOT / "jobs").glob("*.py")}
    machinery = {"__init__", "__main__", "clock", "worker", "schedule"}
    # queued by a delivery, a training, a plan or live traffic; typed by a person
    on_demand = {"deliver", "train", "run_plan", "rehearse", "migrate", "doctor", "plans"}
    assert set(JOBS) == modules - machinery - on_demand
    for name, job in JOBS.items():
        assert job.run is importlib.import_module(f"jobs.{name}").run


def setting_names() -> list[str]:
    return [str(field.validation_alias or name).upper() for name, field in Settings.model_fields.items()]


@pytest.mark.parametrize("document", [".env.example", "README.md"])
def test_every_setting_is_explained(document: str) -> None:
    text = (ROOT / document).read_text()
    internal = {"STUDIO_OPS_LOCAL_STACK"}  # set by the stack for its own children, never by people
    missing = [name for name in setting_names() if name not in text]
    assert set(missing) <= internal
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert named == set(setting_names()) - internal


def test_every_setting_is_read_by_somebody() -> None:
    texts = [path.read_text() for path in SOURCES if path != ROOT / "core" / "settings.py"]
    own = (ROOT / "core" / "settings.py").read_text()
    unread = [
        name
        for name in Settings.model_fields
        if not any(re.search(rf"\.{name}\b|require\(\"{name.upper()}\"", text) for text in texts)
        and not re.search(rf"self\.{name}\b", own)
    ]
    assert unread == []


def test_only_the_settings_read_the_environment() -> None:
    """Others hand it on to their children, or take back what they set themselves."""
    hands_on = {"core/local/supervise.py", "core/local/stack.py", "core/local/parent.py", "jobs/__main__.py"}
    touching = {
        name_of(path)
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    }
    assert touching - hands_on == {"core/settings.py"}


# Habits.


def test_no_file_is_a_drawer_or_too_long() -> None:
    for path in [*SOURCES, *TESTS]:
        assert path.stem not in {"utils", "helpers", "common"}, path
        assert len(path.read_text().splitlines()) <= LONGEST_FILE, path


def test_no_stub_is_left() -> None:
    words = re.compile(
        r"\b(?:TODO|FIXME|XXX|NotImplementedError)\b|pytest\.(?:skip|xfail)|mark\.(?:skip|xfail)"
    )
    left = [
        f"{name_of(path)}: {match[0]}"
        for path in [*SOURCES, *TESTS]
        if path != Path(__file__).resolve()
        for match in [words.search(path.read_text())]
        if match
    ]
    assert left == []


def test_core_and_jobs_print_nothing() -> None:
    """What people read goes through the log; commands and the sandbox's start are the exceptions."""
    speaking = {"jobs/__main__.py", "core/sandbox/__main__.py"}
    printing = {
        name_of(path)
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert printing <= speaking


def test_the_top_level_is_complete() -> None:
    theirs = {"app.py", "pages", "core", "jobs", "sql", "tests", "requirements.txt", "README.md"}
    theirs |= {"pyproject.toml", "CHANGELOG.md"}
    theirs |= {".ci", ".env.example", ".gitignore", ".streamlit"}
    assert theirs - {path.name for path in ROOT.iterdir()} == set()
