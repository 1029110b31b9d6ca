"""Evaluation on other corpora than the one trained on: `evaluation.data`."""

import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import WORDS

from posext.analysis import curves, document_sums
from posext.cli import compare, plot
from posext.config import OWN
from posext.data.corpus import held_out
from posext.utils.errors import PosextError

MINE = Path("results/runs/mine")
MARKOV = "{name: chains, source: markov, documents: 60, document_tokens: 400}"
LENGTHS = "context_lengths=[8,32]"


def write_books(folder: Path, count: int = 12, size: int = 900) -> Path:
    """Write texts of other words than the training corpus has."""
    folder.mkdir()
    rng = random.Random(1)
    for index in range(count):
        words = [word[::-1] for word in rng.choices(WORDS, k=size)]
        (folder / f"{index:02}.txt").write_text(" ".join(words)[:size])
    return folder


def books(folder: Path) -> str:
    return f"{{source: text, path: {folder}, validation_share: 1}}"


def rows_of(run: Path = MINE) -> pd.DataFrame:
    return curves.read_curves(run / "curves.csv")


def train(command, small, *corpora: str, protocols: str = "fixed_target") -> str:
    """Train a run and measure it on the corpora; return what was printed."""
    settings = [f"evaluation.data=[{','.join(corpora)}]", f"protocols=[{protocols}]", LENGTHS]
    code, out, err = command("train", "+pe=rope", *small, *settings, "name=mine")
    assert code == 0, err
    return out


def test_train_measures_a_curve_of_its_own_on_every_corpus(command, small, tmp_path):
    folder = write_books(tmp_path / "books")
    out = train(command, small, OWN, MARKOV, books(folder), protocols="fixed_target,sliding")
    rows = rows_of()
    assert rows.groupby("corpus", sort=False).size().to_dict() == {OWN: 4, "chains": 4, "books": 4}
    assert rows.nll.notna().all()
    assert rows.groupby(["corpus", "protocol"]).targets.nunique().eq(1).all()
    assert rows.loc[rows.protocol == "fixed_target"].targets.nunique() == 3
    assert rows.extend.eq("").all(), "symbols in tokens of bytes have no floor"
    sums = document_sums.sums(MINE)
    keys = ["corpus", "protocol", "context_length"]
    totals = sums.groupby(keys)[["nll", "weight"]].sum()
    expected = (totals.nll / totals.weight).sort_index()
    np.testing.assert_allclose(rows.set_index(keys).nll.sort_index(), expected, rtol=1e-9)
    assert {document[:3] for document in sums.document[sums.corpus == "chains"]} == {"mar"}
    for text in ("rope on chains [sliding]", "sliding on books: ", "rope on books "):
        assert text in out
    for name in ("curve", "curve-chains", "curve-books"):
        assert (MINE / f"{name}.png").stat().st_size > 10_000
    page = (MINE / "report.html").read_text()
    assert "Extrapolation on books" in page
    assert "Sliding window on chains" in page


def test_train_measures_the_same_corpus_under_another_name_alike(command, small, corpus):
    same = f"{{name: same, source: text, path: {corpus}, validation_share: 0.3}}"
    train(command, small, OWN, same)
    rows = rows_of().set_index(["corpus", "context_length"])
    measured = ["nll", "nll_low", "nll_high", "bits_per_byte", "documents", "tokens", "targets"]
    pd.testing.assert_frame_equal(
        rows.loc[OWN, measured], rows.loc["same", measured], check_exact=True
    )


def test_train_takes_a_choice_of_data_by_its_name(command, small):
    """Its settings can be changed, and it is stored with all of them."""
    train(command, small, "{name: copy, documents: 60, document_tokens: 200}")
    assert set(rows_of().corpus) == {"copy"}
    assert "period_max: 512" in (MINE / "config.yaml").read_text()


def test_train_again_measures_a_corpus_that_is_new(command, small, monkeypatch):
    train(command, small, OWN)
    before = rows_of()
    out = train(command, small, OWN, MARKOV)
    assert "rope on chains" in out
    assert set(rows_of().corpus) == {OWN, "chains"}
    assert "is done already" in train(command, small, OWN, MARKOV)
    kept = rows_of().loc[lambda rows: rows.corpus == OWN, before.columns]
    np.testing.assert_array_equal(kept.nll, before.nll)


def test_evaluate_keeps_the_curves_on_other_corpora(command, small):
    train(command, small, OWN, MARKOV)
    before = rows_of()
    arguments = [f"run={MINE}", f"evaluation.data=[{MARKOV}]", "+pe@extend=none"]
    code, _, err = command("evaluate", *arguments, "tracking.wandb=disabled")
    assert code == 0, err
    rows = rows_of()
    assert len(rows) == len(before) + 2
    added = rows.iloc[len(before) :]
    assert set(added.corpus) == {"chains"}
    assert set(added.extend) == {"none"}


def test_train_says_how_much_of_a_corpus_is_training_text(command, small, corpus, tmp_path):
    """One of twelve books is copied from a training text, and a held-out text does not count."""
    folder = write_books(tmp_path / "books")
    texts = {path.name: path.read_text() for path in sorted(corpus.iterdir())}
    long_names = [name for name, text in texts.items() if len(text) >= 1000]
    trained = next(name for name in long_names if not held_out(name, 0.3))
    kept = next(name for name in long_names if held_out(name, 0.3))
    (folder / "00.txt").write_text(texts[trained][77:977])
    (folder / "01.txt").write_text(texts[kept][:900])
    out = train(command, small, MARKOV, books(folder))
    record = json.loads((MINE / "corpora.json").read_text())
    assert record["books"]["shared_with_training"] == pytest.approx(1 / 12)
    assert record["chains"]["shared_with_training"] == 0
    assert (
        "books: 10,800 tokens in 12 held-out documents; "
        "of their stretches of 32 tokens 8.3% stand in the training text too"
    ) in out


def test_train_on_letters_has_a_floor_on_each_synthetic_corpus(command, small_markov):
    settings = ["name: fewer", "source: markov", "symbols: 3", "documents: 60"]
    other = f"{{{', '.join([*settings, 'document_tokens: 300'])}}}"
    train(command, small_markov, OWN, other)
    rows = rows_of()
    floors = rows.loc[rows.extend == "floor"].set_index(["corpus", "context_length"]).nll
    assert (floors.loc["fewer"] < np.log(3)).all()
    assert (floors.loc["fewer"] < floors.loc[OWN]).all()
    assert len(rows) == 8


def test_plot_and_compare_take_one_corpus(command, small, monkeypatch, capsys):
    train(command, small, OWN, MARKOV)
    command("evaluate", f"run={MINE}", "+pe@extend=none", "tracking.wandb=disabled")
    monkeypatch.setattr("sys.argv", ["posext compare", str(MINE), "--corpus=chains"])
    compare.main()
    out = capsys.readouterr().out
    assert "rope → none on chains" in out
    monkeypatch.setattr("sys.argv", ["posext plot", str(MINE), "--corpus=chains", "--out=a.png"])
    plot.main()
    assert Path("a.png").stat().st_size > 10_000
    monkeypatch.setattr("sys.argv", ["posext plot", str(MINE), "--corpus=books"])
    with pytest.raises(SystemExit):
        plot.main()
    assert "no curve was measured on 'books', but on chains, own" in capsys.readouterr().err


def test_read_curves_reads_files_without_the_column_as_own(command, small):
    train(command, small, OWN)
    file = MINE / "curves.csv"
    pd.read_csv(file).drop(columns="corpus").to_csv(file, index=False)
    assert set(rows_of().corpus) == {OWN}
    with pytest.raises(PosextError, match="has no corpus 'books'; it has 'own'"):
        document_sums.read_stored([MINE], corpus="books")


BAD = [
    ("[own,own]", "evaluation.data names two corpora 'own'"),
    ("[]", "evaluation.data lists own, choices of data=, and settings"),
    ("[3]", "such as {name: books, source: text, path: books/}; not 3"),
    ("[nowhere]", "unknown data=nowhere; choose one of"),
    ("[{source: paper}]", "not {'source': 'paper'}"),
    ("[{source: text}]", "evaluation.data=text: data=text needs data.path"),
    ("[{source: markov, tokenizer: bytes}]", "evaluation.data=markov: tokenizer is the run's"),
    ("[{source: algorithmic, name: x}]", "evaluation.data=x: an algorithmic task has no held-out"),
    ("[{source: markov, colour: red}]", "evaluation.data=markov: colour is unknown; valid: "),
    ("[{source: markov, documents: 0}]", "data.documents must be a whole number of at least 1"),
    ("[{source: markov, documents: many}]", "evaluation.data=markov: documents: Value 'many'"),
    ("[{name: a/b, source: markov}]", "must be letters, digits, and . _ - after the first"),
    ("[{source: text, path: nowhere.txt}]", "data.path=nowhere.txt does not exist"),
    (
        "[{source: markov, documents: 60, document_tokens: 20}]",
        "evaluation.data=markov: no held-out document has",
    ),
]


@pytest.mark.parametrize(("data", "sentence"), BAD, ids=[data for data, _ in BAD])
def test_train_refuses_a_corpus_before_anything_is_written(command, small, data, sentence):
    code, _, err = command("train", "+pe=rope", *small, f"evaluation.data={data}", LENGTHS)
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err
    assert not Path("results").exists()


def test_train_refuses_a_text_that_letters_cannot_spell(command, small_markov, corpus):
    data = f"evaluation.data={{source: text, path: {corpus}}}"
    code, _, err = command("train", "+pe=rope", *small_markov, data, LENGTHS)
    assert code == 2
    assert "the run's tokenizer is letters, 5 of them" in err
