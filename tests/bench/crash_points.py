"""Where a worker dies over a training, or stands still: every step, around each call to the outside.

A held point is a request of the shipped worker that the sandbox keeps waiting: on its arrival nothing has
been done there yet, at its answer everything has. A step is a place in the code between such requests; the
process that dies there is the same worker with that one place marked, as in `tests.crash.stopping`.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

ARRIVAL, ANSWER = "arrival", "answer"


NOBODY, ONE = frozenset({0}), frozenset({1})
Later = Literal["", "sweep", "ZIP", "pictures"]
# The first try to end the pod fails, so that the sweep has something to do.
_LINGERS: dict[str, Any] = {"terminate_fails": {"at": ["runpod_training"], "value": 1}}


@dataclass(frozen=True)
class Point:
    """One death. `stage` is the part of the way that it belongs to; `how` is kill or stop."""

    stage: str
    trainer: str = "fal"
    publish: bool = False
    how: str = "kill"
    # A held point.
    kind: str = ""
    moment: str = ARRIVAL
    nth: int = 1
    # A step.
    step: str = ""
    # Somebody cancels the run while it trains, and the point is on the way to its end.
    cancelled: bool = False
    # The run is completed, and the point is in the hourly work that comes by later: sweep, ZIP or pictures.
    later: Later = ""
    # How often a person has to look at the provider, because a request never left: of three pictures that are
    # asked for at once some may have left when the worker dies over one.
    persons: frozenset[int] = NOBODY
    # Faults of the sandbox that make the point possible.
    faults: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The point in words."""
        what = self.step or f"{self.kind} {'arrives' if self.moment == ARRIVAL else 'done, answer held'}"
        many = f" (no. {self.nth})" if self.nth > 1 else ""
        after = ", after a cancel" if self.cancelled else f", {self.later}" if self.later else ""
        return f"{self.stage}: {what}{many}{after}, {self.trainer}{', published' * self.publish}"


def _lost(trainer: str) -> dict[str, Any]:
    """The submission is taken, its answer is lost, and no webhook tells of it."""
    return {
        "trainer_answer_lost": {"at": [f"{trainer}_submit"], "times": 1},
        "webhook_never": {"at": ["fal_training", "replicate_training"]},
    }


def _both(stage: str, kind: str, **more: Any) -> tuple[Point, Point]:
    return Point(stage, kind=kind, moment=ARRIVAL, **more), Point(stage, kind=kind, moment=ANSWER, **more)


HELD = (
    Point("ZIP", kind="store"),
    *_both("training", "fal_submit"),
    *_both("training", "replicate_submit", trainer="replicate"),
    *_both("training", "runpod_submit", trainer="runpod"),
    Point("training", kind="replicate_model", moment=ANSWER, nth=2, trainer="replicate"),
    Point(
        "lost answer", kind="replicate_list", moment=ANSWER, trainer="replicate", faults=_lost("replicate")
    ),
    Point("lost answer", kind="runpod_list", moment=ANSWER, trainer="runpod", faults=_lost("runpod")),
    *_both("follow", "fal_status"),
    Point("follow", kind="fal_result", moment=ANSWER),
    Point("follow", kind="replicate_read", moment=ANSWER, trainer="replicate"),
    Point("follow", kind="runpod_read", moment=ANSWER, trainer="runpod"),
    *_both("weights", "fal_file"),
    Point("weights", kind="replicate_file", moment=ANSWER, trainer="replicate"),
    Point("weights", kind="store", nth=2),
    *_both("pod's end", "runpod_action", trainer="runpod"),
    *_both("publish", "hub_create", publish=True),
    *_both("publish", "hub_commit", publish=True),
    *_both("pictures", "fal_submit", nth=3, persons=NOBODY | ONE),
    Point("pictures", kind="fal_status", moment=ANSWER, nth=3),
    Point("pictures", kind="fal_result", moment=ANSWER, nth=3),
    *_both("pictures", "fal_file", nth=3),
    Point("pictures", kind="store", nth=4),
    *_both("cancel", "fal_cancel", cancelled=True),
    *_both("cancel", "replicate_cancel", trainer="replicate", cancelled=True),
    *_both("cancel", "runpod_action", trainer="runpod", cancelled=True),
    *_both("orphan", "runpod_action", trainer="runpod", faults=_LINGERS, later="sweep"),
)
STEPS = (
    Point("ZIP", step="zip in place"),
    Point("training", step="request about to leave for fal", persons=ONE),
    Point("training", step="request about to leave for Replicate", trainer="replicate", persons=ONE),
    Point("training", step="request about to leave for RunPod", trainer="runpod", persons=ONE),
    Point("training", step="training accepted"),
    Point("training", step="training bound"),
    Point("weights", step="weights received"),
    Point("weights", step="weights in place"),
    Point("weights", step="weights recorded", trainer="runpod"),
    Point("pod's end", step="pod given back", trainer="runpod"),
    Point("publish", step="published", publish=True),
    Point("pictures", step="picture about to leave", persons=ONE),
    Point("pictures", step="picture accepted", persons=NOBODY | ONE),
    Point("pictures", step="picture in place"),
    Point("pictures", step="pictures shown"),
    Point("completion", step="completing"),
    Point("cancel", step="end settled", cancelled=True),
    Point("clean-up", step="file taken away", later="ZIP"),
    Point("clean-up", step="file taken away", later="pictures"),
)
STOPPED = (
    Point("training", step="training to be sent", how="stop"),
    Point("training", kind="fal_submit", moment=ANSWER, how="stop"),
    Point("training", kind="replicate_submit", moment=ARRIVAL, trainer="replicate", how="stop"),
    Point("training", kind="runpod_submit", moment=ANSWER, trainer="runpod", how="stop"),
    Point("weights", kind="fal_file", moment=ANSWER, how="stop"),
    Point("pod's end", kind="runpod_action", moment=ANSWER, trainer="runpod", how="stop"),
    Point("publish", kind="hub_commit", moment=ARRIVAL, publish=True, how="stop"),
    Point("pictures", kind="fal_submit", moment=ANSWER, nth=3, how="stop", persons=NOBODY | ONE),
    Point("cancel", kind="fal_cancel", moment=ANSWER, cancelled=True, how="stop"),
)
