"""KIE.ai's codes, the same in an HTTP status, in a body's `code` and in a task's `failCode`.

https://docs.kie.ai: the pages do not agree on whether an error comes with HTTP 200 or with its own
status, so both are read and the body's code is the more specific one.
"""

from core.errors import ErrorCategory
from core.providers.http import Fault

_AUTH = ErrorCategory.AUTHENTICATION
_VALID = ErrorCategory.VALIDATION
_RATE = ErrorCategory.RATE_LIMIT
_SERVICE = ErrorCategory.SERVICE_ERROR

FAULTS: dict[int, Fault] = {
    400: Fault(_VALID, False, "KIE did not accept the request. Correct the input.", True),
    401: Fault(_AUTH, False, "KIE does not accept the API key. Check KIE_API_KEY.", True),
    # A matter of the account: the same call works again once somebody has paid.
    402: Fault(_AUTH, False, "KIE's credits are used up. Top up the KIE account.", True),
    403: Fault(_AUTH, False, "KIE refused access. Check KIE_API_KEY and its allowed addresses.", True),
    404: Fault(
        _VALID, False, "KIE does not know what was asked for. Check KIE_BASE_URL and the model.", True
    ),
    405: Fault(_VALID, False, "KIE does not offer this call. Check KIE_BASE_URL.", True),
    408: Fault(ErrorCategory.TIMEOUT, True, "KIE had no result from its model within 10 minutes."),
    413: Fault(_VALID, False, "KIE found the request too large. Shorten the input.", True),
    422: Fault(_VALID, False, "KIE found the input invalid. Correct it.", True),
    429: Fault(_RATE, True, "KIE's rate limit is reached. Try again in a few seconds.", True),
    433: Fault(_RATE, True, "The cap of this KIE sub-key is reached. Raise it at KIE or wait.", True),
    455: Fault(_SERVICE, True, "KIE is down for maintenance. Try again later.", True),
    500: Fault(_SERVICE, True, "KIE had an internal error. Try again later."),
    501: Fault(_SERVICE, False, "KIE could not make this generation. Start a new one."),
    505: Fault(_VALID, False, "KIE has this feature switched off. Choose another model.", True),
}

# Cloudflare, in front of KIE, turns away requests by their User-Agent before KIE sees them.
BLOCKED_BY_EDGE = Fault(
    _SERVICE, False, "Cloudflare turned the request away before it reached KIE (error 1010).", True
)
UNUSABLE = Fault(_SERVICE, True, "KIE's answer could not be understood. Try again later.")


def fault_of(code: int | None) -> Fault:
    """The fault that `code` stands for; an unlisted one by its hundred, never as a refusal."""
    if code in FAULTS:
        return FAULTS[code]
    if code is not None and 300 <= code < 400:
        return Fault(_SERVICE, False, "KIE's address answered with a redirect. Check KIE_BASE_URL.")
    if code is not None and 400 <= code < 500:
        return Fault(_VALID, False, f"KIE answered {code}, which is in none of its lists.")
    if code is not None and code >= 500:
        return Fault(_SERVICE, True, f"KIE answered {code}. Try again later.")
    return UNUSABLE


def category_of_failure(fail_code: str | None) -> ErrorCategory:
    """Why a task failed, from its `failCode`; anything unlisted is the service's own failure."""
    known = FAULTS.get(int(fail_code)) if fail_code and fail_code.isascii() and fail_code.isdigit() else None
    return known.category if known else _SERVICE
