"""The note of a DAG run: the outcome, above what was noted before."""

from homeostat_airflow.run_note import MAX_NOTE, note

REFUSED = {"outcome": "refused", "sentence": "pump version 2 was refused in shadow."}


def test_the_outcome_stands_above_what_was_noted_before():
    assert note(REFUSED, "") == "**Retrain refused.** pump version 2 was refused in shadow."
    assert note(REFUSED, "started by a check") == (
        "**Retrain refused.** pump version 2 was refused in shadow.\n\nstarted by a check"
    )


def test_a_second_end_replaces_the_first_and_keeps_the_rest():
    first = note({"outcome": "failed", "sentence": "MLflow is away.\n\nTraceback"}, "started\n\nby a check")
    assert note(REFUSED, first) == note(REFUSED, "started\n\nby a check")


def test_a_note_fits_into_airflows_database():
    long = note({"outcome": "failed", "sentence": "x\x00" * 2000}, "started by a check")
    assert len(long) == MAX_NOTE
    assert "\x00" not in long
