"""The one list of checks, in the order in which a person would look."""

from core.configuration import of_others, of_sign_in, of_the_database, of_this_machine
from core.configuration.models import Check

CHECKS: tuple[Check, ...] = (
    Check("settings", "Settings", "Whether the settings make sense together.", of_this_machine.settings),
    Check("disk", "Disk", "The room for files on their way.", of_this_machine.disk),
    Check(
        "database",
        "Database",
        "Version, migrations and what they left to do, rights, writes, and the clocks' difference.",
        of_the_database.database_itself,
    ),
    Check(
        "connection",
        "Connection",
        "Whether each session is its own, or a transaction pooler stands between.",
        of_the_database.connection,
        needs_database=True,
    ),
    Check(
        "schema",
        "Policies and indexes",
        "Row-level security, policies and indexes of every table.",
        of_the_database.schema,
        needs_database=True,
    ),
    Check(
        "storage",
        "Buckets",
        "Whether each is there, public or not, what it takes, and whether a file can be written.",
        of_others.storage,
    ),
    Check(
        "sign_in",
        "Sign-in",
        "The settings, what the provider says of itself, and the address that it has to know.",
        of_sign_in.sign_in,
    ),
    Check(
        "admins",
        "Admins",
        "Whether somebody can come in who lets others in.",
        of_sign_in.admins,
        needs_database=True,
    ),
    Check("providers", "Providers", "Each key, by a call that costs nothing.", of_others.providers),
    Check("trainers", "Trainers", "Each account, by a call that costs nothing.", of_others.trainers),
    Check(
        "channels",
        "Alert channels",
        "Whether their addresses are good; nothing is sent.",
        of_others.alert_channels,
    ),
    Check("webhooks", "Webhooks", "Whether the public address leads here.", of_others.webhooks),
    Check(
        "machinery",
        "Clock and worker",
        "Whether one of each is alive.",
        of_the_database.machinery,
        needs_database=True,
    ),
)
BY_KEY = {check.key: check for check in CHECKS}
