"""One story is one message when it begins and one when it ends; quiet hours hold all but critical ones."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.adapters.clock import FakeClock
from homeostat.adapters.store_memory import MemoryStore
from homeostat.config.notices import NoticeKind, Notices, QuietHours, Severity
from homeostat.notices import Delivery
from homeostat.notices.message import clean
from homeostat.ports import Notice

EVENING = datetime(2026, 1, 5, 23, 30, tzinfo=UTC)
PEOPLE = ("people",)
FIRED = Notice(
    NoticeKind.TRIGGER_FIRED,
    "sample",
    "sample: retraining has started",
    "Decay 0.3.",
    story="r/1",
    part="begin",
)
FORCED = Notice(
    NoticeKind.FORCED,
    "sample",
    "sample: forced",
    "The gate refused: too few rows.",
    story="r/1",
    part="update",
)
PROMOTED = Notice(
    NoticeKind.PROMOTED, "sample", "sample: version 2 is champion", "It passed.", story="r/1", part="end"
)
BACK = Notice(NoticeKind.ROLLED_BACK, "sample", "sample: rolled back", "NaN.", once="rolled_back/7")
BROKEN = Notice(
    NoticeKind.NOT_COMPUTABLE, "sample", "sample: not computable", "No rows.", story="broken", part="begin"
)
MENDED = Notice(NoticeKind.RESOLVED, "sample", "sample: computable", "Well.", story="broken", part="end")


class ListTransport:
    """Keeps what it is given."""

    def __init__(self):
        self.sent = []
        self.problems = {}

    def send(self, targets, message):
        self.sent.append((tuple(targets), message))
        return {target: self.problems[target] for target in targets if target in self.problems}

    def links(self, notice):
        return (("Airflow", "http://airflow/run"),)

    @property
    def titles(self):
        return [message.title for _, message in self.sent]

    @property
    def last(self):
        return self.sent[-1][1]


@pytest.fixture
def mail():
    return ListTransport()


@pytest.fixture
def deliver(config, mail):
    store, clock = MemoryStore(), FakeClock(EVENING)

    def call(*notices, targets=PEOPLE, at=None, **settings):
        if at is not None:
            clock.set(at)
        own = config.model_copy(update={"notices": Notices.model_validate(settings)})
        delivery = Delivery(mail, own, store, clock)
        for notice in notices:
            delivery.notify(targets, notice)
        if not notices:
            delivery.flush()

    return call


def test_a_retrain_is_two_messages_and_the_last_tells_the_whole_story(deliver, mail):
    deliver(FIRED, FIRED, FORCED, PROMOTED)
    assert mail.titles == ["sample: retraining has started", "sample: version 2 is champion"]
    assert "- **Began**: 2026-01-05 23:30 UTC: Decay 0.3." in mail.last.body
    assert "- **Meanwhile**: The gate refused: too few rows." in mail.last.body
    assert mail.last.tone == "success"


def test_an_end_whose_beginning_was_not_sent_stands_alone(deliver, mail):
    deliver(PROMOTED)
    assert mail.titles == ["sample: version 2 is champion"]
    assert "Began" not in mail.last.body


def test_a_lasting_condition_is_one_message_and_one_at_its_end(deliver, mail):
    deliver(BROKEN, BROKEN, BROKEN, MENDED, MENDED, BROKEN)
    assert mail.titles == ["sample: not computable", "sample: computable", "sample: not computable"]


def test_what_several_processes_see_is_sent_once(deliver, mail):
    deliver(BACK, BACK)
    deliver(BACK, at=EVENING + timedelta(days=80))
    assert mail.titles == ["CRITICAL: sample: rolled back"]
    assert mail.last.tone == "failure"


NIGHT = {"quiet_hours": {"from": "22:00", "to": "07:00"}}


def test_quiet_hours_hold_all_but_critical_notices_and_end_in_one_digest(deliver, mail):
    deliver(BROKEN, BACK, **NIGHT)
    assert mail.titles == ["CRITICAL: sample: rolled back"]
    deliver(at=EVENING + timedelta(hours=7, minutes=29), **NIGHT)
    assert len(mail.sent) == 1, "06:59 is quiet"
    deliver(at=EVENING + timedelta(hours=7, minutes=30), **NIGHT)
    assert mail.titles[1:] == ["sample: 1 notice from the quiet hours"]
    assert "- **23:30 UTC not computable**: No rows." in mail.last.body
    deliver(**NIGHT)
    assert len(mail.sent) == 2, "once"


def test_a_story_that_ends_at_night_is_one_line_of_the_digest(deliver, mail):
    deliver(FIRED, PROMOTED, **NIGHT)
    deliver(at=EVENING + timedelta(hours=8), **NIGHT)
    assert mail.titles == ["sample: 1 notice from the quiet hours"]
    assert "version 2 is champion" in mail.last.body
    assert "retraining has started" not in mail.last.body


def test_a_held_notice_goes_to_its_own_addresses_only(deliver, mail):
    deliver(BROKEN, targets=("anna",), **NIGHT)
    deliver(PROMOTED, **NIGHT)
    deliver(at=EVENING + timedelta(hours=8), **NIGHT)
    assert {targets: message.body.count("UTC") for targets, message in mail.sent} == {("anna",): 1, PEOPLE: 1}


def test_the_least_severity_and_kinds_that_are_off(deliver, mail):
    deliver(FIRED, PROMOTED, least="warning")
    assert mail.sent == []
    deliver(BROKEN, MENDED, least="warning")
    assert mail.titles == ["sample: not computable", "sample: computable"], "an end follows its beginning"
    deliver(BROKEN, severity={"not_computable": "off"})
    assert len(mail.sent) == 2


def test_a_severity_of_its_own_passes_the_quiet_hours(deliver, mail):
    deliver(BROKEN, severity={"not_computable": "critical"}, **NIGHT)
    assert mail.titles == ["CRITICAL: sample: not computable"]


def test_nobody_is_named_nothing_is_kept(deliver, mail):
    deliver(BACK, targets=())
    deliver(BACK)
    assert len(mail.sent) == 1


@pytest.mark.parametrize("kind", list(NoticeKind))
def test_every_kind_has_a_severity(kind):
    assert Notices().severity_of(kind) in list(Severity)


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.times(),
    st.times(),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
)
def test_quiet_hours_end_when_they_no_longer_contain_the_time(at, begin, end, zone):
    begin, end = begin.replace(second=0, microsecond=0), end.replace(second=0, microsecond=0)
    if begin == end:
        return
    hours = QuietHours(begin=f"{begin:%H:%M}", end=f"{end:%H:%M}", timezone=zone)
    if hours.contain(at):
        over = hours.end_after(at)
        assert timedelta(0) < over - at <= timedelta(hours=25)
        assert not hours.contain(over)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"quiet_hours": {"from": "25:00", "to": "07:00"}}, "'25:00' is not a time of day"),
        ({"quiet_hours": {"from": "07:00", "to": "7:00"}}, "they must differ"),
        ({"quiet_hours": {"from": "1:00", "to": "7:00", "timezone": "Berlin"}}, "no known time zone"),
        ({"severity": {"promted": "info"}}, "promted"),
        ({"least": "urgent"}, "'info', 'warning' or 'critical'"),
    ],
)
def test_what_cannot_be_read_is_an_error(raw, said):
    with pytest.raises(ValueError, match=said):
        Notices.model_validate(raw)


def test_yaml_reads_an_unquoted_time_as_minutes_and_off_as_false():
    found = Notices.model_validate(
        {"quiet_hours": {"from": 1320, "to": "7:30"}, "severity": {"promoted": False}}
    )
    assert (found.quiet_hours.begin.hour, found.quiet_hours.end.minute) == (22, 30)
    assert found.severity_of(NoticeKind.PROMOTED) is None


@given(st.text())
def test_text_from_data_stays_on_one_line_without_markup(text):
    said = clean(text)
    assert "\n" not in said
    assert not set(said) & set("<>*`[]\\")
    assert len(said) <= 600


def test_a_notice_that_an_earlier_release_left_is_read():
    raw = {"kind": "gate_refused", "model": "m", "title": "t", "body": "b"}
    assert Notice.from_json(raw) == Notice(NoticeKind.REFUSED, "m", "t", "b")
