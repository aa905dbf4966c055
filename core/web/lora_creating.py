"""A LoRA that a customer wants trained: its request read, JSON or a form, its images brought, launched."""

import hashlib
import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from core import settings
from core.access import Actor
from core.errors import InvalidInput, StudioOpsError
from core.loras import requests
from core.providers.http import parse_json
from core.trainings import beforehand, dataset, launch_rules, service
from core.trainings.models import Launch, Run
from core.trainings.tools import Tools
from core.web.lora_shapes import NewLora

MAX_IMAGES = 24
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


class UnusableImages(StudioOpsError):
    """The images are no dataset that can be trained on; the text says why."""

    code = "unusable_images"
    http_status = 422


@dataclass(frozen=True)
class Wanted:
    """What somebody wants trained: the fields, the addresses of its images, and files with their names."""

    fields: NewLora
    files: Sequence[tuple[str, Any]] = field(default=(), repr=False)
    body_sha256: str = ""

    def close(self) -> None:
        """Give the files back, which may lie on disk."""
        for _, file in self.files:
            file.close()


async def read(request: Request) -> Wanted:
    """The request's body. Raises InvalidInput that names the field."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        form = await request.form(max_files=MAX_IMAGES, max_fields=MAX_IMAGES + 8)
        try:
            return _of_form(form)
        except InvalidInput:
            await form.close()
            raise
    if kind != "application/json":
        raise InvalidInput(
            "body", "Send JSON (application/json), or a form with files (multipart/form-data)."
        )
    raw = await request.body()
    try:
        given = parse_json(raw.decode())
    except UnicodeDecodeError:
        given = None
    if not isinstance(given, dict):
        raise InvalidInput("body", "The body is not a JSON object.")
    return Wanted(_checked(given), body_sha256=_digest(given, ()))


def _of_form(form: FormData) -> Wanted:
    given: dict[str, Any] = {}
    urls: list[str] = []
    files: list[tuple[str, Any]] = []
    digests: list[str] = []
    for name, value in form.multi_items():
        if name in {"character_images", "character_images[]"}:
            if isinstance(value, UploadFile):
                files.append((value.filename or "image", value.file))
                digests.append(_digest_of(value.file))
            else:
                urls.append(value)
        elif isinstance(value, UploadFile):
            raise InvalidInput(name[:40], f"“{name[:40]}” must be text, not a file.")
        else:
            given[name] = value
    given = {**given, "character_images": urls}
    return Wanted(_checked(given), tuple(files), _digest(given, digests))


def _digest_of(file: IO[bytes]) -> str:
    """The hash of a file, which is read from its beginning again afterwards."""
    digest = hashlib.sha256()
    while chunk := file.read(1024 * 1024):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()


def _digest(given: dict[str, Any], files: Sequence[str]) -> str:
    told = json.dumps([given, list(files)], sort_keys=True, default=str)
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


def _checked(given: dict[str, Any]) -> NewLora:
    try:
        found = NewLora.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise InvalidInput(where[:80], f"{where[:80]}: {first['msg']}") from None
    for name in ("name", "description", "trigger_word"):
        text = getattr(found, name)
        if text is not None and any("\ud800" <= c <= "\udfff" or c == "\x00" for c in text):
            raise InvalidInput(name, f"{name} holds characters that are no text.")
    return found


def key_of(request: Request) -> str | None:
    """The caller's Idempotency-Key. Raises InvalidInput for one that is none."""
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidInput("Idempotency-Key", "An Idempotency-Key has 1 to 200 visible ASCII characters.")
    return key


def create(actor: Actor, wanted: Wanted, key: str | None, tools: Tools) -> tuple[Run, bool]:
    """Begin the training, once a key; whether it was asked for before.

    Steps: 1. the key's draft; 2. what would be refused in any case; 3. the images; 4. the launch. Each may be
    done again. Raises the refusals of a launch, UnusableImages, KeyReused.
    """
    claim = (
        requests.claim(actor.id, key, wanted.body_sha256, tools.clock())
        if key
        else requests.Claim(uuid.uuid4(), repeated=False)
    )
    launch = Launch(
        request_key=f"api:{claim.draft_id}",
        draft_id=claim.draft_id,
        name=wanted.fields.name.strip(),
        trigger_word=wanted.fields.trigger_word or trigger_word_of(wanted.fields.name),
        trainer=settings.current().default_trainer,
        steps=launch_rules.USUAL_STEPS,
        description=(wanted.fields.description or "").strip() or None,
    )
    if not beforehand.is_launched(actor, launch):
        beforehand.check(actor, launch, tools)
        _bring(actor, wanted, launch, tools)
    try:
        return service.launch(actor, launch, tools), claim.repeated
    except InvalidInput as fault:
        raise UnusableImages(fault.message) if fault.field == "images" else fault from None


def _bring(actor: Actor, wanted: Wanted, launch: Launch, tools: Tools) -> None:
    """The images into the draft; those that are there already count once."""
    urls, user_id = wanted.fields.character_images, uuid.UUID(actor.id)
    if not urls and not wanted.files:
        raise UnusableImages(
            "A LoRA is trained on images of its character: give at least four, better six to ten, as"
            " character_images."
        )
    if len(urls) + len(wanted.files) > MAX_IMAGES:
        raise InvalidInput("character_images", f"At most {MAX_IMAGES} images at once.")
    notes: tuple[str, ...] = ()
    try:
        if wanted.files:
            files = [dataset.NewFile(name, file) for name, file in wanted.files]
            notes += dataset.add_files(actor, launch.draft_id, files, tools.dataset, user_id=user_id).notes
        if urls:
            notes += dataset.add_urls(actor, launch.draft_id, urls, tools.dataset, user_id=user_id).notes
        trainer = tools.trainers.get(launch.trainer)
        found = beforehand.problems(actor, launch.draft_id, trainer.bounds if trainer else None)
    except InvalidInput as fault:
        raise UnusableImages(fault.message) from None
    if found:
        raise UnusableImages(" ".join((*found, *notes))[:1_500])
    if not wanted.fields.own_images_only and (more := beforehand.lacking(actor, launch.draft_id)):
        raise UnusableImages(
            "Fewer than five images are filled up with generated ones, which takes a person's approval."
            f" Send {more} more, or own_images_only = true to train on these alone."
        )


def trigger_word_of(name: str) -> str:
    """A word that nobody writes, made of a name: its letters and a few of its hash."""
    letters = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:20].strip("_")
    return f"{letters or 'lora'}_{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:4]}"
