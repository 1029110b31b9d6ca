"""The start-of-text token of measured windows."""

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from posext import hf
from posext.analysis.curves import read_curves
from posext.data import dataset
from posext.eval.curve import plan_of


@pytest.fixture
def with_start(plain, tmp_path):
    """The checkpoint `plain` with a tokenizer that puts <s> before a text, or only knows it."""
    import shutil

    def make(puts_it: bool):
        folder = tmp_path / f"start-{puts_it}"
        shutil.copytree(plain, folder)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        tokenizer.add_special_tokens({"bos_token": "<s>"})
        if puts_it:
            tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
                single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
            )
        tokenizer.save_pretrained(folder)
        return folder

    return make


def their_perplexity(folder, length: int, start: bool) -> float:
    """Perplexity by a plain loop over windows, whose first token is <s> or is not."""
    run = hf.open_run("results/runs/mine")
    data = dataset.load_data(run.config.data)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    total, count = 0.0, 0
    for window in plan_of(run, data).protocols["fixed_target"].windows[length]:
        tokens = data.validation.document(window.document)[window.end - length : window.end + 1]
        tokens = torch.tensor(np.asarray(tokens, dtype=np.int64))
        if start:
            tokens[0] = 300
        with torch.no_grad():
            probabilities = model(tokens[None, :-1]).logits[0].log_softmax(-1)
        for back in range(1, window.scored + 1):
            total -= float(probabilities[-back, tokens[-back]])
            count += 1
    return float(np.exp(total / count))


@pytest.mark.parametrize(
    ("puts_it", "choice", "has_start"),
    [
        (True, "auto", True),
        (True, "none", False),
        (False, "auto", False),
        (False, "window", True),
    ],
)
def test_start_token_takes_the_place_of_the_first_of_a_window(
    with_start, evaluate, puts_it, choice, has_start
):
    folder = with_start(puts_it)
    rows = evaluate(folder, f"evaluation.bos={choice}")
    assert set(rows.bos) == ({"<s>"} if has_start else {""})
    by_length = rows.set_index("context_length").perplexity
    for length in (16, 64):
        expected = their_perplexity(folder, length, has_start)
        assert by_length[length] == pytest.approx(expected, rel=1e-5)


def test_targets_are_the_same_with_and_without_a_start_token(with_start, evaluate):
    folder = with_start(True)
    one = evaluate(folder)
    other = evaluate(folder, "evaluation.bos=none", name="other")
    assert one.targets.tolist() == other.targets.tolist()
    assert one.nll.tolist() != other.nll.tolist()


def test_another_start_token_in_the_same_folder_is_refused(with_start, evaluate, try_evaluate):
    folder = with_start(True)
    evaluate(folder)
    code, err = try_evaluate(folder, "name=mine", "evaluation.bos=none")
    assert code == 2
    assert "the bos of results/runs/mine are other ones now; choose another name=" in err


def test_window_without_a_start_token_is_refused(plain, try_evaluate):
    code, err = try_evaluate(plain, "name=mine", "evaluation.bos=window")
    assert code == 2
    assert "evaluation.bos=window" in err
    assert "has no start-of-text token" in err


def test_passkey_alone_is_measured(plain, try_evaluate, command):
    code, err = try_evaluate(
        plain, "name=mine", "protocols=[passkey]", "evaluation.trials=1", "context_lengths=[256]"
    )
    assert code == 0, err
    assert not len(read_curves("results/runs/mine/curves.csv"))
    from posext.analysis import retrieval

    assert set(retrieval.read_retrieval("results/runs/mine/retrieval.csv").task) == {"passkey"}
