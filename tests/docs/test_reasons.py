"""docs/reasons.md lists every reason of the code, and nothing else; every setting that it names exists."""

import re
from pathlib import Path

import pytest

from homeostat.config.model import ModelConfig
from homeostat.core.gate import CHECKS
from homeostat.core.model_health import HealthState
from homeostat.core.performance import AbstainReason, PerformanceReason
from homeostat.core.performance import reasons as performance_reasons
from homeostat.core.rollout import Phase
from homeostat.core.rollout.event_kinds import EVENT_SENTENCES, EventKind
from homeostat.core.rollout.health.check_names import CHECK_SENTENCES, HealthCheckName
from homeostat.core.rollout.phases import PHASE_SENTENCES
from homeostat.core.rollout.served import ServedState
from homeostat.core.trigger import SENTENCES, TriggerReason
from homeostat.ports import NoticeKind
from homeostat.storage.retrain_outcome import OUTCOME_SENTENCES, WHERE, RefusalStage, RetrainOutcome
from homeostat.storage.retrain_request import MANUAL

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reasons.md"
FAMILIES = {
    "Why a model was retrained, or was not": {*TriggerReason, MANUAL},
    "Why performance is not computable": set(PerformanceReason),
    "Why the estimate abstains": set(AbstainReason),
    "How a retrain ended": set(RetrainOutcome),
    "Where a candidate was refused": set(RefusalStage),
    "What is served": set(ServedState),
    "Gate checks": set(CHECKS),
    "Health checks of a rollout": set(HealthCheckName),
    "Phases of a rollout": set(Phase),
    "Events in the ledger": set(EventKind),
    "Notices": set(NoticeKind),
    "The state of a model": set(HealthState),
}
SENTENCES_OF = {
    TriggerReason: SENTENCES,
    PerformanceReason: performance_reasons.SENTENCES,
    AbstainReason: performance_reasons.SENTENCES,
    HealthCheckName: CHECK_SENTENCES,
    Phase: PHASE_SENTENCES,
    EventKind: EVENT_SENTENCES,
    RetrainOutcome: OUTCOME_SENTENCES,
    RefusalStage: WHERE,
}


def rows():
    """Every row of the page's tables: section, word, the other cells."""
    section, found = "", []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif row := re.match(r"\| `([\w:]+)` \|(.*)\|$", line):
            found.append((section, row[1], [cell.strip() for cell in row[2].split("|")]))
    return found


@pytest.mark.parametrize("section", FAMILIES)
def test_the_table_has_the_words_of_the_code_once_each(section):
    listed = [word for found, word, _ in rows() if found == section]
    assert len(listed) == len(set(listed))
    assert set(listed) == {str(word) for word in FAMILIES[section]}


def test_every_row_belongs_to_a_family_and_says_what_happened_and_what_to_do():
    for section, word, cells in rows():
        assert section in FAMILIES, word
        assert len(cells) == 3, word
        assert cells[0].endswith("."), word
        assert cells[1].endswith("."), word


@pytest.mark.parametrize("reasons", SENTENCES_OF, ids=lambda kind: kind.__name__)
def test_every_word_has_a_sentence(reasons):
    for reason in reasons:
        assert SENTENCES_OF[reasons][reason]


def test_every_setting_on_the_page_exists():
    fields = {field.alias or name: field for name, field in ModelConfig.model_fields.items()}
    for _, word, cells in rows():
        for setting in re.findall(r"`([a-z_.]+)`", cells[2]):
            top, *rest = setting.split(".")
            assert top in fields, (word, setting)
            kind = fields[top].annotation
            for name in rest:
                assert name in kind.model_fields, (word, setting)
                kind = kind.model_fields[name].annotation
