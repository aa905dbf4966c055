"""The addresses of ALERT_URLS: how they are cut, called, and never told."""

import pytest

from core.errors import InvalidInput, SettingsError
from core.notifications import channels
from core.settings import load

SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops"
MAIL = "mailtos://ops:hunter2-hunter2@mail.example.com?to=team@example.com"
HOOK = "jsons://hooks.example.com/very-secret-path"


def of(urls: str) -> tuple[channels.Channel, ...]:
    return channels.of(load({"DATABASE_URL": "postgresql://u@db/x", "ALERT_URLS": urls}))


@pytest.mark.parametrize(
    ("urls", "labels"),
    [
        ("", []),
        (" , ", []),
        (SLACK, ["Slack, address 1"]),
        (f"{SLACK},{MAIL}", ["Slack, address 1", "E-Mail, mail.example.com"]),
        (
            f"{SLACK}\n {HOOK} {MAIL}",
            ["Slack, address 1", "JSON, hooks.example.com", "E-Mail, mail.example.com"],
        ),
        (f"{HOOK},{HOOK}", ["JSON, hooks.example.com"]),
        (
            "mailto://mail.example.com?from=o@example.com&to=a@example.com,b@example.com",
            ["E-Mail, mail.example.com"],
        ),
    ],
)
def test_what_channels_are_called(urls: str, labels: list[str]) -> None:
    found = of(urls)
    assert [one.label for one in found] == labels
    assert [one.fault for one in found] == [None] * len(labels)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense://key-4711",
        "slack://only",
        "key-4711",
        "json://",
        "://key-4711",
        "json://[::bad/key-4711",
        "x" * 5000,
    ],
)
def test_an_address_that_cannot_be_used_is_told_by_its_number_alone(url: str) -> None:
    found = of(f"{HOOK} {url}" if "://" in url[1:] else url)
    [broken] = [one for one in found if one.fault]
    assert "of ALERT_URLS" in (broken.fault or "")
    assert "4711" not in f"{broken}{broken.fault}"


@pytest.mark.parametrize(
    ("words", "url", "said"),
    [
        ("403 for TIiajkdnlazkcOXrIdevi7FQ", SLACK, "403 for ***"),
        ("login ops:hunter2-hunter2 refused", MAIL, "login ops:*** refused"),
        ("2026-11-26 07:52:16,138 - WARNING - hooks.example.com/very-secret-path said 500", HOOK,
         "hooks.example.com/*** said 500"),
    ],
)  # fmt: skip
def test_what_another_side_says_loses_every_part_of_the_address(words: str, url: str, said: str) -> None:
    assert channels.clean(words, url) == said


def test_mail_goes_by_the_first_channel_that_can() -> None:
    by = channels.mail_channel(of(f"{SLACK} {MAIL}"))
    assert by is not None
    assert by.label == "E-Mail, mail.example.com"
    assert channels.mail_channel(of(SLACK)) is None


def test_an_address_of_a_person_is_one() -> None:
    assert channels.address(" ada@studio.example ") == "ada@studio.example"
    with pytest.raises(InvalidInput):
        channels.address("ada@")


def test_the_local_profile_tells_nobody_outside() -> None:
    local = {
        "DATABASE_URL": "postgresql://u@127.0.0.1/x",
        "KIE_BASE_URL": "http://127.0.0.1:9010",
        "STUDIO_OPS_LOCAL_STACK": "http://127.0.0.1:9010",
    }
    assert load({**local, "ALERT_URLS": "json://127.0.0.1:1/x"}).alerts_stay_here
    with pytest.raises(SettingsError, match="ALERT_URLS must point at this machine") as refused:
        load({**local, "ALERT_URLS": HOOK})
    assert "secret" not in str(refused.value)
