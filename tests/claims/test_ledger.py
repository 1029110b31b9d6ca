"""The committed ledger: its verdicts are those that claims and studies give, as the log says."""

from pathlib import Path

import pandas as pd
import pytest

from posext.claims import ledger, verdicts
from posext.claims.claim import load_all

ROOT = Path(__file__).resolve().parents[2]
LEDGER = ROOT / "results" / "claims"


@pytest.fixture(scope="module")
def decided():
    return verdicts.verdicts(verdicts.decide(load_all(ROOT / "claims"), ROOT / "results"))


def test_verdicts_are_those_that_are_committed(decided):
    """Where this fails, `posext claims` writes the ledger anew, and the log must say why."""
    now = {(each.claim.name, each.study): each.text for each in decided}
    rows = ledger.read(LEDGER / ledger.VERDICTS, [*ledger.KEY, "verdict"])
    before = dict(zip(zip(rows.claim, rows.study, strict=True), rows.verdict, strict=True))
    assert now == before


def test_readme_of_the_ledger_is_up_to_date(decided):
    assert (LEDGER / "README.md").read_text() == ledger.page(decided)


def test_log_says_why_a_verdict_changed():
    log = (ROOT / "results" / "LOG.md").read_text()
    changes = ledger.read(LEDGER / ledger.CHANGES, ledger.CHANGE_COLUMNS)
    for claim, before, now in changes[["claim", "before", "now"]].to_numpy():
        said = f"{claim}: {before} → {now}"
        assert said in log, f"results/LOG.md must say why: {said}"


def test_write_notes_a_change_once(tmp_path):
    """A kill between the files of the ledger leaves the note and not the verdict."""
    keys = {"claim": ["C1", "C2"], "study": ["zoo", "zoo"]}
    before = pd.DataFrame({**keys, "verdict": ["holds", "fails"]})
    now = pd.DataFrame({**keys, "verdict": ["fails", "fails"]})
    none = pd.DataFrame(columns=ledger.CHANGE_COLUMNS, dtype=str)
    noted = ledger.unknown(ledger.changes(before, now), none)
    assert noted.to_numpy().tolist() == [["C1", "zoo", "holds", "fails"]]
    assert not len(ledger.unknown(ledger.changes(before, now), noted))
    back = ledger.unknown(ledger.changes(now, before), noted)
    assert back.now.tolist() == ["holds"]


def test_no_claim_states_its_verdict():
    for file in (ROOT / "claims").glob("*.yaml"):
        assert "verdict" not in file.read_text()
