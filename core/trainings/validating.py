"""Three test images of a stored LoRA, each paid once, for a person to judge."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from sqlalchemy import Connection

from core import database, log
from core.errors import ErrorCategory, NotFound, ProviderError, StorageError
from core.providers.fal_images import FalImages, ImageRecord
from core.providers.training import Failure, Submission, TrainingState
from core.storage.mover import UnusableFile, store_stream
from core.trainings import calls, costs, moving, policy, reasons
from core.trainings.models import Call, CallState, Event, EventKind, Purpose, Run, RunState, Trouble
from core.trainings.repository import SQL, add_event, pictures_of, say, trouble_columns
from core.trainings.storing import owner_folder
from core.trainings.tools import MAX_PICTURE, PICTURES, WEIGHTS, Tools

# Near, far and from the side: what a likeness can fail in.
PROMPTS = (
    "portrait photo of {trigger}, looking into the camera, soft daylight, detailed face",
    "full body photo of {trigger} walking through a city street at dusk",
    "photo of {trigger} in profile, in a studio with a plain grey background",
)
ANEW = "Retry from the test images: only they are made anew, nothing is trained again."
_log = log.get(__name__)


def advance(run: Run, tools: Tools) -> None:
    """The step of a leased run whose LoRA is tested: every picture one step further, all three at once."""
    images = tools.images
    if images is None or run.weights_path is None:
        moving.try_again(run, _cannot(images is None), tools, after=policy.SLOW_POLL)
        return
    pictures = pictures_of(calls.of(run.id))
    if len(pictures) < policy.PICTURES:
        with database.transaction() as connection:
            write(connection, run, pictures, tools)
        pictures = pictures_of(calls.of(run.id))
    try:
        with moving.kept(run, tools), ThreadPoolExecutor(policy.PICTURES) as pool:
            troubles = list(pool.map(lambda call: _advance_one(run, call, images, tools), pictures))
    except (StorageError, NotFound) as error:
        moving.try_again(run, _not_kept(error), tools)
        return
    _conclude(run, [trouble for trouble in troubles if trouble], tools)


def write(connection: Connection, run: Run, known: list[Call], tools: Tools, *, anew: bool = False) -> None:
    """Write the intents of the pictures that are not there yet.

    With `anew` of those too that did not succeed, or were judged.
    """
    there = {call.n: call for call in known}
    for n, prompt in enumerate(PROMPTS):
        call = there.get(n)
        if call is not None and not (anew and _is_spent(call)):
            continue
        calls.write(
            connection,
            run,
            Purpose.PICTURE,
            n,
            call.round + 1 if call else 1,
            tools.clock(),
            prompt=prompt.format(trigger=run.trigger_word),
        )


def _is_spent(call: Call) -> bool:
    failed = call.state.is_over and call.state is not CallState.SUCCEEDED
    return failed or call.shows is not None or (call.state is CallState.SUCCEEDED and not call.result_url)


def _advance_one(run: Run, call: Call, images: FalImages, tools: Tools) -> Trouble | None:
    """One picture one step further; the trouble for which it did not get on."""
    match call.state:
        case CallState.INTENT:
            return _send(run, call, images, tools)
        case CallState.SENDING:
            calls.look(run, call, lambda _: None, lambda found: _is_there(found, images), tools)
            return None
        case CallState.ACCEPTED:
            return _read(run, call, images, tools)
        case CallState.SUCCEEDED if call.path is None and call.result_url:
            return _keep(run, call, tools)
    return None


def _send(run: Run, call: Call, images: FalImages, tools: Tools) -> Trouble | None:
    assert run.weights_path is not None
    lora_url = tools.link(WEIGHTS, run.weights_path)
    webhook = tools.webhook_url("fal", call.id)

    def post(begun: Call) -> Submission:
        return images.submit(begun.prompt or "", lora_url, begun.seed or 0, policy.PICTURE_SIZE, webhook)

    return calls.send(run, call, post, tools)


def _is_there(submission: Submission, images: FalImages) -> bool:
    try:
        return images.read(submission).state is not TrainingState.NOT_FOUND
    except ProviderError:
        return False


def _read(run: Run, call: Call, images: FalImages, tools: Tools) -> Trouble | None:
    late = policy.picture_is_late(call, tools.clock())
    try:
        if late:
            images.cancel(call.submission)
        record = images.read(call.submission)
    except ProviderError as error:
        return calls.trouble_of(error)
    trouble = _wrong_with(record, late=late)
    if trouble is None and not (record.state is TrainingState.SUCCEEDED and record.urls):
        return None
    state = CallState.FAILED if trouble else CallState.SUCCEEDED
    end_call(run, call, state, record.state, trouble, tools, url=record.urls[0] if not trouble else None)
    if trouble:
        return trouble
    [ended] = [one for one in calls.of(run.id) if one.id == call.id]
    return _keep(run, ended, tools)


def _wrong_with(record: ImageRecord, *, late: bool) -> Trouble | None:
    """Why there will be no picture; None while there may be one: a late one is over only when fal says so."""
    match record.state:
        case TrainingState.CANCELLED | TrainingState.NOT_FOUND if late:
            return _bad_picture("fal did not make the image in time, and was told to stop.", retryable=True)
        case TrainingState.FAILED | TrainingState.CANCELLED:
            return _not_made(record.failure)
        case TrainingState.SUCCEEDED if record.flagged:
            return _bad_picture("fal's safety checker blackened the image.", retryable=True)
        case TrainingState.SUCCEEDED if not record.urls:
            return _bad_picture(record.result_problem or "fal named no image.", retryable=True)
    return None


def _not_made(failure: Failure | None) -> Trouble:
    """fal's own refusal of a picture; the training before it has succeeded."""
    said = reasons.of_failure(failure, "fal")
    return replace(said, message=f"A test image was not made at fal: {said.words}", next_action=ANEW)


def _bad_picture(message: str, *, retryable: bool) -> Trouble:
    return Trouble(message, ErrorCategory.SERVICE_ERROR, retryable, ANEW)


def end_call(
    run: Run,
    call: Call,
    state: CallState,
    at_fal: TrainingState,
    trouble: Trouble | None,
    tools: Tools,
    *,
    url: str | None = None,
) -> None:
    """End an accepted picture and settle what it cost, once."""
    with database.transaction() as connection:
        _end_call(connection, run, call, state, at_fal, trouble, tools, url)


def end_unmade(connection: Connection, run: Run, call: Call, tools: Tools) -> None:
    """End an accepted picture that was not made, as far as anybody knows, in the caller's transaction."""
    _end_call(connection, run, call, CallState.CANCELLED, TrainingState.CANCELLED, None, tools, None)


def _end_call(
    connection: Connection,
    run: Run,
    call: Call,
    state: CallState,
    at_fal: TrainingState,
    trouble: Trouble | None,
    tools: Tools,
    url: str | None,
) -> None:
    now = tools.clock()
    columns = trouble_columns(trouble)
    line = costs.picture_cost(connection, call, at_fal, now)
    ended = SQL["end_call"].first(
        connection,
        id=call.id,
        now=now,
        state=state,
        progress=100 if url else None,
        result_url=url,
        result_kind="image" if url else None,
        category=columns["category"],
        code=trouble.code if trouble else None,
        retryable=columns["retryable"],
        words=columns["words"],
        cost_usd=line.amount_usd,
    )
    if ended is None:
        return
    SQL["released_call"].first(connection, id=call.id, now=now)
    costs.settle(connection, run, call, line, now)
    detail = {"usd": str(line.amount_usd), "call": str(call.id), "n": call.n}
    add_event(connection, run, now, Event(EventKind.SETTLED, detail=detail))


def _keep(run: Run, call: Call, tools: Tools) -> Trouble | None:
    """Fetch a finished picture and keep it where the run and its number decide."""
    assert call.result_url is not None
    try:
        with tools.fetch.open_stream(call.result_url) as source:
            stored = store_stream(
                source.chunks,
                source.content_length,
                tools.storage,
                PICTURES,
                lambda kind: f"{owner_folder(run)}/{run.lora_id}/{call.id}_{call.n + 1}.{kind.extension}",
                max_bytes=MAX_PICTURE,
            )
    except (ProviderError, StorageError, UnusableFile) as error:
        category = getattr(error, "category", ErrorCategory.FILE_ERROR)
        return Trouble(
            f"A test image could not be stored: {error.message}",
            category,
            retryable=getattr(error, "retryable", True),
            next_action="Mend what it names, then start it again.",
        )
    now = tools.clock()
    with database.transaction() as connection:
        kept = SQL["store_picture"].first(
            connection, id=call.id, bucket=stored.bucket, path=stored.path, url=stored.url
        )
        if kept is not None:
            detail = {"n": call.n, "path": stored.path}
            add_event(
                connection, run, now, Event(EventKind.PICTURE_STORED, bytes=stored.bytes, detail=detail)
            )
    return None


def _conclude(run: Run, troubles: list[Trouble], tools: Tools) -> None:
    """What the pictures together mean for the run."""
    known = calls.of(run.id)
    pictures = pictures_of(known)
    if len(pictures) == policy.PICTURES and all(call.path for call in pictures):
        _show(run, pictures, tools)
        return
    lost = next((call for call in pictures if call.state is CallState.SENDING), None)
    failed = [call for call in pictures if call.state.is_over and call.state is not CallState.SUCCEEDED]
    again = [call for call in failed if _may_make_again(run, call, known)]
    if any(policy.picture_is_stuck(call, tools.clock()) for call in pictures):
        moving.begin_ending(run, RunState.FAILED, _stuck(), tools)
    elif any(call.state is CallState.UNKNOWN for call in pictures):
        moving.attention(run, _unknown(), tools)
    elif again:
        _make_again(run, again, tools)
    elif lost is not None and _has_waited(lost, tools):
        calls.wait_for_answer(run, lost, tools)
    elif failed and not calls.in_flight(pictures):
        moving.begin_ending(run, RunState.FAILED, _trouble_of(failed[0], troubles), tools)
    elif troubles and not failed:
        moving.try_again(run, troubles[0], tools)
    else:
        moving.release(run, tools.clock() + policy.PICTURE_POLL, tools)


def _has_waited(call: Call, tools: Tools) -> bool:
    return tools.clock() >= call.begun_at + policy.lost_answer_wait(call)


def _may_make_again(run: Run, call: Call, known: list[Call]) -> bool:
    """A picture that failed is made once more within what is reserved, where that may help."""
    rounds = [
        one
        for one in known
        if one.purpose is Purpose.PICTURE and one.n == call.n and one.reservation_key == run.reservation_key
    ]
    return bool(call.failure_retryable) and call.cost_usd == 0 and len(rounds) < policy.MAX_ROUNDS


def _make_again(run: Run, failed: list[Call], tools: Tools) -> None:
    now = tools.clock()
    with database.transaction() as connection:
        for call in failed:
            calls.write(connection, run, Purpose.PICTURE, call.n, call.round + 1, now, prompt=call.prompt)
            say(connection, run, now, f"test image {call.n + 1} is made once more", level="warning")
            add_event(
                connection, run, now, Event(EventKind.RETRIED, words=call.failure_words, detail={"n": call.n})
            )
        moving.release(run, now + policy.PICTURE_POLL, tools, connection)


def _show(run: Run, pictures: list[Call], tools: Tools) -> None:
    """All three are here: nothing more is paid, and a person judges them."""
    now = tools.clock()
    with database.transaction() as connection:
        if not moving.move(connection, run, RunState.AWAITING_VERDICT, run.stage, now):
            return
        urls = [call.url for call in pictures]
        SQL["set_pictures"].run(connection, lora_id=run.lora_id, urls=urls, passed=False, now=now)
        SQL["progress_stage"].run(
            connection,
            run_id=run.id,
            stage=run.stage,
            progress=90,
            time_left=None,
            **trouble_columns(None),
        )
        costs.close(connection, run, "every call is paid", now)
        say(connection, run, now, "three test images wait for a verdict")


def _trouble_of(call: Call, troubles: list[Trouble]) -> Trouble:
    if troubles:
        return troubles[0]
    category = ErrorCategory(call.failure_category or ErrorCategory.SERVICE_ERROR)
    words = call.failure_words or "fal gave no reason."
    return Trouble(
        f"A test image was not made: {words}",
        category,
        bool(call.failure_retryable),
        ANEW,
        words,
    )


def _stuck() -> Trouble:
    return Trouble(
        "fal neither makes a test image nor confirms that it was stopped.",
        ErrorCategory.TIMEOUT,
        retryable=True,
        next_action="Start it again once it has ended: only the test images are made anew.",
    )


def _unknown() -> Trouble:
    return Trouble(
        "fal's answer to a test image was lost, and nothing could tell whether it is made.",
        ErrorCategory.NETWORK,
        retryable=False,
        next_action="Say that nothing runs at fal; the image is then asked for anew.",
    )


def _cannot(no_fal: bool) -> Trouble:
    if no_fal:
        what, action = "FAL_KEY is not set, and test images are made at fal.", "Set it."
        return Trouble(what, ErrorCategory.AUTHENTICATION, retryable=True, next_action=action)
    return Trouble(
        "The LoRA has no stored weights.",
        ErrorCategory.FILE_ERROR,
        retryable=False,
        next_action="Start it again: the weights are fetched anew.",
    )


def _not_kept(error: StorageError | NotFound) -> Trouble:
    return Trouble(
        f"Our storage did not do it: {error.message}",
        ErrorCategory.FILE_ERROR,
        retryable=True,
        next_action="Mend the storage; it is tried again by itself.",
    )
