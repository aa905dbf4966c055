"""The steps at which a part of the product is made to halt, by who takes them."""

from datetime import timedelta

ANY = "any"
# For how long a process that is stopped seems to have been: longer than any lease.
STOOD_STILL = timedelta(minutes=2)
# How long the sandbox thinks about a paid request whose sender is to die meanwhile. Seconds.
UNDER_WAY_S = 0.6

# Where each step leaves the delivery, so that a test knows that it was the step that it asked for.
SENDING = {
    "row written": "intent",
    "place reserved": "intent",
    "sending recorded": "sending",
    "request under way": "sending",
    "request accepted": "sending",
    "task bound": "awaiting_provider",
}
FOLLOWING = {
    "lease taken": "awaiting_provider",
    "record read": "awaiting_provider",
    "result noted": "awaiting_delivery",
    "download open": "awaiting_delivery",
    "file half written": "awaiting_delivery",
    "file received": "awaiting_delivery",
    "file in place": "awaiting_delivery",
    "delivery recorded": "delivered",
}
POLLING = {"poll leased": "awaiting_provider", "poll handed over": "awaiting_delivery"}
CALLBACK = {"callback arrives": "awaiting_provider", "callback recorded": "awaiting_provider"}
LEFT = SENDING | FOLLOWING | POLLING | CALLBACK
