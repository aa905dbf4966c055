"""Who may come in, by what a provider says: each rule with its cases."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core import standing
from core.access import Role
from core.errors import Conflict, InvalidInput, NotSignedIn
from core.staff import policy
from core.standing import Standing

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOURS, HOUR = timedelta(hours=8), timedelta(hours=1)
ADA: dict[str, Any] = {
    "iss": "https://login.example.com",
    "sub": "42",
    "nonce": "n-1",
    "email": " Ada@Example.com ",
    "email_verified": True,
    "name": "Ada",
    "iat": NOW.timestamp(),
}


def ada(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**ADA, **changes}.items() if value is not ...}


def test_an_identity_is_read_from_the_claims() -> None:
    found = policy.identity_of(ADA)
    assert (found.email, found.verified, found.name) == ("ada@example.com", True, "Ada")
    assert found.issued_at == NOW


@pytest.mark.parametrize("missing", ["iss", "sub", "nonce"])
@pytest.mark.parametrize("value", [..., "", None])
def test_claims_that_name_no_login_are_refused(missing: str, value: Any) -> None:
    with pytest.raises(NotSignedIn, match="did not say which login this is"):
        policy.identity_of(ada(**{missing: value}))


@pytest.mark.parametrize(
    ("said", "verified"),
    [(True, True), ("true", True), (False, False), ("false", False), (..., False), (None, False), (1, False)],
)
def test_only_a_verified_address_opens(said: Any, verified: bool) -> None:
    found = policy.identity_of(ada(email_verified=said))
    assert found.verified is verified
    if verified:
        policy.check_address(found, ())
    else:
        with pytest.raises(NotSignedIn, match=r"has not verified that ada@example.com is yours"):
            policy.check_address(found, ())


@pytest.mark.parametrize(
    ("email", "domains", "allowed"),
    [
        ("ada@example.com", ("example.com",), True),
        ("ada@example.com", (), True),
        ("ada@example.com", ("studio.example", "example.com"), True),
        ("ada@sub.example.com", ("example.com",), False),
        ("ada@example.com.evil.example", ("example.com",), False),
        ("example.com@evil.example", ("example.com",), False),
        ("ada@evilexample.com", ("example.com",), False),
    ],
)
def test_the_domain_rule(email: str, domains: tuple[str, ...], allowed: bool) -> None:
    identity = policy.identity_of(ada(email=email))
    if allowed:
        policy.check_address(identity, domains)
    else:
        with pytest.raises(NotSignedIn, match="is not an address of the company"):
            policy.check_address(identity, domains)


def test_a_key_is_of_one_login_and_tells_nothing() -> None:
    keys = {
        policy.key_of(policy.identity_of(ada(**change)))
        for change in ({}, {"nonce": "n-2"}, {"sub": "43"}, {"iss": "https://other.example"})
    }
    keys.add(policy.key_of(policy.identity_of(ada(sub="4", nonce="2\nn-1"))))
    assert len(keys) == 5
    assert policy.key_of(policy.identity_of(ada(email="other@example.com", name="Bo"))) in keys
    assert not any(key == "42" or "n-1" in key for key in keys)


@pytest.mark.parametrize(
    ("issued", "until"),
    [
        pytest.param(NOW, NOW + HOURS, id="just now"),
        pytest.param(NOW - HOUR, NOW + 7 * HOUR, id="an hour ago"),
        pytest.param(NOW + HOUR, NOW + HOURS, id="by a clock that is ahead"),
        pytest.param(NOW - HOURS + timedelta(seconds=1), NOW + timedelta(seconds=1), id="nearly over"),
        pytest.param(NOW - HOURS, None, id="over"),
        pytest.param(NOW - timedelta(days=29), None, id="a cookie that was kept"),
        pytest.param(None, None, id="says nothing of its age"),
    ],
)
def test_a_sign_in_counts_from_the_login_on(issued: datetime | None, until: datetime | None) -> None:
    identity = policy.identity_of(ada(iat=issued.timestamp() if issued else "soon"))
    if until is not None:
        assert policy.span(identity, NOW, HOURS) == until
    else:
        with pytest.raises(NotSignedIn, match="too old to begin with"):
            policy.span(identity, NOW, HOURS)


@pytest.mark.parametrize(
    ("admins", "said"),
    [
        (["bo@example.com", "cy@other.example"], "Ask bo@example.com to add you."),
        (["bo@example.com", "cy@example.com"], "Ask bo@example.com or cy@example.com to add you."),
        (["cy@other.example"], "Ask the admin of Studio Ops to add you."),
        ([], "in the setting FIRST_ADMIN."),
    ],
)
def test_whom_somebody_unknown_has_to_ask(admins: list[str], said: str) -> None:
    sentence = policy.unknown("ada@example.com", admins)
    assert sentence.startswith("ada@example.com is not on the list of people here")
    assert sentence.endswith(said)
    assert "other.example" not in sentence


@pytest.mark.parametrize(
    "text",
    ["", "ada", "ada@", "@example.com", "a da@example.com", "a@b@example.com", "ada@example", "a\x00@b.com",
     "<script>@example.com", f"{'a' * 250}@example.com", "ada@example.com, bo@example.com"],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InvalidInput, match="That is no mail address") as refused:
        policy.email(text, ())
    assert refused.value.field == "email"


def test_an_address_is_kept_in_lower_case_and_of_a_domain_that_is_let_in() -> None:
    assert policy.email("  Ada.Łoś+ops@Example.COM ", ("example.com",)) == "ada.łoś+ops@example.com"
    with pytest.raises(InvalidInput, match=r"Only addresses of studio.example are let in"):
        policy.email("ada@example.com", ("studio.example",))


def test_names_roles_and_reasons() -> None:
    assert policy.name(" Ada\n  Lovelace ") == "Ada Lovelace"
    assert policy.name("عائشة 🦊") == "عائشة 🦊"
    with pytest.raises(InvalidInput, match="at most 120 characters"):
        policy.name("a" * 121)
    assert policy.roles(["viewer", "admin"]) == {Role.VIEWER, Role.ADMIN}
    with pytest.raises(InvalidInput, match="Choose a role"):
        policy.roles([])
    with pytest.raises(InvalidInput, match="There is no role 'boss'"):
        policy.roles(["viewer", "boss"])
    assert policy.reason("  ") is None
    with pytest.raises(InvalidInput, match="At most 500 characters; this has 10000"):
        policy.reason("x" * 10_000)


@pytest.mark.parametrize(
    ("admins", "stays", "refused"),
    [
        (["ada"], False, True),
        (["ada"], True, False),
        (["ada", "bo"], False, False),
        (["bo"], False, False),
        ([], False, True),
    ],
)
def test_an_admin_stays(admins: list[str], stays: bool, refused: bool) -> None:
    if refused:
        with pytest.raises(Conflict, match=r"ada is the last admin. Make somebody else an admin first."):
            policy.check_an_admin_stays(admins, "ada", stays=stays)
    else:
        policy.check_an_admin_stays(admins, "ada", stays=stays)


def sign_in(**changes: Any) -> Standing:
    known: dict[str, Any] = {
        "email": "ada@example.com",
        "name": "Ada",
        "address": None,
        "seen_at": NOW,
        "expires_at": NOW + HOURS,
        "ended_at": None,
        "ended_why": None,
        "roles": frozenset({"viewer"}),
        "active": True,
    }
    return Standing(**(known | changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({}, None, id="counts"),
        pytest.param({"seen_at": NOW - timedelta(minutes=59)}, None, id="nearly idle"),
        pytest.param({"seen_at": NOW - HOUR}, "nothing was done here", id="idle"),
        pytest.param({"expires_at": NOW}, "too old", id="over"),
        pytest.param({"ended_at": NOW, "ended_why": "signed_out"}, "You have signed out", id="signed out"),
        pytest.param({"ended_at": NOW, "ended_why": "ended_by_admin"}, "An admin has ended", id="ended"),
        pytest.param({"ended_at": NOW, "ended_why": None}, "You have signed out", id="ended by hand"),
        pytest.param({"active": False}, "Your access was taken away", id="deactivated"),
    ],
)
def test_whether_a_sign_in_still_counts(changes: dict[str, Any], said: str | None) -> None:
    found = standing.refusal(sign_in(**changes), NOW, HOUR)
    assert (found is None) is (said is None)
    if said is not None:
        assert found is not None
        assert said in found
