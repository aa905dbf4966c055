"""What the files of each bucket are for, told by the bucket and the ending of the path."""

RESULT_IMAGE = "result_image"
RESULT_VIDEO = "result_video"
CHARACTER_REFERENCE = "character_reference"
TRAINING_IMAGE = "training_image"
TRAINING_ZIP = "training_zip"
WEIGHTS = "weights"
VALIDATION_IMAGE = "validation_image"
OTHER = "other"

# The purposes that a bucket's files can have; the first is that of any ending without one of its own.
PURPOSES: dict[str, tuple[str, ...]] = {
    "generations": (RESULT_IMAGE, RESULT_VIDEO),
    "character-references": (CHARACTER_REFERENCE, TRAINING_ZIP),
    "lora-training-images": (TRAINING_IMAGE,),
    "lora-models": (WEIGHTS,),
    "lora-validation": (VALIDATION_IMAGE,),
}
_BY_ENDING = {
    "mp4": RESULT_VIDEO,
    "mov": RESULT_VIDEO,
    "webm": RESULT_VIDEO,
    "zip": TRAINING_ZIP,
}


def ending_of(path: str) -> str:
    """What stands after the last dot of the file's name, in lower case; empty for none."""
    return path.rpartition("/")[2].rpartition(".")[2].lower() if "." in path.rpartition("/")[2] else ""


def purpose_of(bucket: str, ending: str) -> str:
    """What a file with this ending in this bucket is for."""
    purposes = PURPOSES.get(bucket, (OTHER,))
    special = _BY_ENDING.get(ending, purposes[0])
    return special if special in purposes else purposes[0]
