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


CHECKED = {"outcome": "checked", "sentence": "pump: no drift.", "title": "No retrain (within_tolerance)"}


def test_the_note_of_a_check_is_its_sentence_and_is_replaced_by_the_next():
    first = note(CHECKED, "by hand")
    assert first == "**No retrain (within_tolerance).** pump: no drift.\n\nby hand"
    failed = {"outcome": "failed", "sentence": "pump: MLflow is away.", "title": "Drift check failed"}
    assert note(failed, first) == "**Drift check failed.** pump: MLflow is away.\n\nby hand"
    assert note(CHECKED, note(failed, first)) == first
