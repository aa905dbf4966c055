"""Every scheduled job: how often, in which queue's places, what it does and what stops without it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_SHORT = timedelta(minutes=2)
_LONG = timedelta(minutes=30)


@dataclass(frozen=True)
class Job:
    """A job that runs every `every`. One run that takes longer than `longest` is spoken of.

    `stops` says what no longer happens while it is paused; an `important` one is paused with a warning.
    """

    name: str
    title: str
    every: timedelta
    does: str
    stops: str
    important: bool = False
    queue: str = "housekeeping"
    longest: timedelta = _SHORT


SCHEDULE: dict[str, Job] = {
    job.name: job
    for job in (
        Job(
            "poll",
            "Ask the providers",
            timedelta(seconds=1),
            "Asks KIE and fal how the generations are that are under way.",
            "Results are found by callbacks alone; one whose callback is lost waits until this runs again.",
            important=True,
            queue="polls",
        ),
        Job(
            "sweep",
            "Pick up what fell down",
            timedelta(seconds=5),
            "Puts due deliveries whose job vanished back on the queue.",
            "A delivery whose worker died is not taken up again.",
            important=True,
        ),
        Job(
            "follow_trainings",
            "Follow trainings",
            timedelta(seconds=5),
            "Asks the trainers how the trainings are, and puts due ones on the queue.",
            "Trainings stand still, and their pods go on costing money.",
            important=True,
            queue="follows",
        ),
        Job(
            "draw_training_images",
            "Generate training images",
            timedelta(seconds=5),
            "Sends and fetches the images that are generated for trainings.",
            "Images for trainings are neither begun nor fetched.",
            queue="trainings",
            longest=timedelta(minutes=10),
        ),
        Job(
            "rollups",
            "Count deliveries",
            timedelta(seconds=10),
            "Counts the hours in which generations changed.",
            "Delivery health and the success rate stand still.",
        ),
        Job(
            "failure_groups",
            "Group failures",
            timedelta(seconds=15),
            "Sorts failures into their groups, and opens a group again that has come back.",
            "New failures are in no group, and nobody is told that an old one has come back.",
        ),
        Job(
            "alerts",
            "Look for alerts",
            timedelta(seconds=10),
            "Finds what is wrong, opens alerts for it, and writes the messages.",
            "Nobody is told of losses, budgets or failures, and no alert ends by itself.",
            important=True,
        ),
        Job(
            "fold_costs",
            "Add up costs",
            timedelta(seconds=5),
            "Adds the costs of deliveries to the month's total.",
            "The month's total of deliveries falls behind; limits are kept by old figures.",
            important=True,
        ),
        Job(
            "notify",
            "Send messages",
            timedelta(seconds=5),
            "Sends the messages about alerts by every channel.",
            "Alerts stand on the page, and nobody gets a message.",
            important=True,
            queue="messages",
            longest=timedelta(minutes=5),
        ),
        Job(
            "heal",
            "Heal statuses",
            timedelta(minutes=1),
            "Sets statuses right that contradict how a delivery ended.",
            "Customers may read a status that is not so.",
        ),
        Job(
            "training_counts",
            "Count trainings",
            timedelta(minutes=1),
            "Keeps the company's own counts of LoRAs by user and month.",
            "The company's own counts of LoRAs fall behind; our limits are kept all the same.",
        ),
        Job(
            "balances",
            "Read balances",
            timedelta(minutes=10),
            "Reads how many credits are left at KIE.",
            "Nobody notices when KIE's credits run out.",
        ),
        Job(
            "sweep_trainings",
            "End pods of nobody",
            timedelta(minutes=5),
            "Ends pods that belong to no training.",
            "A forgotten pod runs on, and costs money every hour.",
            important=True,
        ),
        Job(
            "adopt",
            "Adopt generations",
            timedelta(hours=1),
            "Takes up generations that the company's application has begun and left.",
            "Those that the application has left behind stay undelivered.",
        ),
        Job(
            "adopt_trainings",
            "Adopt trainings",
            timedelta(minutes=1),
            "Takes up trainings that were begun elsewhere.",
            "Trainings that were begun elsewhere are not followed.",
            queue="long",
            longest=_LONG,
        ),
        Job(
            "publish_samples",
            "Publish samples",
            timedelta(minutes=1),
            "Adds the judged test images of published LoRAs to their cards at Hugging Face.",
            "Published LoRAs stay without their images.",
            queue="long",
            longest=_LONG,
        ),
        Job(
            "clean_trainings",
            "Clean up after trainings",
            timedelta(hours=1),
            "Takes away archives of images and test pictures that no training needs any more.",
            "They stay in the storage, and cost a little.",
            queue="long",
            longest=_LONG,
        ),
        Job(
            "prove_totals",
            "Prove the totals",
            timedelta(days=1),
            "Proves that each month's total is the sum of its lines.",
            "A total that is wrong is not noticed.",
            queue="long",
            longest=_LONG,
        ),
        Job(
            "pod_bills",
            "Read pods' bills",
            timedelta(hours=1),
            "Compares what pods cost with RunPod's bills.",
            "What pods cost stays an estimate.",
            queue="long",
            longest=_LONG,
        ),
        Job(
            "prune",
            "Forget what is over",
            timedelta(hours=1),
            "Deletes timelines, callbacks, drafts and alerts that are older than the settings say.",
            "Tables that grow by themselves go on growing.",
            queue="long",
            longest=_LONG,
        ),
        Job(
            "storage_usage",
            "Measure the storage",
            timedelta(hours=1),
            "Counts the files and bytes of every bucket.",
            "What is stored is shown as it was.",
            queue="long",
            longest=_LONG,
        ),
        Job(
            "library",
            "Count the library",
            timedelta(hours=1),
            "Counts what is popular in the library of LoRAs, and how much it holds.",
            "Popularity and the library's cost stand still.",
            queue="long",
            longest=_LONG,
        ),
        Job(
            "prove_weights",
            "Prove the weights",
            timedelta(minutes=5),
            "Reads weight files and compares them with their hash, each once a week.",
            "A weight file that is missing or changed is not noticed.",
            queue="long",
            longest=_LONG,
        ),
    )
}


def slot_of(every: timedelta, now: datetime) -> datetime:
    """The start of the slot of that length that `now` lies in, the same for every clock."""
    seconds = every.total_seconds()
    return datetime.fromtimestamp(now.timestamp() // seconds * seconds, UTC)
