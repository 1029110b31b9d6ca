"""In-context-learning scores, from stored sums."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.protocol_properties import ZEROS, by_context, cost, uniform

from posext.analysis import curves, in_context
from posext.cli import compare
from posext.eval.protocols import PROTOCOLS, ProtocolSettings, measure_protocol


@pytest.mark.parametrize(
    ("longest", "trained", "expected"),
    [
        (2048, 128, (128, 16)),
        (2048, 100, (64, 8)),
        (4096, 2048, (512, 64)),
        (48, 64, (32, 4)),  # the bucket of 33 to 48 is not whole
        (16, 2, (2, 1)),
        (16, 1, None),
    ],
)
def test_ends_are_whole_buckets_within_the_length_trained(longest, trained, expected):
    buckets = [2**power for power in range((longest - 1).bit_length())]
    assert in_context.ends([*buckets, longest], trained) == expected


def store(model, trained=32) -> Path:
    """Store what a measurement of a model by position does."""
    settings = ProtocolSettings(train_length=trained, size=4, blocks=3)
    sums = measure_protocol(PROTOCOLS["per_position"], model, ZEROS, [48], settings)
    sums = sums.assign(protocol="per_position", extend="", factor="", bytes=3)
    folder = Path("mine")
    folder.mkdir()
    sums.to_parquet(folder / "documents.parquet")
    numbers = {"trained_length": trained, "original_length": trained, "seed": 0, "nll": 1.0}
    texts = dict.fromkeys(curves.TEXT_COLUMNS, "") | {"run": "mine", "scheme": "fake"}
    rows = pd.DataFrame({"context_length": sums.group.drop_duplicates().astype(int)})
    rows = rows.assign(**texts, **numbers).assign(protocol="per_position")
    rows.reindex(columns=curves.COLUMNS).to_csv(folder / "curves.csv", index=False)
    return folder


def score_of(folder):
    rows = curves.read_curves(folder / "curves.csv")
    (score,) = in_context.in_context_scores(folder, rows)
    return score


def test_in_context_score_is_late_minus_early_loss(monkeypatch, capsys):
    """For a loss of cost(n) after n tokens, whatever the number of windows of a document."""
    folder = store(by_context)
    score = score_of(folder)
    late, early = (np.mean([cost(n) for n in span]) for span in (range(17, 33), range(3, 5)))
    assert (score.late, score.early) == (32, 4)
    assert score.score == pytest.approx([late - early] * 3, rel=1e-4)
    monkeypatch.setattr("sys.argv", ["compare", "mine", "--protocol", "per_position"])
    compare.main()
    out = capsys.readouterr().out
    assert "| fake " in out
    assert f"| 17 to 32 tokens | 3 to 4 tokens      | {late - early:+.3f} (" in out


def test_in_context_score_of_a_model_without_context_is_nothing():
    assert score_of(store(uniform)).score.value == pytest.approx(0, abs=1e-6)


def test_in_context_scores_need_losses_by_position(monkeypatch, capsys):
    folder = store(uniform, trained=1)
    assert in_context.in_context_scores(folder, curves.read_curves(folder / "curves.csv")) == []
    monkeypatch.setattr("sys.argv", ["compare", "mine", "--protocol", "per_position"])
    with pytest.raises(SystemExit):
        compare.main()
    assert "none of these has losses by position: posext evaluate run=mine" in (
        capsys.readouterr().err
    )
