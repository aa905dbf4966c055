"""Every way in which the sandbox misbehaves: one row each, in the words of the person who turns it."""

from core.sandbox.fault import Argument, Fault, Group, Place, Value
from core.sandbox.training_faults import TRAINING_FAULTS

REQUESTS = (Place.CREATE, Place.READ, Place.FILE, Place.OTHER)
API = (Place.CREATE, Place.READ, Place.OTHER)
METADATA_URL = "http://169.254.169.254/latest/meta-data/"
# What is said out of order, and what is wrong with a forged callback; the first is the default.
ORDERS = ("fail_first", "generating_last")
FORGERIES = ("task", "secret")
# The arguments that have few values, and those.
WORDS: dict[str, tuple[str, ...]] = {"order": ORDERS, "forgery": FORGERIES}


def _at(
    place: Place,
    group: Group,
    name: str,
    title: str,
    line: str,
    argument: Argument = "",
    default: Value = None,
    *,
    sticky: bool = False,
) -> Fault:
    return Fault(name, group, title, line, (place,), (place,), argument, default, sticky)


_G, _P = Group, Place
_CREATE = (Place.CREATE,)

KIE_FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault(
            "latency",
            _G.REACHING,
            "KIE answers late",
            "Every call waits so many seconds for its answer.",
            REQUESTS,
            REQUESTS,
            "seconds",
            2.0,
        ),
        Fault(
            "dead",
            _G.REACHING,
            "KIE hangs up",
            "The connection closes without an answer; nothing was accepted.",
            REQUESTS,
            REQUESTS,
        ),
        Fault(
            "rate_limited",
            _G.REACHING,
            "KIE says “too many”",
            "429: the call is rejected, not queued.",
            API,
            _CREATE,
        ),
        Fault(
            "server_error",
            _G.REACHING,
            "KIE answers with an error status",
            "A real HTTP status, 502 to 504 with a gateway's page; nothing was accepted.",
            REQUESTS,
            _CREATE,
            "status",
            500,
        ),
        Fault(
            "error_in_200",
            _G.REACHING,
            "KIE hides an error in a 200",
            "HTTP 200 whose body carries this error code; 455 is maintenance.",
            API,
            _CREATE,
            "code",
            500,
        ),
        Fault(
            "answer_lost",
            _G.SENDING,
            "KIE takes the request and never says so",
            "The task is accepted and paid, then the connection closes without an answer.",
            _CREATE,
            _CREATE,
        ),
        Fault(
            "accepted_then_error",
            _G.SENDING,
            "KIE takes the request and answers with an error",
            "The task is accepted and paid, the answer is a 5xx.",
            _CREATE,
            _CREATE,
            "status",
            500,
        ),
        _at(_P.TASK, _G.CALLBACKS, "callback_lost", "The callback never comes", "No callback is ever sent."),
        _at(
            _P.TASK,
            _G.CALLBACKS,
            "callback_late",
            "The callback comes late",
            "It comes so many seconds after the task has ended.",
            "seconds",
            30.0,
        ),
        _at(
            _P.TASK,
            _G.CALLBACKS,
            "callback_duplicate",
            "The callback comes several times",
            "The same callback is sent so many times.",
            "number",
            2,
        ),
        _at(
            _P.TASK,
            _G.CALLBACKS,
            "callback_before_answer",
            "The callback overtakes the answer",
            "The task ends at once; its callback is there before createTask's answer.",
        ),
        _at(
            _P.TASK,
            _G.CALLBACKS,
            "callback_reordered",
            "Callbacks come out of order",
            "Fail first: “failed” comes before the true “success”."
            " Generating last: “generating” comes after it.",
            "order",
            ORDERS[0],
        ),
        _at(
            _P.TASK,
            _G.CALLBACKS,
            "callback_forged",
            "Somebody forges a callback",
            "Task: it claims success and names another task. Secret: it carries a wrong one."
            " The true one follows.",
            "forgery",
            FORGERIES[0],
        ),
        _at(
            _P.TASK,
            _G.CALLBACKS,
            "callback_unsigned",
            "The callback is not signed",
            "No signature, although a key for signatures is set.",
        ),
        _at(
            _P.TASK,
            _G.CALLBACKS,
            "callback_replayed",
            "A callback is replayed",
            "The same callback comes again with a signature that is so many seconds old.",
            "seconds",
            3600.0,
        ),
        _at(
            _P.TASK,
            _G.SENDING,
            "record_null",
            "KIE does not know the task yet",
            "“recordInfo is null” for so many seconds after the request.",
            "seconds",
            2.0,
        ),
        _at(
            _P.TASK,
            _G.MAKING,
            "unknown_state",
            "KIE uses a word nobody knows",
            "The task has this state until it is finished by hand.",
            "word",
            "reviewing",
        ),
        _at(_P.TASK, _G.MAKING, "stuck", "KIE never finishes", "It generates until it is finished by hand."),
        _at(
            _P.TASK,
            _G.MAKING,
            "empty_result",
            "KIE finishes with nothing",
            "Success with an empty resultJson.",
        ),
        _at(
            _P.TASK,
            _G.MAKING,
            "provider_fail",
            "KIE fails",
            "The task ends as failed with this code: 400 is its content policy, 500 its own fault.",
            "code",
            500,
        ),
        _at(
            _P.TASK,
            _G.MAKING,
            "multi_result",
            "KIE makes several",
            "The task has so many result files.",
            "number",
            3,
        ),
        _at(
            _P.FILE,
            _G.FILES,
            "truncated_file",
            "The download breaks off",
            "Half the file arrives, then the connection closes.",
        ),
        _at(
            _P.FILE,
            _G.FILES,
            "short_file_ok",
            "Half a file that looks whole",
            "Half the file under a length that agrees.",
            sticky=True,
        ),
        _at(
            _P.FILE,
            _G.FILES,
            "expired_url",
            "The file is gone",
            "Its address answers 403, 404 or 410.",
            "status",
            404,
            sticky=True,
        ),
        _at(
            _P.FILE,
            _G.FILES,
            "html_as_jpg",
            "A web page in the picture's place",
            "An HTML page under a picture's name and type.",
            sticky=True,
        ),
        _at(
            _P.FILE,
            _G.FILES,
            "wrong_content_type",
            "The file comes under a wrong type",
            "The whole file, called this type.",
            "type",
            "text/html",
            sticky=True,
        ),
        _at(
            _P.FILE,
            _G.FILES,
            "redirect_private",
            "The file leads inside the network",
            "Its address redirects to a private one, as an attacker's would.",
            "url",
            METADATA_URL,
            sticky=True,
        ),
        _at(
            _P.FILE,
            _G.FILES,
            "no_content_length",
            "The file's size is not said",
            "It comes in chunks without a length.",
            sticky=True,
        ),
        _at(
            _P.FILE,
            _G.FILES,
            "file_size",
            "The file is large",
            "A valid file of so many bytes; 300000000 is 300 MB.",
            "bytes",
            50_000_000,
            sticky=True,
        ),
        _at(
            _P.STORE,
            _G.OWN,
            "storage_full",
            "Our storage is full",
            "Keeping the file fails as on a disk without room.",
        ),
        _at(
            _P.STORE,
            _G.OWN,
            "storage_error",
            "Our storage fails",
            "Keeping the file fails as on a disk with a fault.",
        ),
        _at(
            _P.FILE,
            _G.OWN,
            "database_cut",
            "The database restarts during a delivery",
            "While a file is fetched, every connection to the database is cut, as by its restart.",
        ),
    )
}

FAULTS: dict[str, Fault] = {**KIE_FAULTS, **TRAINING_FAULTS}
