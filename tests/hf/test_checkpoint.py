"""Checkpoints of transformers, measured as ours are; the reference is transformers with its own `rope_parameters`."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from posext.analysis import curves
from posext.data import dataset, tokenizer
from posext.eval.curve import plan_of
from posext.eval.protocols import PROTOCOLS
from posext.hf import load
from posext.hf.network import Network, checkpoint_positions
from posext.runs.run import load_run as load_run

ORIGINAL = 32
LENGTHS = [16, 32, 64, 128]
SIZES = {
    "vocab_size": 320,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}  # 300 tokens are in use


@pytest.fixture(scope="module")
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


def llama(**changes) -> LlamaForCausalLM:
    """A small random one whose attention is far from uniform, so that positions matter."""
    torch.manual_seed(0)
    settings = {
        "intermediate_size": 48,
        "max_position_embeddings": ORIGINAL,
        "initializer_range": 0.3,
        **SIZES,
    }
    return LlamaForCausalLM(LlamaConfig(**{**settings, "num_key_value_heads": 1, **changes}))


@pytest.fixture(scope="module")
def plain(checkpoint):
    return checkpoint(llama())


@pytest.fixture
def evaluate(command, corpus, tmp_path_factory):
    """Measure a checkpoint from the command line: the rows it left."""

    def run(path, *arguments, name="mine", lengths=LENGTHS):
        at = [] if lengths is None else [f"context_lengths={lengths}"]
        code, _, err = measured(path, f"name={name}", *at, *arguments)
        assert code == 0, err
        return curves.read_curves(Path("results/runs") / name / "curves.csv")

    def measured(path, *arguments):
        return command(
            "evaluate", "model=hf", f"model.path={path}", "data=text", f"data.path={corpus}", "data.validation_share=0.3",
            f"data.cache={tmp_path_factory.getbasetemp() / 'tokens'}", "precision=fp32", "tracking.wandb=disabled",
            "evaluation.bootstrap=20", "evaluation.documents=6", *arguments,
        )  # fmt: skip

    run.measured = measured
    return run


def test_every_protocol_measures_a_checkpoint(plain, evaluate):
    rows = evaluate(
        plain, f"protocols=[{','.join(PROTOCOLS)}]", "evaluation.documents=2", lengths=[16, 32, 64]
    )
    assert set(rows.protocol) == set(PROTOCOLS)
    assert rows.nll.notna().all()
    assert set(rows.original_length) == {ORIGINAL}


def test_perplexity_equals_a_plain_loop_over_logits_in_float64(plain, evaluate, corpus):
    """Text to tokens, targets to labels, tokens to a mean: all of it once more by hand, with transformers alone."""
    perplexity = evaluate(plain).set_index("context_length").perplexity
    read, model = (
        transformers.AutoTokenizer.from_pretrained(plain),
        LlamaForCausalLM.from_pretrained(plain, dtype=torch.float64),
    )
    run = load_run("results/runs/mine")
    plan, names = (
        plan_of(run, dataset.load_data(run.config.data)),
        dataset.load_data(run.config.data).validation.names,
    )
    for length in LENGTHS:
        total, count = 0.0, 0
        for window in plan.protocols["fixed_target"].windows[length]:
            tokens = read((corpus / names[window.document]).read_text())["input_ids"]
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
SWAPS = {  # what is typed here, and what transformers calls it
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
    """The same weights under transformers' own scaling."""
    return checkpoint(llama(rope_parameters={"rope_theta": 10000.0, **parameters}))


@pytest.mark.parametrize("scheme", SWAPS)
def test_a_swap_equals_transformers_own_rope_parameters(plain, checkpoint, evaluate, scheme):
    typed, parameters = SWAPS[scheme]
    ours = evaluate(plain, f"+pe@extend={scheme}", *typed).set_index("context_length").perplexity
    theirs = (
        evaluate(scaled(checkpoint, parameters), name="theirs")
        .set_index("context_length")
        .perplexity
    )
    unscaled = evaluate(plain, name="unscaled").set_index("context_length").perplexity
    assert ours.tolist() == pytest.approx(theirs.tolist(), rel=1e-5)
    assert abs(theirs[128] / unscaled[128] - 1) > 0.01


def test_a_matched_factor_equals_transformers_with_another_factor_at_every_length(
    plain, checkpoint, evaluate
):
    rows = evaluate(plain, "+pe@extend=yarn")
    assert set(rows.factor) == {"auto", "4"}
    ours = rows[rows.factor == "auto"].set_index("context_length").perplexity
    for length in LENGTHS:
        folder = scaled(checkpoint, {"rope_type": "yarn", "factor": max(1.0, length / ORIGINAL)})
        theirs = evaluate(folder, name=f"at{length}").set_index("context_length").perplexity
        assert ours[length] == pytest.approx(theirs[length], rel=1e-5)


def test_a_scaling_replaces_that_of_the_checkpoint(plain, checkpoint, evaluate):
    """Frequencies, temperature and original length of a YaRN checkpoint do not leak into what replaces it."""
    folder = scaled(
        checkpoint,
        {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": ORIGINAL},
    )
    replaced, usual = (
        evaluate(path, "+pe@extend=linear", "extend.factor=2", name=path.name)
        for path in (folder, plain)
    )
    assert replaced.nll.tolist() == usual.nll.tolist()
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


def test_the_rotary_base_is_the_checkpoints_unless_typed(checkpoint, evaluate):
    folder = checkpoint(llama(rope_parameters={"rope_type": "default", "rope_theta": 50.0}))
    own = evaluate(folder).nll
    assert evaluate(folder, "+pe@extend=rope", name="same").nll.tolist() == pytest.approx(
        own.tolist(), rel=1e-5
    )
    other = evaluate(folder, "+pe@extend=rope", "extend.base=10000", name="other").nll
    assert abs(other.iloc[-1] / own.iloc[-1] - 1) > 1e-3


def test_dynamic_scaling_forgets_the_lengths_before(checkpoint):
    """transformers' module keeps the frequencies of the longest context it has seen."""
    path = str(scaled(checkpoint, {"rope_type": "dynamic", "factor": 2.0}))
    tokens = torch.randint(300, (2, 128), generator=torch.Generator().manual_seed(0))
    used, fresh = (
        Network(
            load.load_model(path), checkpoint_positions(load.load_skeleton(path), ORIGINAL)
        ).eval()
        for _ in range(2)
    )
    with torch.inference_mode():
        used(tokens)
        torch.testing.assert_close(used(tokens[:, :64]), fresh(tokens[:, :64]), atol=0, rtol=0)
        torch.testing.assert_close(
            used(tokens), AutoModelForCausalLM.from_pretrained(path)(tokens).logits
        )


def test_learned_positions_end_where_their_table_does(checkpoint, evaluate):
    config = transformers.GPT2Config(
        vocab_size=320, n_embd=32, n_layer=2, n_head=2, n_positions=ORIGINAL
    )
    folder = checkpoint(transformers.GPT2LMHeadModel(config))
    nll = evaluate(folder).set_index("context_length").nll
    assert nll.notna().to_dict() == {16: True, 32: True, 64: False, 128: False}
    code, _, err = evaluate.measured(folder, "+pe@extend=yarn", "name=mine")
    assert code == 2
    assert err.count("\n") == 1
    assert "has no rotary frequencies to replace: measure it without an extension" in err
    assert evaluate(folder, name="default", lengths=None).context_length.tolist() == [16, 32]


def test_a_model_with_its_own_bias_is_measured_as_it_is(checkpoint, evaluate):
    config = transformers.BloomConfig(
        vocab_size=320, hidden_size=32, n_layer=2, n_head=2, initializer_range=0.3
    )
    folder = checkpoint(transformers.BloomForCausalLM(config))
    rows = evaluate(folder, "train_length=32")
    assert rows.nll.notna().all()
    assert set(rows.scheme) == {"bloom"}
    code, _, err = evaluate.measured(folder, "name=other")
    assert (code, "does not say how long its contexts were: give train_length=TOKENS" in err) == (
        2,
        True,
    )


@pytest.mark.parametrize("scheme", ["xpos", "partial", "none", "alibi", "drope"])
def test_only_rotary_frequencies_can_be_swapped_in(plain, evaluate, scheme):
    code, _, err = evaluate.measured(plain, f"+pe@extend={scheme}")
    assert code == 2
    assert f"can be given rotary frequencies, one a pair; {scheme} is" in err
    code, _, err = evaluate.measured(plain, "+window=rerope")
    assert (code, "llama rope+rerope is more" in err) == (2, True)


def without(folder: Path, name: str) -> Path:
    (folder / name).unlink()
    return folder


def test_weights_that_could_hold_code_are_refused(checkpoint, evaluate):
    folder = without(checkpoint(llama()), "model.safetensors")
    torch.save(llama().state_dict(), folder / "pytorch_model.bin")
    code, _, err = evaluate.measured(folder)
    assert (code, "holds no .safetensors" in err) == (2, True)


def test_code_beside_a_checkpoint_is_never_run(checkpoint, evaluate):
    """Where transformers has a model of that type its own is loaded; where it has none the checkpoint is refused."""
    folder = checkpoint(llama())
    (folder / "modeling_own.py").write_text("from pathlib import Path\nPath('it_ran').touch()\n")
    described = json.loads((folder / "config.json").read_text())
    described["auto_map"] = {
        "AutoConfig": "modeling_own.Config",
        "AutoModelForCausalLM": "modeling_own.Model",
    }
    (folder / "config.json").write_text(json.dumps(described))
    assert evaluate(folder).nll.notna().all()
    (folder / "config.json").write_text(json.dumps({**described, "model_type": "own"}))
    code, _, err = evaluate.measured(folder, "name=other")
    assert (code, "needs code of its own, which is never run" in err) == (2, True)
    assert not list(Path().rglob("it_ran"))


def test_missing_weights_are_refused(checkpoint, evaluate):
    folder = checkpoint(llama())
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    code, _, err = evaluate.measured(folder)
    assert (
        code,
        "lacks 1 of its weights, among them model.layers.1.mlp.up_proj.weight" in err,
    ) == (2, True)


def test_a_model_that_reads_what_comes_later_is_refused(checkpoint, evaluate):
    config = transformers.BertConfig(**SIZES, intermediate_size=48, max_position_embeddings=64)
    code, _, err = evaluate.measured(checkpoint(transformers.BertLMHeadModel(config)))
    assert (code, "is no causal model" in err) == (2, True)


def test_a_folder_holds_one_checkpoint_and_can_be_measured_again_by_its_name(
    checkpoint, evaluate, command
):
    folder = checkpoint(llama())
    before = evaluate(folder).nll
    code, _, err = command(
        "evaluate", "run=results/runs/mine", "precision=fp32", "tracking.wandb=disabled"
    )
    assert code == 0, err
    assert curves.read_curves(Path("results/runs/mine/curves.csv")).nll.tolist() == before.tolist()
    llama(initializer_range=0.1).save_pretrained(folder)
    code, _, err = evaluate.measured(folder, "name=mine")
    assert (code, "the weights of results/runs/mine are other ones now" in err) == (2, True)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            ["model=hf"],
            "name the run to measure: run=results/runs/NAME, or a checkpoint of transformers: model=hf model.path=",
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
def test_typed_nonsense_gets_one_sentence(command, typed, said):
    Path("empty").mkdir()
    code, _, err = command("evaluate", *typed)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_a_checkpoint_is_not_trained(command):
    code, _, err = command("train", "+pe=rope", "model=hf", "model.path=x")
    assert (code, "a checkpoint is measured, not trained" in err) == (2, True)
