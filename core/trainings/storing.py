"""From the provider's weights to our storage: streamed, taken out of their archive, checked, hashed, kept."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from core import log
from core.errors import ErrorCategory, InvalidInput, ProviderError, StorageError
from core.providers.fetch import FetchFailed
from core.trainings import calls, moving, pushing, releasing, weights
from core.trainings.candidates import scratch
from core.trainings.models import Call, CallState, Event, EventKind, Purpose, Run, Trouble
from core.trainings.repository import SQL, say
from core.trainings.sending import PUSHED
from core.trainings.tools import MAX_WEIGHTS, WEIGHTS, Tools

_CHUNK = 1024 * 1024
_log = log.get(__name__)


def advance(run: Run, tools: Tools) -> None:
    """The step of a leased run whose training has succeeded."""
    call = _source(calls.of(run.id))
    if call is None:
        moving.try_again(run, _no_weights(), tools)
        return
    try:
        with moving.kept(run, tools), scratch(tools.folder) as folder:
            file = _fetch(run, call, folder, tools)
            stored = _keep(run, file, tools)
    except InvalidInput as error:
        moving.try_again(run, _unusable(error), tools)
        return
    except (ProviderError, StorageError) as error:
        moving.try_again(run, _not_moved(error), tools)
        return
    _record(run, stored, tools)
    releasing.give_back(run, [call], tools)
    if call.result_url == PUSHED:
        tools.storage.delete(WEIGHTS, pushing.incoming_path(call.id))


def _source(known: list[Call]) -> Call | None:
    """The newest training whose provider named weights."""
    return next(
        (
            call
            for call in reversed(known)
            if call.purpose is Purpose.TRAINING and call.state is CallState.SUCCEEDED and call.result_url
        ),
        None,
    )


def _fetch(run: Run, call: Call, folder: Path, tools: Tools) -> Path:
    """The weights as one safetensors file, by a fresh link when the first is gone."""
    target = folder / "fetched"
    assert call.result_url is not None
    kind = call.result_kind
    if call.result_url == PUSHED:
        copy_out(pushing.incoming_path(call.id), target, tools)
        return target
    try:
        _download(call.result_url, target, tools)
    except FetchFailed as failure:
        record = tools.trainers[call.provider].read(call.submission) if failure.gone else None
        if record is None or not record.weights_url:
            raise
        kind = record.weights_kind
        _download(record.weights_url, target, tools)
    return weights.from_tar(target, folder) if kind == "tar" else target


def _download(url: str, target: Path, tools: Tools) -> None:
    size = 0
    with tools.fetch.open_stream(tools.absolute(url)) as source, target.open("wb") as file:
        for chunk in source.chunks:
            size += len(chunk)
            if size > MAX_WEIGHTS:
                raise InvalidInput("weights", f"The weights have more than {MAX_WEIGHTS / 1e9:.1f} GB.")
            file.write(chunk)
        if source.content_length is not None and size != source.content_length:
            raise InvalidInput(
                "weights", f"The weights arrived cut off: {size:,} of {source.content_length:,} bytes."
            )


class _Stored:
    """Weights that are in our storage now."""

    def __init__(self, path: str, size: int, sha256: str, base: str | None) -> None:
        self.path, self.bytes, self.sha256, self.base = path, size, sha256, base


def _keep(run: Run, file: Path, tools: Tools) -> _Stored:
    """Check, hash and upload the file to where its content alone decides; the same again changes nothing."""
    facts = weights.read_header(file)
    with file.open("rb") as source:
        sha256 = hashlib.file_digest(source, "sha256").hexdigest()
    size = file.stat().st_size
    path = weights_path(run, sha256)
    there = tools.storage.stat(WEIGHTS, path)
    if there is None or there.bytes != size:
        with tools.storage.upload(WEIGHTS) as upload, file.open("rb") as source:
            while chunk := source.read(_CHUNK):
                upload.write(chunk)
            upload.commit(path, "application/octet-stream")
    return _Stored(path, size, sha256, facts.base_model_guess)


def owner_folder(run: Run) -> str:
    """The first part of a storage path: the user's id, or ours for LoRAs without one."""
    return str(run.user_id) if run.user_id else "studio-ops"


def weights_path(run: Run, sha256: str) -> str:
    """`{user}/{lora}/{first hex digits of the hash}.safetensors`."""
    return f"{owner_folder(run)}/{run.lora_id}/{sha256[:16]}.safetensors"


def _address(path: str, tools: Tools) -> str:
    """What stands in `storage_url`: the file's address; of a private bucket, whose links expire, its name."""
    try:
        return tools.storage.url(WEIGHTS, path)
    except StorageError:
        return f"storage://{WEIGHTS}/{path}"


def _record(run: Run, stored: _Stored, tools: Tools) -> None:
    def also(connection: Connection) -> None:
        SQL["store_weights"].run(
            connection,
            lora_id=run.lora_id,
            path=stored.path,
            url=_address(stored.path, tools),
            bytes=stored.bytes,
            sha256=stored.sha256,
            base_model=stored.base,
            now=tools.clock(),
        )
        say(connection, run, tools.clock(), f"weights stored: {stored.bytes:,} bytes, sha256 {stored.sha256}")

    detail = {"path": stored.path, "sha256": stored.sha256, "base_model": stored.base}
    moving.finish_stage(run, tools, Event(EventKind.WEIGHTS_STORED, bytes=stored.bytes, detail=detail), also)


@contextmanager
def local_copy(run: Run, tools: Tools) -> Iterator[Path]:
    """A run's stored weights as a file on this machine, while it is needed."""
    assert run.weights_path is not None
    with scratch(tools.folder) as folder:
        target = folder / "lora.safetensors"
        copy_out(run.weights_path, target, tools)
        yield target


def copy_out(path: str, target: Path, tools: Tools, bucket: str = WEIGHTS) -> None:
    """Weights of our storage, or another bucket's file, as one here. Raises NotFound, StorageError."""
    reader = tools.storage.open(bucket, path)
    try:
        with target.open("wb") as file:
            for chunk in reader.chunks():
                file.write(chunk)
    finally:
        reader.close()


def _no_weights() -> Trouble:
    return Trouble(
        "No training of this run named weights.",
        ErrorCategory.FILE_ERROR,
        retryable=False,
        next_action="Start it again: it is trained anew.",
    )


def _unusable(error: InvalidInput) -> Trouble:
    return Trouble(
        error.message,
        ErrorCategory.FILE_ERROR,
        retryable=True,
        next_action="Look at the file at the provider; start it again to have it fetched anew.",
    )


def _not_moved(error: ProviderError | StorageError) -> Trouble:
    category = error.category if isinstance(error, ProviderError) else ErrorCategory.FILE_ERROR
    retryable = error.retryable or (isinstance(error, FetchFailed) and error.gone)
    return Trouble(
        f"The weights could not be stored: {error.message}",
        category,
        retryable,
        next_action="Mend what it names, then start it again: the training itself is kept.",
        words=getattr(error, "words", ""),
    )
