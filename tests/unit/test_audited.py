"""Whoever may change something leaves a line: every service function that asks for more than looking."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from core.access import Action
from core.settings import ROOT
from pages.components import audit_words

Function = tuple[str, str]
LOOKING = {Action.VIEW, Action.BROWSE_LORAS, Action.DEBUG_GENERATION, Action.READ_AUDIT}
# What is changed by a storage's own API: its line is written before.
ELSEWHERE: defaultdict[str, set[str]] = defaultdict(set, configuration={"service.py"})
RECORD: Function = ("core.audit", "record")
# What asks for more than looking and leaves no line, each for its reason.
SILENT: dict[Function, str] = {
    ("core.deliveries.service", "check_may_sync"): "only asks",
    ("core.notifications.service", "choose_mail"): "one's own wish to be told by mail",
    ("core.trainings.beforehand", "check"): "only asks",
    ("core.trainings.beforehand", "is_launched"): "only asks",
    ("core.trainings.beforehand", "lacking"): "only asks",
    ("core.trainings.beforehand", "problems"): "only asks",
    ("core.trainings.dataset", "references_of"): "reads another system's job",
    ("core.trainings.earlier_jobs", "newest"): "reads another system's jobs",
    ("core.loras.proofs", "ask_again"): "a file is read once more, and nothing changed",
    ("core.configuration.service", "standings"): "reads",
    ("core.configuration.service", "begin"): "a check changes nothing",
    ("core.configuration.service", "begin_all"): "a check changes nothing",
    ("core.plans.service", "prepare"): "a dry run changes nothing",
    ("core.plans.sources", "chunks"): "reads",
    ("core.staff.views", "people"): "reads",
    ("core.staff.views", "sessions"): "reads",
    ("core.loras.views", "queue"): "reads",
    ("core.loras.views", "reported"): "reads",
}
SOURCES = [path for path in sorted((ROOT / "core").rglob("*.py")) if "web" not in path.parts]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def names_of(path: Path) -> dict[str, str]:
    """What each imported name of ours stands for, dotted."""
    found = {}
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("core"):
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def called(path: Path, function: ast.FunctionDef) -> Iterator[Function]:
    """Functions of ours that are named in it, called or handed on."""
    names, module = names_of(path), module_of(path)
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            yield names[node.value.id], node.attr
        elif isinstance(node, ast.Name):
            owner, _, name = names.get(node.id, f"{module}.{node.id}").rpartition(".")
            yield owner, name


FUNCTIONS: dict[Function, tuple[Path, ast.FunctionDef]] = {
    (module_of(path), node.name): (path, node)
    for path in SOURCES
    for node in tree_of(path).body
    if isinstance(node, ast.FunctionDef)
}


def reached(start: Function) -> set[Function]:
    """The function and all functions of ours that it leads to."""
    seen, waiting = set(), [start]
    while waiting:
        function = waiting.pop()
        if function in seen:
            continue
        seen.add(function)
        if function in FUNCTIONS:
            waiting.extend(called(*FUNCTIONS[function]))
    return seen


def asks_for(function: Function) -> set[Action]:
    """The actions that it checks itself."""
    if function not in FUNCTIONS:
        return set()
    return {
        Action[node.args[1].attr]
        for node in ast.walk(FUNCTIONS[function][1])
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "access.check"
        and isinstance(node.args[1], ast.Attribute)
    }


def test_whatever_asks_for_more_than_looking_leaves_a_line() -> None:
    changing = {
        function: reached(function)
        for function, (_, node) in FUNCTIONS.items()
        if node.args.args
        and node.args.args[0].arg == "actor"
        and not function[1].startswith("_")
        and any(asks_for(one) - LOOKING for one in reached(function))
    }
    assert len(changing) > 40
    silent = {function for function, leads_to in changing.items() if RECORD not in leads_to}
    assert silent == set(SILENT)


def test_every_line_is_written_in_a_transaction_of_its_change() -> None:
    """Recording takes the connection of the change; a line alone is for what is changed elsewhere."""
    for path in SOURCES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.With) and len(node.body) == 1:
                body = ast.unparse(node.body[0])
                alone = body.startswith("audit.record(")
                assert not alone or path.name in ELSEWHERE[path.parent.name], f"{path}:{node.lineno}"


def recorded() -> set[str]:
    """Every action that is recorded, as far as it stands in the code as a word."""
    words: set[str] = set()
    for path in SOURCES:
        text = path.read_text()
        if "audit.record(" in text or path.parent.name == "loras":
            words |= {
                node.value
                for node in ast.walk(tree_of(path))
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
    return words


def test_every_action_in_words_is_one_that_is_recorded() -> None:
    assert {code for code in audit_words.WORDS if code not in recorded()} == set()


def test_every_recorded_action_has_words() -> None:
    for path in SOURCES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "audit.record":
                for one in ast.walk(node.args[2]):
                    if isinstance(one, ast.Constant):
                        assert one.value in audit_words.WORDS, f"{path}:{node.lineno} {one.value!r}"
