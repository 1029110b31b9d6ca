"""Runs on algorithmic tasks, from the command line to files, the page and the summary."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from accelerate import Accelerator
from helpers.networks import network
from helpers.pages import charts

from posext import __main__
from posext.analysis.accuracy import COLUMNS, read_accuracy
from posext.config import AlgorithmicData, EvaluationConfig
from posext.data.algorithmic.corpus import TaskCorpus
from posext.eval.accuracy import measure_accuracy
from posext.pe import names

MINE = Path("results/runs/mine")


@pytest.fixture
def posext(monkeypatch, capsys):
    """Run a subcommand in this process, and return its stdout."""

    def run(*arguments: str | Path) -> str:
        monkeypatch.setattr("sys.argv", ["posext", *map(str, arguments)])
        __main__.main()
        return capsys.readouterr().out

    return run


def test_train_measures_a_task(command, posext, small_task):
    code, out, err = command("train", "+pe=rope", *small_task, "name=mine")
    assert code == 0, err
    assert {path.name for path in MINE.iterdir()} == {
        "accuracy.csv",
        "accuracy.png",
        "commands.jsonl",
        "config.yaml",
        "metrics.jsonl",
        "model.safetensors",
        "report.html",
        "run.json",
        "run.lock",
        "tokenizer.json",
    }
    rows = read_accuracy(MINE / "accuracy.csv")
    assert rows.columns.tolist() == COLUMNS
    assert rows.length.tolist() == [3, 6, 9, 12, 24, 48]
    assert rows.tokens.tolist() == [8, 14, 20, 26, 50, 98]
    assert (rows.task.unique().tolist(), rows.examples.unique().tolist()) == (["copy"], [8])
    assert rows.trained_length.unique().tolist() == [6]
    assert "normalized accuracy" in out
    first = json.loads((MINE / "metrics.jsonl").read_text().splitlines()[0])
    assert first["length"] == 14  # tokens of a row, in a step of 18 rows
    assert first["tokens"] == 18 * 14
    assert first["loss"] == pytest.approx(math.log(104), abs=0.3)  # of the vocabulary
    (chart,) = charts((MINE / "report.html").read_text())
    (line,) = [trace for trace in chart["views"][1]["traces"] if trace.get("mode") != "lines"]
    assert (line["x"], line["y"]) == (rows.length.tolist(), rows.normalized_accuracy.tolist())
    code, out, _ = command("train", "+pe=rope", *small_task, "name=mine")
    assert (code, "is done already" in out) == (0, True)
    assert "| done " in posext("status")


def test_evaluate_extends_a_run_on_a_task(command, small_task):
    assert command("train", "+pe=rope", *small_task, "name=mine")[0] == 0
    before = read_accuracy(MINE / "accuracy.csv")
    settings = ["+pe@extend=yarn", "tracking.wandb=disabled", "evaluation.example_lengths=[6,12]"]
    code, _, err = command("evaluate", f"run={MINE}", *settings)
    assert code == 0, err
    rows = read_accuracy(MINE / "accuracy.csv")
    pd.testing.assert_frame_equal(rows.iloc[:6], before)
    extended = rows.iloc[6:]
    assert extended.extend.tolist() == ["yarn"] * 4
    assert extended.length.tolist() == [6, 12] * 2
    assert extended.factor.tolist() == ["auto"] * 2 + ["1.85714"] * 2  # 26 / 14 tokens
    assert len((MINE / "commands.jsonl").read_text().splitlines()) == 2


def test_learned_positions_end_where_training_did(command, small_task):
    assert command("train", "+pe=learned", *small_task, "name=mine")[0] == 0
    rows = read_accuracy(MINE / "accuracy.csv")
    assert rows.examples.tolist() == [8, 8, 0, 0, 0, 0]
    assert rows.exact_match.isna().tolist() == [False] * 2 + [True] * 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["protocols=[fixed_target]"], "measured by protocols=[accuracy] alone, not ['fixed_ta"),
        (["protocols=[]"], "measured by protocols=[accuracy] alone"),
        (["context_lengths=[8,16]"], "evaluation.example_lengths, in items of an example"),
        (["train_length=64"], "train_length must be 14, the tokens of an example of data.task=co"),
        (["length=progressive"], "data=algorithmic has sequences of one length"),
        (["data.task=divide"], "data.task must be one of copy, reverse, addition"),
        (["data.length=1"], "data.length must be a whole number of at least 2, not 1"),
        (["data.index_hints=true"], "data.index_hints is for data.task=addition"),
        (["data.recall_share=0.1"], "data.recall_share must be 0 with data=algorithmic"),
        (["data.tokenizer=bpe"], "data.tokenizer must be symbols, not 'bpe'"),
        (["evaluation.example_lengths=[4,2]"], "evaluation.example_lengths must be increasing"),
        (["evaluation.examples=0"], "evaluation.examples must be a whole number of at least 1"),
        (["tokens_per_step=10"], "a sequence of 14 tokens does not fit tokens_per_step=10"),
    ],
)
def test_train_refuses_settings_of_texts_beside_a_task(command, small_task, settings, message):
    code, _, err = command("train", "+pe=rope", *small_task, *settings)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not Path("results").exists()


def test_train_refuses_the_protocol_of_tasks_on_a_text(command, small):
    code, _, err = command("train", "+pe=rope", *small, "protocols=[accuracy]")
    assert code == 2
    assert "protocols=[accuracy] goes with data=algorithmic, not data=text" in err


def test_measuring_refuses_lengths_beyond_the_symbols(command, small_task):
    settings = [*small_task, "data.task=sorting", "evaluation.example_lengths=[97]", "name=mine"]
    code, _, err = command("train", "+pe=rope", *settings)
    assert code == 2
    assert "examples of length 97 are too long: data.length=6 has symbols for 96 items" in err


def test_collect_and_accuracy_summarise_runs(command, posext, small_task):
    for scheme in ("rope", "none"):
        for task in ("copy", "parity"):
            settings = [*small_task, f"data.task={task}", f"name={scheme}-{task}"]
            assert command("train", f"+pe={scheme}", *settings)[0] == 0
    runs = sorted(Path("results/runs").iterdir())
    posext("collect", *runs[:2], "--out", "study")
    posext("collect", *runs, "--out", "study")
    collected = read_accuracy("study/accuracy.csv")
    assert collected.run.value_counts().to_dict() == {run.name: 6 for run in runs}
    assert not Path("study/curves.csv").exists()
    table = posext("accuracy", "study", "--metric", "normalized", "--figure", "figure.png")
    assert (
        table.splitlines()[0].split("|")[1:-1]
        == posext("accuracy", *runs).splitlines()[0].split("|")[1:-1]
    )
    cells = [cell.strip() for cell in table.splitlines()[0].split("|")[1:-1]]
    assert cells == ["scheme", "copy", "parity", "mean", "mrr", "seeds"]
    assert Path("figure.png").read_bytes().startswith(b"\x89PNG")
    posext("report", *runs, "--out", "page.html")
    assert [chart["title"] for chart in charts(Path("page.html").read_text())] == ["copy", "parity"]


@pytest.mark.parametrize("name", names())
def test_every_scheme_learns_and_answers_examples(name):
    corpus = TaskCorpus(AlgorithmicData(task="parity", length=14))
    tokens, labels, _ = corpus.training_batch(0, 0, 4)
    model = network(2, name)
    model.pe.read_vocabulary(corpus.task.words)
    loss = model(tokens, labels)
    loss.backward()
    norms = [p.grad.norm() for p in model.parameters() if p.grad is not None]
    assert bool(torch.isfinite(torch.stack([loss.detach(), *norms])).all())
    rows = measure_accuracy(
        model, corpus, [14, 28], EvaluationConfig(examples=4), Accelerator(cpu=True)
    )
    end = model.pe.max_length
    assert rows.examples.tolist() == [4, 0 if end and end < 30 else 4]
