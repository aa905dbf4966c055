"""Plans in words: where one stands, how a dry run sorts, what became of an item; the same on every page."""

from core.plans.models import Group, ItemState, PlanState
from pages.components.states import Look

PLANS: dict[PlanState, Look] = {
    PlanState.DRAFT: Look("Dry run", "science", "waiting", "Nobody has started it; nothing was asked yet."),
    PlanState.RUNNING: Look(
        "Running", "autorenew", "working", "Its items are asked for, one after the other."
    ),
    PlanState.PAUSED: Look(
        "Paused",
        "pause_circle",
        "attention",
        "Nothing further is begun until it is resumed; other plans may take what waits.",
    ),
    PlanState.FINISHED: Look("Finished", "check_circle", "good", "Every item of it is over."),
    PlanState.ABORTED: Look("Aborted", "stop_circle", "bad", "A person stopped it; the rest was not begun."),
}
GROUPS: dict[Group, Look] = {
    Group.ELIGIBLE: Look(
        "Can be resynced", "sync", "working", "Its provider is asked, and its file fetched."
    ),
    Group.DELIVERED: Look("Delivered", "check_circle", "good", "The file is in our storage already."),
    Group.IN_FLIGHT: Look("In flight", "autorenew", "moving", "It is on its way, or somebody is at it."),
    Group.EXPIRED: Look("Expired", "delete_history", "lost", "The provider has deleted its result."),
    Group.UNKNOWN: Look("Unknown", "help", "attention", "No provider can be asked about it."),
    Group.NOT_YOURS: Look("Not yours", "block", "waiting", "Another system's, or another customer's."),
}
ITEMS: dict[ItemState, Look] = {
    ItemState.LEFT_OUT: Look("Left out", "block", "waiting", "The dry run has left it out."),
    ItemState.WAITING: Look("Waiting", "schedule", "waiting", "Its turn comes."),
    ItemState.WORKING: Look("In hand", "autorenew", "working", "A worker is at it."),
    ItemState.DELIVERED: Look("Delivered", "check_circle", "good", "Its file was fetched and stored."),
    ItemState.ANSWERED: Look(
        "No file", "unpublished", "attention", "Its provider was asked and has no file."
    ),
    ItemState.FAILED: Look(
        "Failed", "cancel", "bad", "It could not be asked for, or its file not be fetched."
    ),
    ItemState.SKIPPED: Look("Skipped", "outbound", "waiting", "Nothing was left to do when its turn came."),
    ItemState.NOT_BEGUN: Look("Not begun", "stop_circle", "waiting", "The plan was aborted before its turn."),
}
# What a plan's progress is told by, in this order.
TOLD = (
    ItemState.DELIVERED,
    ItemState.ANSWERED,
    ItemState.FAILED,
    ItemState.SKIPPED,
    ItemState.NOT_BEGUN,
    ItemState.WORKING,
    ItemState.WAITING,
)
