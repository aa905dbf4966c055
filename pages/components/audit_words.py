"""What was done, in words, and where the thing stands that it was done to."""

from urllib.parse import quote

from core.trail import Line

WORDS: dict[str, str] = {
    "alert.acknowledge": "acknowledged an alert",
    "alert.test": "sent a test message",
    "bucket.mend": "mended a bucket",
    "budget.correct": "corrected a line of the ledger",
    "budget.limit": "changed a budget",
    "budget.override": "allowed more than the budget",
    "budget.override_ended": "took an override back",
    "budget.price": "changed a price",
    "failure.acknowledge": "took on a failure group",
    "failure.ignore": "had a failure group ignored",
    "failure.reopen": "opened a failure group again",
    "failure.resolve": "called a failure group resolved",
    "generation.create": "started a generation",
    "generation.fetch_again": "had a file fetched again",
    "generation.sync": "brought a generation up to date",
    "job.pause": "paused a job",
    "job.resume": "had a job go on",
    "job.run": "had a job run",
    "lora.archive": "archived a LoRA",
    "lora.begin_version": "began a version of a LoRA",
    "lora.describe": "described a LoRA",
    "lora.dismiss_reports": "found nothing wrong with a LoRA",
    "lora.hide": "hid a LoRA",
    "lora.rate": "rated a LoRA",
    "lora.report": "reported a LoRA",
    "lora.set_private": "changed whether a LoRA is private",
    "lora.show_again": "showed a LoRA again",
    "lora.tag": "tagged a LoRA",
    "lora.take_rating_back": "took a rating back",
    "lora.unarchive": "took a LoRA back from the archive",
    "plan.abort": "aborted a bulk resync",
    "plan.pause": "paused a bulk resync",
    "plan.resume": "had a bulk resync go on",
    "plan.start": "started a bulk resync",
    "rehearsal.begin": "began a rehearsal",
    "rehearsal.clear": "cleared a rehearsal",
    "rehearsal.faults": "disturbed a rehearsal",
    "rehearsal.traffic": "changed a rehearsal's traffic",
    "staff.add": "let somebody in",
    "staff.deactivate": "took somebody's access away",
    "staff.end_sign_ins": "ended sign-ins",
    "staff.first_admin": "made the first admin",
    "staff.reactivate": "gave access back",
    "staff.roles": "changed roles",
    "staff.sign_in": "signed in",
    "staff.sign_out": "signed out",
    "training.cancel": "cancelled a training",
    "training.image_approved": "approved an image",
    "training.image_removed": "took an image away",
    "training.images_added": "added images",
    "training.images_asked": "had images generated",
    "training.images_given_up": "gave generated images up",
    "training.images_look_again": "looked for generated images again",
    "training.judge": "judged a test image",
    "training.launch": "launched a training",
    "training.look_again": "looked for a training again",
    "training.publish_samples": "had test images published",
    "training.resume": "had a training go on",
}
SOURCE_WORDS = {"page": "on a page", "api": "by the API", "command": "by a command", "job": "by itself"}
# Where a thing stands, by its type; `{}` is its id.
PLACES: dict[str, str] = {
    "generation": "debug_sync?q={}",
    "training": "training_runs?run={}",
    "lora_model": "lora_library?lora={}",
    "person": "people?person={}",
    "alert": "alerts",
    "budget": "budget",
    "price": "budget",
    "ledger line": "budget",
    "plan": "bulk_resync?plan={}",
    "failure": "failure_groups?group={}",
    "job": "scheduler?job={}",
    "bucket": "configuration",
}


def action(code: str | None) -> str:
    """What was done; a code that has no words yet stands as it is."""
    return WORDS.get(code or "", (code or "did something").replace("_", " ").replace(".", ": "))


def called(line: Line) -> str:
    """The name or the number of what it was done to, with its unit where it is a bare one."""
    whole = line.object_id or ""
    return f"seed {whole}" if line.object_type == "rehearsal" and whole.isdigit() else whole


def place(line: Line) -> str | None:
    """The address of what it was done to; None for what has no page."""
    found = PLACES.get(line.object_type or "")
    return found.format(quote(line.object_id or "", safe="")) if found else None
