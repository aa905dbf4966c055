"""Every way in which the trainers and the hub misbehave; each row says what a training must come to."""

from core.sandbox.fault import Argument, Fault, Group, Place, Value

_P = Place
SUBMITS = (_P.FAL_SUBMIT, _P.REPLICATE_SUBMIT, _P.RUNPOD_SUBMIT)
READS = (_P.FAL_READ, _P.REPLICATE_READ, _P.RUNPOD_READ)
CANCELS = (_P.FAL_CANCEL, _P.REPLICATE_CANCEL, _P.RUNPOD_CANCEL)
HUB = (_P.HUB_COMMIT, _P.HUB_OTHER)
CALLS = (*SUBMITS, *READS, *CANCELS, *HUB)
TRAININGS = (_P.FAL_TRAINING, _P.REPLICATE_TRAINING, _P.RUNPOD_TRAINING)
# Those whose service sends webhooks.
TELLING = (_P.FAL_TRAINING, _P.FAL_IMAGE, _P.FAL_FILM, _P.REPLICATE_TRAINING)

COMPLETES = "Completed, with one paid training."
FAILS = "Failed, with the provider's own words and its money settled."
NEVER_BEGUN = "Nothing was begun: sent again later, or failed with its money given back."
UNKNOWN = "Found again by webhook or list, else it needs attention; never sent twice."


def _reach(
    name: str,
    title: str,
    line: str,
    argument: Argument = "",
    default: Value = None,
    *,
    ends: str = NEVER_BEGUN,
    places: tuple[Place, ...] = CALLS,
    usual: tuple[Place, ...] = SUBMITS,
) -> Fault:
    return Fault(name, Group.TRAINERS, title, line, places, usual, argument, default, ends=ends)


def _run(
    name: str,
    title: str,
    line: str,
    ends: str,
    argument: Argument = "",
    default: Value = None,
    *,
    places: tuple[Place, ...] = TRAININGS,
    elsewhere: tuple[Place, ...] = (),
    group: Group = Group.TRAININGS,
) -> Fault:
    """A fault of a whole run, which strikes at `places` unless somebody names one of `elsewhere`."""
    return Fault(name, group, title, line, (*places, *elsewhere), places, argument, default, ends=ends)


TRAINING_FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        _reach(
            "trainer_late",
            "The service answers late",
            "Every call waits so many seconds for its answer.",
            "seconds",
            2.0,
            ends=COMPLETES,
            usual=CALLS,
        ),
        _reach(
            "trainer_dead",
            "The service hangs up",
            "The connection closes without an answer; nothing was accepted.",
            ends=UNKNOWN,
            usual=CALLS,
        ),
        _reach("trainer_rate_limited", "The service says “too many”", "429: the call is rejected."),
        _reach(
            "trainer_error",
            "The service answers with an error status",
            "A real HTTP status from 400 to 599; nothing was accepted.",
            "status",
            503,
        ),
        _reach(
            "trainer_html",
            "The service answers with a web page",
            "HTTP 200 whose body is HTML; nothing was accepted.",
            ends=UNKNOWN,
        ),
        _reach(
            "trainer_answer_lost",
            "The service takes the training and never says so",
            "It is accepted and paid, then the connection closes without an answer.",
            ends=UNKNOWN,
            places=SUBMITS,
        ),
        _reach(
            "trainer_accepted_then_error",
            "The service takes the training and answers with an error",
            "It is accepted and paid, the answer is a 5xx.",
            "status",
            502,
            ends=UNKNOWN,
            places=SUBMITS,
        ),
        _reach(
            "no_capacity",
            "RunPod has no such GPU free",
            "400 with the reason in `detail`; nothing was begun.",
            places=(_P.RUNPOD_SUBMIT,),
            usual=(_P.RUNPOD_SUBMIT,),
            ends="Falls back to the next trainer before anything is paid, or fails.",
        ),
        _reach(
            "terminate_fails",
            "RunPod does not end a pod",
            "The first so many tries to terminate a pod answer 500, and it goes on costing.",
            "number",
            2,
            places=(_P.RUNPOD_TRAINING,),
            usual=(_P.RUNPOD_TRAINING,),
            ends="Completed; the pod is terminated at a later try.",
        ),
        _reach(
            "publish_fails",
            "Hugging Face refuses the upload",
            "The commit answers with this status.",
            "status",
            500,
            places=(_P.HUB_COMMIT,),
            usual=(_P.HUB_COMMIT,),
            ends="Completed, and published at a later try; the weights are kept meanwhile.",
        ),
        _run(
            "training_fails",
            "The training fails",
            "It ends with an error of the provider's own: fal says COMPLETED and an error, a pod EXITED.",
            FAILS,
            elsewhere=(_P.FAL_IMAGE, _P.FAL_FILM),
        ),
        _run(
            "training_slow",
            "The training is slow",
            "It takes so many seconds.",
            COMPLETES,
            "seconds",
            120.0,
        ),
        _run(
            "training_queued",
            "The training never leaves the queue",
            "It waits until it is finished by hand; a pod stays PROVISIONING.",
            "Cancelled at the trainer's ceiling, and failed.",
        ),
        _run(
            "pod_never_runs",
            "The pod never runs",
            "It stays STARTING until it is finished by hand, and costs.",
            "Terminated and failed: no heartbeat came.",
            places=(_P.RUNPOD_TRAINING,),
        ),
        _run(
            "weights_truncated",
            "Half of the weights",
            "The file is half under a length that agrees; a pod uploads half.",
            "Fetched again, then failed: the file is no whole safetensors file.",
        ),
        _run(
            "weights_not_safetensors",
            "The weights are something else",
            "A web page in the weights' place.",
            "Failed: the file is no safetensors file.",
        ),
        _run(
            "weights_gone",
            "The weights are gone",
            "Their address answers 404; a pod uploads nothing.",
            "Failed, with the money settled.",
        ),
        _reach(
            "weights_break_off",
            "The weights' download breaks off",
            "Half the file arrives, then the connection closes.",
            places=(_P.WEIGHTS,),
            usual=(_P.WEIGHTS,),
            ends="Fetched again.",
        ),
        _run(
            "cancel_too_late",
            "The cancel comes too late",
            "The training ends with success the moment it is to be cancelled.",
            "Completed or kept as finished; its money is settled in full.",
        ),
        _run(
            "validation_image_fails",
            "A picture or film at fal fails",
            "The request ends with an error.",
            "A training completes, with a finding about the validation; a generation fails.",
            places=(_P.FAL_IMAGE, _P.FAL_FILM),
        ),
        _run(
            "webhook_never",
            "The webhook never comes",
            "No webhook is ever sent.",
            COMPLETES,
            places=TELLING,
            group=Group.WEBHOOKS,
        ),
        _run(
            "webhook_twice",
            "The webhook comes twice",
            "The same message is sent so many times.",
            COMPLETES,
            "number",
            2,
            places=TELLING,
            group=Group.WEBHOOKS,
        ),
        _run(
            "webhook_forged",
            "Somebody forges a webhook",
            "One that claims success under another's key comes early. The true one follows.",
            COMPLETES,
            places=TELLING,
            group=Group.WEBHOOKS,
        ),
        _run(
            "webhook_unsigned",
            "The webhook is not signed",
            "It carries no signature.",
            COMPLETES,
            places=TELLING,
            group=Group.WEBHOOKS,
        ),
        _run(
            "webhook_late",
            "The webhook comes late",
            "It comes so many seconds after the training has ended.",
            COMPLETES,
            "seconds",
            30.0,
            places=TELLING,
            group=Group.WEBHOOKS,
        ),
    )
}
