"""Sessions with the pages, and those that met an error."""

from datetime import UTC, datetime, timedelta

import pytest

from core import database, visits
from tests.database.ledger import sql

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _empty(_connected: None) -> None:
    visits.begun(NOW)  # what other tests counted and could not write
    sql("DELETE FROM page_visits")


def test_sessions_are_counted_by_the_hour_that_they_were_begun_in() -> None:
    assert visits.of_the_last_day(NOW).failed_share is None
    hours = [visits.begun(NOW - timedelta(hours=ago)) for ago in (0, 0, 1, 24, 26)]
    visits.met_an_error(hours[2])
    found = visits.of_the_last_day(NOW)
    assert (found.sessions, found.failed, found.failed_share) == (4, 1, 0.25)
    assert len(sql("SELECT 1 FROM page_visits")) == 4


def test_what_was_counted_without_the_database_is_written_later() -> None:
    url = database.engine().url.render_as_string(hide_password=False)
    database.connect("postgresql://nobody@127.0.0.1:1/nothing")
    try:
        hour = visits.begun(NOW)
        visits.met_an_error(hour)
    finally:
        database.connect(url)
    visits.begun(NOW)
    assert visits.of_the_last_day(NOW) == visits.Visits(2, 1)


def test_an_error_that_is_not_to_be_written_now_comes_with_the_next_session() -> None:
    visits.met_an_error(visits.begun(NOW), write=False)
    assert visits.of_the_last_day(NOW) == visits.Visits(1, 0)
    visits.begun(NOW)
    assert visits.of_the_last_day(NOW) == visits.Visits(2, 1)


def test_what_is_old_is_forgotten() -> None:
    visits.begun(NOW - timedelta(days=91))
    visits.begun(NOW)
    assert visits.prune(NOW) == 1
