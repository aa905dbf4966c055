"""Every setting without its value: what it is for, and whether it is given."""

from functools import cache

from pydantic import SecretStr

from core.configuration.models import Setting
from core.settings import ROOT, Settings

# The stack's own, which nobody sets.
_INTERNAL = {"STUDIO_OPS_LOCAL_STACK"}


def settings(found: Settings) -> tuple[Setting, ...]:
    """All of them, in the order of .env.example."""
    listed = []
    names = {
        str(field.validation_alias or name).upper(): name for name, field in Settings.model_fields.items()
    }
    purposes = _purposes()
    for name in [*purposes, *(name for name in names if name not in purposes)]:
        field = names.get(name)
        if field is None or name in _INTERNAL:
            continue
        value = getattr(found, field)
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        given = field in found.model_fields_set and plain not in ("", None)
        listed.append(
            Setting(
                name,
                purposes.get(name, ""),
                given=given,
                has_default=not given and plain not in ("", None),
                secret="SecretStr" in str(Settings.model_fields[field].annotation),
            )
        )
    return tuple(listed)


@cache
def _purposes() -> dict[str, str]:
    """What .env.example says above each setting, by its name."""
    found: dict[str, str] = {}
    words: list[str] = []
    fresh = True
    for line in (ROOT / ".env.example").read_text().splitlines():
        if line.startswith("# "):
            words = [*words, line[2:]] if fresh else [line[2:]]
            fresh = True
        elif line.startswith("#") and "=" in line:
            found[line[1:].split("=")[0]] = " ".join(words)
            fresh = False
        else:
            words, fresh = [], True
    return found
