"""The last step of a run: its LoRA may be used."""

from core import database
from core.errors import ErrorCategory
from core.trainings import costs, moving
from core.trainings.models import Run, RunState, Trouble
from core.trainings.repository import SQL
from core.trainings.tools import WEIGHTS, Tools


def advance(run: Run, tools: Tools) -> None:
    """The last step of a leased run: its weights are where they should be, and its LoRA may be used."""
    path = run.weights_path
    if path is None or tools.storage.stat(WEIGHTS, path) is None:
        moving.try_again(run, _file_gone(), tools)
        return
    now = tools.clock()
    with database.transaction() as connection:
        costs.close(connection, run, "the run is completed", now)
        if not moving.over(connection, run, RunState.COMPLETED, now, None):
            connection.rollback()
            return
        SQL["complete"].run(connection, lora_id=run.lora_id, now=now)
        moving.end_stage(connection, run, "succeeded", now)
        if run.huggingface_url is not None:
            SQL["card_due"].run(connection, id=run.id, now=now)


def _file_gone() -> Trouble:
    return Trouble(
        "The weights are not in our storage.",
        ErrorCategory.FILE_ERROR,
        retryable=False,
        next_action="Start it again: the weights are fetched anew while the provider has them.",
    )
