"""Measurements of checkpoints against transformers with its own `rope_parameters`."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from helpers.checkpoints import ORIGINAL, SIZES, llama
from transformers import LlamaForCausalLM

from posext.analysis import curves
from posext.data import dataset
from posext.eval.curve import plan_of
from posext.eval.protocols import PROTOCOLS
from posext.runs.run import load_run

LENGTHS = [16, 32, 64, 128]


def test_evaluate_measures_a_checkpoint_under_every_protocol(plain, evaluate):
    rows = evaluate(
        plain, f"protocols=[{','.join(PROTOCOLS)}]", "evaluation.documents=2", lengths=[16, 32, 64]
    )
    assert set(rows.protocol) == set(PROTOCOLS)
    assert rows.nll.notna().all()
    assert set(rows.original_length) == {ORIGINAL}


def test_perplexity_equals_a_plain_float64_loop(plain, evaluate, corpus):
    """Tokens, targets and their mean come from transformers and a loop, in float64."""
    perplexity = evaluate(plain).set_index("context_length").perplexity
    tokenizer = transformers.AutoTokenizer.from_pretrained(plain)
    model = LlamaForCausalLM.from_pretrained(plain, dtype=torch.float64)
    run = load_run("results/runs/mine")
    data = dataset.load_data(run.config.data)
    plan = plan_of(run, data)
    for length in LENGTHS:
        total, count = 0.0, 0
        for window in plan.protocols["fixed_target"].windows[length]:
            text = (corpus / data.validation.names[window.document]).read_text()
            tokens = tokenizer(text)["input_ids"]
            context = torch.tensor([tokens[window.end - length : window.end]])
            with torch.no_grad():
                probabilities = model(context).logits[0].log_softmax(-1)
            for back in range(window.scored):
                total -= float(probabilities[length - 1 - back, tokens[window.end - back]])
                count += 1
        assert np.exp(total / count) == pytest.approx(perplexity[length], rel=1e-6)


PAIRS = SIZES["hidden_size"] // SIZES["num_attention_heads"] // 2
LISTS = {
    "short_factor": [1 + i / 10 for i in range(PAIRS)],
    "long_factor": [1.5 + i for i in range(PAIRS)],
}
BETAS = {"beta_fast": 4.0, "beta_slow": 0.5}
BOUNDS = {"low_freq_factor": 0.5, "high_freq_factor": 3.0}
SWAPS = {  # settings of `posext evaluate`, and the rope_parameters of transformers
    "linear": (["extend.factor=4"], {"rope_type": "linear", "factor": 4.0}),
    "ntk": (["extend.factor=4"], {"rope_type": "default", "rope_theta": 10000.0 * 4 ** (16 / 14)}),
    "dynamic_ntk": (
        ["extend.semantics=hf", "extend.hf_factor=2"],
        {"rope_type": "dynamic", "factor": 2.0},
    ),
    "yarn": (
        ["extend.factor=4", *(f"extend.{k}={v}" for k, v in BETAS.items())],
        {"rope_type": "yarn", "factor": 4.0, **BETAS},
    ),
    "llama3": (
        ["extend.factor=4", *(f"extend.{k}={v}" for k, v in BOUNDS.items())],
        {
            "rope_type": "llama3",
            "factor": 4.0,
            "original_max_position_embeddings": ORIGINAL,
            **BOUNDS,
        },
    ),
    "longrope": (
        ["extend.factor=4", *(f"extend.{k}={v}" for k, v in LISTS.items())],
        {"rope_type": "longrope", "factor": 4.0, **LISTS},
    ),
}


def scaled(checkpoint, parameters) -> Path:
    """The weights of `plain` under transformers' own scaling."""
    return checkpoint(llama(rope_parameters={"rope_theta": 10000.0, **parameters}))


@pytest.mark.parametrize("scheme", SWAPS)
def test_extend_equals_rope_parameters_of_transformers(plain, checkpoint, evaluate, scheme):
    typed, parameters = SWAPS[scheme]
    rows = evaluate(plain, f"+pe@extend={scheme}", *typed)
    their_rows = evaluate(scaled(checkpoint, parameters), name="theirs")
    unscaled_rows = evaluate(plain, name="unscaled")
    ours, theirs, unscaled = (
        table.set_index("context_length").perplexity for table in (rows, their_rows, unscaled_rows)
    )
    assert ours.tolist() == pytest.approx(theirs.tolist(), rel=1e-5)
    assert abs(theirs[128] / unscaled[128] - 1) > 0.01


def test_extend_with_matched_factor_equals_transformers(plain, checkpoint, evaluate):
    """Under transformers, every length takes a checkpoint of its own factor."""
    rows = evaluate(plain, "+pe@extend=yarn")
    assert set(rows.factor) == {"auto", "4"}
    ours = rows[rows.factor == "auto"].set_index("context_length").perplexity
    for length in LENGTHS:
        folder = scaled(checkpoint, {"rope_type": "yarn", "factor": max(1.0, length / ORIGINAL)})
        theirs = evaluate(folder, name=f"at{length}").set_index("context_length").perplexity
        assert ours[length] == pytest.approx(theirs[length], rel=1e-5)


def test_extend_replaces_the_scaling_of_the_checkpoint(plain, checkpoint, evaluate):
    """YaRN's frequencies, temperature and original length do not leak into what replaces it."""
    yarn = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": ORIGINAL}
    replaced, unscaled = (
        evaluate(path, "+pe@extend=linear", "extend.factor=2", name=path.name)
        for path in (scaled(checkpoint, yarn), plain)
    )
    assert replaced.nll.tolist() == unscaled.nll.tolist()
    assert set(replaced.scheme) == {"llama yarn"}


def test_original_length_comes_from_the_config(plain, checkpoint, evaluate):
    longer = {
        "rope_type": "llama3",
        "factor": 8.0,
        "original_max_position_embeddings": 8192,
        **BOUNDS,
    }
    folder = checkpoint(
        llama(max_position_embeddings=65536, rope_parameters={"rope_theta": 1e6, **longer})
    )
    assert set(evaluate(folder).original_length) == {8192}
    assert set(evaluate(plain, "train_length=64", name="typed").original_length) == {64}
    assert set(evaluate(plain, name="default", lengths=None).context_length) == {16, 32, 64, 128}


def test_rotary_base_is_that_of_the_checkpoint_unless_set(checkpoint, evaluate):
    folder = checkpoint(llama(rope_parameters={"rope_type": "default", "rope_theta": 50.0}))
    own = evaluate(folder).nll
    same = evaluate(folder, "+pe@extend=rope", name="same").nll
    assert same.tolist() == pytest.approx(own.tolist(), rel=1e-5)
    other = evaluate(folder, "+pe@extend=rope", "extend.base=10000", name="other").nll
    assert abs(other.iloc[-1] / own.iloc[-1] - 1) > 1e-3


def test_evaluate_stops_at_the_end_of_a_position_table(checkpoint, evaluate, try_evaluate):
    config = transformers.GPT2Config(
        vocab_size=320, n_embd=32, n_layer=2, n_head=2, n_positions=ORIGINAL
    )
    folder = checkpoint(transformers.GPT2LMHeadModel(config))
    nll = evaluate(folder).set_index("context_length").nll
    assert nll.notna().to_dict() == {16: True, 32: True, 64: False, 128: False}
    code, err = try_evaluate(folder, "+pe@extend=yarn", "name=mine")
    assert code == 2
    assert err.count("\n") == 1
    assert "has no rotary frequencies to replace: measure it without an extension" in err
    assert evaluate(folder, name="default", lengths=None).context_length.tolist() == [16, 32]


def test_evaluate_needs_a_train_length_for_a_bias_model(checkpoint, evaluate, try_evaluate):
    """The config of a model with a bias does not tell the length of its contexts."""
    config = transformers.BloomConfig(
        vocab_size=320, hidden_size=32, n_layer=2, n_head=2, initializer_range=0.3
    )
    folder = checkpoint(transformers.BloomForCausalLM(config))
    rows = evaluate(folder, "train_length=32")
    assert rows.nll.notna().all()
    assert set(rows.scheme) == {"bloom"}
    code, err = try_evaluate(folder, "name=other")
    assert code == 2
    assert "does not say how long its contexts were: give train_length=TOKENS" in err


@pytest.mark.parametrize("scheme", ["xpos", "partial", "none", "alibi", "drope", "fope"])
def test_extend_refuses_all_but_rotary_frequencies(plain, try_evaluate, scheme):
    code, err = try_evaluate(plain, f"+pe@extend={scheme}")
    assert code == 2
    assert f"can be given rotary frequencies, one a pair; {scheme} is" in err


def test_evaluate_run_measures_a_checkpoint_again(checkpoint, evaluate, try_evaluate, command):
    """The folder of a run holds one checkpoint: with other weights it is refused."""
    folder = checkpoint(llama())
    before = evaluate(folder).nll
    code, _, err = command(
        "evaluate", "run=results/runs/mine", "precision=fp32", "tracking.wandb=disabled"
    )
    assert code == 0, err
    assert curves.read_curves(Path("results/runs/mine/curves.csv")).nll.tolist() == before.tolist()
    llama(initializer_range=0.1).save_pretrained(folder)
    code, err = try_evaluate(folder, "name=mine")
    assert code == 2
    assert "the weights of results/runs/mine are other ones now" in err


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            ["model=hf"],
            "name the run to measure: run=results/runs/NAME, "
            "or a checkpoint of transformers: model=hf model.path=",
        ),
        (
            ["model=hf", "model.path=no/such/folder"],
            "is no folder, nor could it be an id on the hub",
        ),
        (["model=hf", "model.path=empty"], "it has no config.json"),
        (["model=hf", "model.paht=x"], "did you mean path?"),
        (["model=nano"], "model=nano is a network to train"),
        (["model.path=empty"], "it has no config.json"),
        ([], "name the run to measure"),
        (["run=x", "model=hf", "model.path=empty"], "model goes with a checkpoint"),
        (["run=x", "data=text"], "data goes with a checkpoint"),
    ],
)
def test_evaluate_refuses_wrong_settings_in_a_line(command, typed, message):
    Path("empty").mkdir()
    code, _, err = command("evaluate", *typed)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_train_refuses_a_checkpoint(command):
    code, _, err = command("train", "+pe=rope", "model=hf", "model.path=x")
    assert code == 2
    assert "a checkpoint is trained further with init=FOLDER_OR_ID" in err
