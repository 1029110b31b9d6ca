"""Checkpoints of transformers that are trained further here, against transformers alone."""

import shutil
from pathlib import Path

import pytest
import torch
from helpers.checkpoints import ARCHITECTURES, ORIGINAL, SIZES
from helpers.processes import DDP, FSDP, FSDP_ON_CPU, TRAIN, assert_same_run, launch_two
from transformers import AutoModelForCausalLM

from posext import hf
from posext.analysis.curves import read_curves
from posext.data import dataset
from posext.data.recall.mixing import batch
from posext.hf.network import Network

RUNS = Path("results/runs")


@pytest.fixture
def continued(command, corpus, tmp_path_factory):
    """Train a checkpoint further; return the folder of the run."""

    def run(path, name: str, *typed: str, code: int = 0) -> Path:
        found, _, err = command(
            "train",
            f"init={path}",
            "data=text",
            f"data.path={corpus}",
            f"data.cache={tmp_path_factory.getbasetemp() / 'tokens'}",
            "data.validation_share=0.3",
            "compile=false",
            "precision=fp32",
            "tracking.wandb=disabled",
            "evaluation.documents=6",
            "tokens_per_step=256",
            f"name={name}",
            *typed,
        )
        assert found == code, err
        return RUNS / name if code == 0 else err

    return run


def their_losses(folder: Path, run, length: int) -> torch.Tensor:
    """NLL of a batch of the run's corpus, computed by transformers alone."""
    tokens = dataset.load_data(run.config.data)
    windows, _ = batch(tokens, run.config.data, 5, 0, length, 4)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(windows[:, :-1]).logits
    return torch.nn.functional.cross_entropy(
        logits.transpose(1, 2), windows[:, 1:], reduction="none"
    )


def our_losses(run, length: int) -> torch.Tensor:
    tokens = dataset.load_data(run.config.data)
    windows, _ = batch(tokens, run.config.data, 5, 0, length, 4)
    network = run.network(run.config, tokens.vocab_size).eval()
    with torch.no_grad():
        return network.target_nll(windows[:, :-1], windows[:, 1:])


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("scheme", ["yarn", "linear"])
def test_transformers_alone_gives_the_losses_of_a_continued_checkpoint(
    checkpoint, continued, name, scheme
):
    path = checkpoint(ARCHITECTURES[name]())
    typed = [f"+pe={scheme}", "train_length=64", "steps=50", "learning_rate=1e-3", "evaluate=false"]
    folder = continued(path, "mine", *typed)
    run = hf.open_run(folder)
    ours = our_losses(run, 64)
    theirs = their_losses(folder / "model", run, 64)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    untrained = their_losses(path, run, 64)
    assert float(untrained.mean() - theirs.mean()) > 0.5, "it has learned"


def test_local_layers_keep_their_frequencies(checkpoint, continued):
    path = checkpoint(ARCHITECTURES["gemma3"]())
    before = AutoModelForCausalLM.from_pretrained(path)
    folder = continued(
        path, "mine", "+pe=linear", "train_length=64", "steps=1", "learning_rate=1e-9"
    )
    after = AutoModelForCausalLM.from_pretrained(folder / "model")
    tables = [model.model.rotary_emb for model in (before, after)]
    local = [table.sliding_attention_inv_freq for table in tables]
    assert local[0].equal(local[1])
    whole = [table.full_attention_inv_freq for table in tables]
    torch.testing.assert_close(whole[0] / 2, whole[1])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_extension_equals_transformers_own_scaling_of_global_layers(checkpoint, evaluate, name):
    make = ARCHITECTURES[name]
    plain = make()
    parameters = dict(plain.config.rope_parameters)
    scaling = {"rope_type": "linear", "factor": 4.0}
    if "full_attention" in parameters:
        scaled = {**parameters, "full_attention": {**parameters["full_attention"], **scaling}}
    else:
        scaled = {**parameters, **scaling}
    theirs = make(rope_parameters=scaled)
    ours = evaluate(checkpoint(plain), "+pe@extend=linear", "extend.factor=4")
    expected = evaluate(checkpoint(theirs), name="theirs")
    plain_rows = evaluate(checkpoint(plain), name="plain")
    assert ours.nll.tolist() == pytest.approx(expected.nll.tolist(), rel=1e-5)
    assert plain_rows.nll.tolist() != pytest.approx(expected.nll.tolist(), rel=1e-3)


def test_gradients_equal_those_of_transformers_loss(plain):
    model = AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32).train()
    network = Network(model, hf.open_parent(config_of(plain)).scheme())
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(SIZES["vocab_size"], (2, 33), generator=generator)
    network(tokens[:, :-1], tokens[:, 1:]).backward()
    ours = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    (64 * model(tokens, labels=tokens).loss).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, atol=1e-4, rtol=1e-4)


def config_of(path):
    from posext.config import InitConfig, TextData, TrainConfig

    return TrainConfig(init=InitConfig(path=str(path)), data=TextData(path="."))


def test_activation_checkpointing_changes_no_number(plain, continued):
    typed = ["+pe=yarn", "train_length=64", "steps=3", "learning_rate=1e-3", "evaluate=false"]
    one = continued(plain, "one", *typed)
    other = continued(plain, "other", *typed, "activation_checkpointing=true")
    networks = [
        AutoModelForCausalLM.from_pretrained(folder / "model").state_dict()
        for folder in (one, other)
    ]
    for name, tensor in networks[0].items():
        torch.testing.assert_close(tensor, networks[1][name])


def test_lora_trains_attention_norms_and_embeddings_and_leaves_plain_weights(plain, continued):
    typed = ["+pe=yarn", "train_length=64", "steps=30", "learning_rate=3e-3", "evaluate=false"]
    folder = continued(plain, "mine", *typed, "init.lora_rank=2")
    run = hf.open_run(folder)
    before = AutoModelForCausalLM.from_pretrained(plain).state_dict()
    model = AutoModelForCausalLM.from_pretrained(folder / "model")
    after = model.state_dict()
    assert before.keys() == after.keys()
    changed = {name for name in after if not after[name].equal(before[name])}
    assert not [name for name in changed if "mlp" in name]
    assert {"model.embed_tokens.weight", "model.norm.weight"} <= changed
    query = "model.layers.0.self_attn.q_proj.weight"
    difference = after[query] - before[query]
    assert int(torch.linalg.matrix_rank(difference, rtol=1e-4)) == 2
    theirs = their_losses(folder / "model", run, 64)
    torch.testing.assert_close(our_losses(run, 64), theirs, atol=1e-4, rtol=1e-4)
    assert float(their_losses(plain, run, 64).mean() - theirs.mean()) > 0.2, "it has learned"


@pytest.mark.parametrize("tuning", ["optimizer=muon", "init.lora_rank=2"])
def test_continued_checkpoint_resumes_to_the_same_weights(plain, continued, monkeypatch, tuning):
    from posext import train
    from posext.training import checkpoint

    typed = ["+pe=yarn", "train_length=64", "steps=6", "learning_rate=1e-3", "evaluate=false"]
    typed += ["checkpoint_every=1", tuning]
    straight = continued(plain, "straight", *typed)
    save = checkpoint.save

    def stop_at_3(folder, step, *rest):
        save(folder, step, *rest)
        if step == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(train.checkpoint, "save", stop_at_3)
        continued(plain, "resumed", *typed, code=130)
    resumed = continued(plain, "resumed", *typed)
    weights = [
        AutoModelForCausalLM.from_pretrained(folder / "model").state_dict()
        for folder in (straight, resumed)
    ]
    assert all(weights[0][name].equal(tensor) for name, tensor in weights[1].items())


def test_continued_checkpoint_is_continued_again(plain, continued):
    typed = ["+pe=yarn", "train_length=64", "steps=6", "learning_rate=1e-3", "evaluate=false"]
    straight = continued(plain, "straight", *typed)
    again = continued(straight, "again", "train_length=128", "steps=2", "learning_rate=1e-4")
    run = hf.open_run(again)
    assert run.lineage == "llama rope → yarn, +6 steps at 64 → yarn, +2 steps at 128"
    assert (run.original_length, run.scheme().scale(128)) == (ORIGINAL, 4)
    rope = AutoModelForCausalLM.from_pretrained(again / "model").config.rope_parameters
    assert (rope["rope_type"], rope["factor"]) == ("yarn", 4.0)
    rows = read_curves(again / "curves.csv")
    assert set(rows.lineage) == {run.lineage}
    assert rows.nll.notna().all()


def test_kept_checkpoint_has_the_rotary_settings_of_its_own_length(plain, continued):
    """Two steps at 32 tokens, the original length, then two at 64."""
    stages = "length.stages=[{multiple:1,share:0.5},{multiple:2,share:0.5}]"
    typed = ["+pe=linear", "train_length=32", stages, "steps=4", "keep_every=2", "evaluate=false"]
    folder = continued(plain, "mine", *typed, "learning_rate=1e-3")
    factors = [
        AutoModelForCausalLM.from_pretrained(each / "model").config.rope_parameters["factor"]
        for each in (folder / "kept" / "mine-step-2", folder)
    ]
    assert factors == [1, 2]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["+pe=alibi"], "can be given rotary frequencies"),
        (["+pe=none"], "can be given rotary frequencies"),
        (["+pe=ntk_mixed"], "transformers has no form of ntk_mixed"),
        (["+pe=yarn", "train_length=16"], "was trained to 32 tokens, and this run ends at 16"),
        (["+pe=yarn", "data.tokenizer=bytes"], "has another vocabulary"),
        (["init.optimizer=true"], "init.optimizer=true"),
        (["+pe=yarn", "length=window"], "must be 1 for a checkpoint of transformers"),
    ],
)
def test_what_a_checkpoint_cannot_do_is_refused_in_a_sentence(plain, continued, typed, message):
    err = continued(plain, "mine", "steps=1", "evaluate=false", *typed, code=2)
    assert message in err
    assert not (RUNS / "mine").exists()


def test_checkpoint_with_code_of_its_own_is_refused(plain, continued, tmp_path):
    folder = tmp_path / "remote"
    shutil.copytree(plain, folder)
    config = (folder / "config.json").read_text()
    config = config.replace('"model_type": "llama"', '"model_type": "elsewhere"')
    automap = '{"auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"},'
    (folder / "config.json").write_text(config.replace("{", automap, 1))
    err = continued(folder, "mine", "+pe=yarn", "train_length=64", code=2)
    assert "needs code of its own, which is never run" in err
    assert not (RUNS / "mine").exists()


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True], ids=["ddp", "fsdp"])
def test_two_processes_continue_a_checkpoint_as_one(plain, continued, corpus, sharded):
    typed = ["+pe=yarn", "train_length=64", "steps=6", "learning_rate=1e-3", "checkpoint_every=2"]
    typed += ["context_lengths=[16,64]"]
    one = continued(plain, "one", *typed)
    wrap = ["--fsdp_transformer_layer_cls_to_wrap", "LlamaDecoderLayer"]
    options, program = ([*FSDP, *wrap], FSDP_ON_CPU) if sharded else (DDP, TRAIN)
    settings = hf.open_run(one).config
    shared = [
        f"init={plain}",
        "data=text",
        f"data.path={corpus}",
        f"data.cache={settings.data.cache}",
        "data.validation_share=0.3",
        "compile=false",
        "precision=fp32",
        "tracking.wandb=disabled",
        "evaluation.documents=6",
        "tokens_per_step=256",
    ]
    assert launch_two(options, program, *shared, *typed, "name=two") == 0
    assert_same_run("one", "two")
    models = [
        AutoModelForCausalLM.from_pretrained(RUNS / name / "model") for name in ("one", "two")
    ]
    weights = [model.state_dict() for model in models]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], atol=1e-4, rtol=1e-3)
