"""Why a generation has no file, in one sentence of ours."""

from core.deliveries.models import DeliveryState, Generation
from core.errors import ErrorCategory
from core.providers.registry import worded

REASONS: dict[ErrorCategory, str] = {
    ErrorCategory.NETWORK: "KIE could not be reached. Make it again in a minute.",
    ErrorCategory.AUTHENTICATION: "KIE refused our key. Whoever runs Studio Ops has to check KIE_API_KEY.",
    ErrorCategory.VALIDATION: "KIE refused this input. Change the prompt or a setting and make it again.",
    ErrorCategory.RATE_LIMIT: "KIE was taking no more tasks from us. Make it again in a minute.",
    ErrorCategory.SERVICE_ERROR: "KIE tried and failed. The same input may well work a second time.",
    ErrorCategory.FILE_ERROR: "KIE's file could not be fetched or stored.",
    ErrorCategory.TIMEOUT: "KIE took too long. The same input may well work a second time.",
}
UNKNOWN_REASON = "KIE could not make it and gave no reason that we know."
# In these states the row's message is a sentence of ours, in all others the provider's words.
_OUR_SENTENCE = frozenset({DeliveryState.LOST, DeliveryState.NEEDS_ATTENTION})


def reason(generation: Generation) -> str:
    """The reason in a sentence."""
    if generation.delivery_state in _OUR_SENTENCE and generation.failure_message:
        return generation.failure_message
    try:
        said = REASONS[ErrorCategory(generation.failure_category or "")]
    except ValueError:
        said = UNKNOWN_REASON
    return worded(said, generation.provider)


def provider_words(generation: Generation) -> str | None:
    """What the provider said, with its code; None when it said nothing or we speak for ourselves."""
    if generation.delivery_state in _OUR_SENTENCE or not generation.failure_message:
        return None
    # While a file is on its way the code is a word of ours.
    theirs = generation.delivery_state is not DeliveryState.AWAITING_DELIVERY
    code = f"{generation.failure_code}: " if generation.failure_code and theirs else ""
    return f"{code}{generation.failure_message}"
