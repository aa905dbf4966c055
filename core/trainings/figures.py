"""What the numbers that pages show of trainings count, with their SQL."""

from collections.abc import Mapping

from core import queries
from core.queries import Figure

_SQL = queries.load("trainings") | queries.load("spending")
_IMAGES = queries.load("training_images")

FIGURES: Mapping[str, Figure] = {
    "under_way": Figure(
        "Trainings that are being worked on now, or whose provider is being asked to stop, whenever they were"
        " launched.",
        _SQL["counts"].sql,
    ),
    "needs_person": Figure(
        "Trainings whose test images wait for a verdict, and those that no rule can finish, whenever they"
        " were launched.",
        _SQL["counts"].sql,
    ),
    "failed": Figure(
        "Trainings launched this month (UTC) that have failed. The success is completed ÷ (completed +"
        " failed); cancelled ones are not in it.",
        _SQL["counts"].sql,
    ),
    "week": Figure(
        "Trainings by where they stand: those under way or waiting for a person whenever they were launched,"
        " completed and failed ones as far as they were launched within the last 7 days.",
        _SQL["counts"].sql,
    ),
    "downloads": Figure(
        "Images that were wanted by their addresses this month (UTC): those that came by any way ÷ all that"
        " were wanted. Of a way: those that came by it ÷ those that were tried by it.",
        _IMAGES["downloads"].sql,
    ),
    "run_cost": Figure(
        "What this run's lines in the ledger add up to, corrections and the images that were generated for"
        " it included. Reserved is what has been neither settled nor given back.",
        _SQL["ledger"].sql,
    ),
    "per_completed": Figure(
        "What the month's runs that are over have cost, failed and cancelled ones included, ÷ the completed"
        " ones. A run belongs to the month (UTC) of its reservation.",
        _SQL["runs_of_month"].sql,
    ),
    "failures": Figure(
        "What the month's failed and cancelled runs have cost, and its share of what all runs that are over"
        " have cost.",
        _SQL["runs_of_month"].sql,
    ),
    "drift": Figure(
        "What the month's runs that are over have cost, against what was quoted for them at their launch.",
        _SQL["runs_of_month"].sql,
    ),
    "quotas": Figure(
        "LoRAs begun in the month (UTC) that have not failed and were not cancelled, by who made them.",
        _SQL["quotas"].sql,
    ),
}
