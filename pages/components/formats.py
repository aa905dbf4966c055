"""Numbers as a person says them; the same number looks the same on every page.

A unit never wraps away from its number: the space between them does not break.
"""

from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal

NO_DATA = "–"
_SPACE = "\u00a0"
_SIZE_UNITS = ("B", "KB", "MB", "GB", "TB")


def count(number: int) -> str:
    """`1,234`."""
    return f"{number:,}"


def counted(number: int, one: str, many: str) -> str:
    """A number with its noun: `1 delivery`, `1,234 deliveries`."""
    return f"{count(number)}{_SPACE}{one if number == 1 else many}"


def money(usd: Decimal | None) -> str:
    """`$1.27`; parts of a cent are shown when there are any (`$0.025`), at most four decimals."""
    if usd is None:
        return NO_DATA
    amount = usd.quantize(Decimal("0.0001"), rounding=ROUND_HALF_UP)
    digits = f"{abs(amount):,.4f}"
    while digits.endswith("0") and len(digits.rsplit(".", 1)[1]) > 2:
        digits = digits[:-1]
    return f"{'−' if amount < 0 else ''}${digits}"


def total(usd: Decimal | None) -> str:
    """A sum, to the cent: `$2.11`; only what is less than a cent shows its parts."""
    if usd is None or (usd and abs(usd) < Decimal("0.01")):
        return money(usd)
    return money(usd.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP))


def in_label(text: str) -> str:
    """`text` for a widget's label, where a dollar sign would begin a formula."""
    return text.replace("$", "\\$")


def percent(share: float | None) -> str:
    """`98.2 %` of a share between 0 and 1; rounded down, so that only all of it is `100 %`."""
    if share is None:
        return NO_DATA
    exact = Decimal(repr(share)) * 100
    if exact in (0, 100):
        return f"{int(exact)}{_SPACE}%"
    return f"{exact.quantize(Decimal('0.1'), rounding=ROUND_FLOOR)}{_SPACE}%"


def duration(seconds: float | None) -> str:
    """`40 ms`, `0.4 s`, `41 s`, `3 min 10 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds is None:
        return NO_DATA
    if 0 < seconds < 0.095:
        return f"{max(1, round(seconds * 1000))}{_SPACE}ms"
    if 0 < seconds < 9.95:
        return f"{seconds:.1f}{_SPACE}s".replace(".0\u00a0", "\u00a0")
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}{_SPACE}s"
    for size, unit, smaller, smaller_unit in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            first = f"{whole // size}{_SPACE}{unit}"
            return f"{first} {rest}{_SPACE}{smaller_unit}" if rest else first
    raise AssertionError("a minute or more always fits a unit")


def size(number: int | None) -> str:
    """`384 B`, `250 KB`, `1.2 MB`; a kilobyte has 1,000 bytes."""
    if number is None:
        return NO_DATA
    amount = float(number)
    for unit in _SIZE_UNITS:
        if amount < 999.5 or unit == _SIZE_UNITS[-1]:
            break
        amount /= 1000
    digits = f"{amount:.0f}" if unit in {"B", "KB"} or amount >= 99.5 else f"{amount:.1f}"
    return f"{digits}{_SPACE}{unit}"


def excerpt(text: str, longest: int = 90) -> str:
    """One line of a text, cut at a word."""
    line = " ".join(text.split())
    if len(line) <= longest:
        return line
    cut = line[: longest - 1]
    return f"{cut[: cut.rfind(' ')] if ' ' in cut[longest // 2 :] else cut}…"
