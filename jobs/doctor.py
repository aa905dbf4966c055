"""`python -m jobs doctor`: every check in order."""

from datetime import datetime

from core.configuration.checks import CHECKS
from core.configuration.models import Verdict
from core.settings import Settings


def check(settings: Settings, now: datetime) -> list[Verdict]:
    """What every check says; those that need the database are left out while it is not well."""
    verdicts: list[Verdict] = []
    well = settings.database_url is not None
    for one in CHECKS:
        if settings.database_url is None and one.needs_database:
            continue
        if one.key == "database" and settings.database_url is None:
            remedy = "nothing runs in this folder. Start it with: streamlit run app.py"
            return [*verdicts, Verdict("database", good=False, message=remedy)]
        if one.needs_database and not well:
            continue
        found = list(one.run(settings, now))
        if one.key == "database":
            well = all(verdict.good for verdict in found)
        verdicts += found
    return verdicts
