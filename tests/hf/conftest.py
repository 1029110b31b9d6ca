from pathlib import Path

import pytest
from helpers.checkpoints import llama
from transformers import PreTrainedTokenizerFast

from posext.analysis import curves
from posext.data import tokenizer

LENGTHS = [16, 32, 64, 128]


@pytest.fixture(scope="session")
def checkpoint(corpus, tmp_path_factory):
    """Write a model and its tokenizer into a new folder, as save_pretrained does."""
    texts = (file.read_text() for file in sorted(corpus.iterdir()))
    trained = PreTrainedTokenizerFast(tokenizer_object=tokenizer.make("bpe", 300, texts))

    def save(model) -> Path:
        folder = tmp_path_factory.mktemp("checkpoint")
        model.save_pretrained(folder)
        trained.save_pretrained(folder)
        return folder

    return save


@pytest.fixture(scope="session")
def plain(checkpoint):
    """A Llama without rotary scaling; tests must not change its folder."""
    return checkpoint(llama())


@pytest.fixture
def try_evaluate(command, corpus, tmp_path_factory):
    """Measure a checkpoint from the command line; return the exit code and stderr."""

    def run(path, *arguments) -> tuple[int, str]:
        code, _, err = command(
            "evaluate",
            "model=hf",
            f"model.path={path}",
            "data=text",
            f"data.path={corpus}",
            f"data.cache={tmp_path_factory.getbasetemp() / 'tokens'}",
            "data.validation_share=0.3",
            "precision=fp32",
            "tracking.wandb=disabled",
            "evaluation.bootstrap=20",
            "evaluation.documents=6",
            *arguments,
        )
        return code, err

    return run


@pytest.fixture
def evaluate(try_evaluate):
    """Measure a checkpoint from the command line; return the rows of its curves."""

    def run(path, *arguments, name="mine", lengths=LENGTHS):
        at_lengths = [] if lengths is None else [f"context_lengths={lengths}"]
        code, err = try_evaluate(path, f"name={name}", *at_lengths, *arguments)
        assert code == 0, err
        return curves.read_curves(Path("results/runs") / name / "curves.csv")

    return run
