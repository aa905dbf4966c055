"""What the numbers that pages show of the budget count, with their SQL."""

from collections.abc import Mapping

from core.budget.forecast import METHOD
from core.budget.repository import SQL
from core.queries import Figure

FIGURES: Mapping[str, Figure] = {
    "month": Figure(
        "Settled is what was really paid, corrections included; reserved is promised to what is not over yet."
        " Both belong to the month (UTC) of the reservation. Left is the limit with overrides, less both.",
        SQL["position"].sql,
    ),
    "forecast": Figure(METHOD, SQL["days"].sql),
    "quote": Figure(
        "The training and its test images by the prices that hold now, and images that were generated for it."
        " It is reserved at the launch; what is not used is given back.",
        SQL["price"].sql,
    ),
    "credits": Figure(
        "The balance that KIE told last, in dollars at the price of a credit that holds now. The pace is the"
        " mean of the last 7 days.",
        SQL["balance"].sql,
    ),
}
