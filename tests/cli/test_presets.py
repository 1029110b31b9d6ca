"""Ready choices: each composes without a network, names its source, and says what it needs."""

import re

import datasets
import huggingface_hub.constants
import pytest
import yaml
from helpers.composed import composed
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from posext.cli import app
from posext.config import HUB_ID, HubData
from posext.data import corpus, tokenizer
from posext.model.gpt import GPT
from posext.pe import CONFIGS, build, names

NEEDS_A_PATH = ("text",)
HUB = [
    name
    for name in names("data")
    if "schema/data@_here_: hub" in (CONFIGS / "data" / f"{name}.yaml").read_text()
]
PAPERS = ("alibi_paper", "fire", "fox", "kerple", "path", "yarn_paper")
CHOICES = [
    *(f"data={name}" for name in names("data") if name not in NEEDS_A_PATH),
    *(f"model={name}" for name in names("model") if name != "hf"),
    *(f"experiment={name}" for name in names("experiment")),
    *(f"debug={name}" for name in names("debug")),
]
SOURCE = re.compile(r"arXiv:\d{4}\.\d{5}|\b(19|20)\d\d\b")


def text_of(choice: str) -> str:
    group, _, name = choice.partition("=")
    return (CONFIGS / group / f"{name}.yaml").read_text()


def head(choice: str) -> str:
    """The comment at the start of a choice's file."""
    lines = text_of(choice).removeprefix("# @package _global_\n").splitlines()
    end = next(index for index, line in enumerate(lines) if not line.startswith("#"))
    return "\n".join(lines[:end])


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """A machine without a network and without anything downloaded before."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "datasets"))


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes_offline_and_says_what_it_is(choice):
    scheme = [] if choice.startswith("experiment=") and "/pe:" in text_of(choice) else ["+pe=rope"]
    assert composed(choice, *scheme)
    assert head(choice).startswith("# ")


@pytest.mark.parametrize(
    "choice", [f"data={name}" for name in HUB] + [f"experiment={name}" for name in PAPERS]
)
def test_every_preset_names_its_source(choice):
    assert SOURCE.search(head(choice)), head(choice)


@pytest.mark.parametrize("name", PAPERS)
def test_every_preset_of_a_paper_sets_what_its_table_says(name):
    """Length, batch, steps, corpus, optimizer and lengths of the curve are the preset's own."""
    set_keys = app.keys_set_by("experiment", name)
    assert set_keys >= {
        "pe",
        "data",
        "optimizer",
        "train_length",
        "tokens_per_step",
        "steps",
        "learning_rate",
        "context_lengths",
    }
    config = composed(f"experiment={name}")
    assert config.optimizer.kind == "adamw"
    assert config.tokens_per_step % config.train_length == 0
    assert config.train_length in config.context_lengths
    assert config.context_lengths[-1] > config.train_length


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("alibi_paper", 205 * 103e6),  # 205 epochs of WikiText-103
        ("kerple", 50_000 * 32 * 512),
        ("fox", 2.5 * 2**30),
        ("path", 50e9),
        ("yarn_paper", 400 * 64 * 65536),
    ],
)
def test_a_preset_of_a_paper_sees_as_many_tokens_as_the_paper(name, tokens):
    config = composed(f"experiment={name}")
    assert config.steps * config.tokens_per_step == pytest.approx(tokens, rel=0.01)


@pytest.mark.parametrize("name", HUB)
def test_every_hub_corpus_refuses_in_one_sentence_without_a_network(name, offline):
    config = composed("+pe=rope", f"data={name}").data
    assert isinstance(config, HubData)
    assert re.fullmatch(HUB_ID, str(config.path))
    with pytest.raises(ValueError, match=r"without a network use data=python or") as refusal:
        next(corpus.documents(config))
    message = str(refusal.value)
    assert message.startswith(f"the data set {config.path} could not be loaded from the hub (")
    assert "\n" not in message


def test_model_gpt2_refuses_without_a_network_and_names_its_tokenizer(offline):
    kind = composed("+pe=rope", "model=gpt2").data.tokenizer
    with pytest.raises(ValueError, match=f"data.tokenizer='{kind}' is neither bpe") as refusal:
        tokenizer.make(kind, 0, iter(()))
    assert kind == "openai-community/gpt2"
    assert "\n" not in str(refusal.value)


def test_model_gpt2_gives_way_to_a_tokenizer_that_is_typed():
    assert composed("+pe=rope", "model=gpt2", "data.tokenizer=bytes").data.tokenizer == "bytes"
    assert composed("+pe=rope", "model=gpt2", "data=c4").data.tokenizer == "openai-community/gpt2"
    assert composed("+pe=rope", "model=base", "data=c4").data.tokenizer == "bpe"


@pytest.mark.parametrize(
    ("name", "vocab_size", "millions"), [("gpt2", 50257, 124), ("medium", 50257, 355)]
)
def test_sizes_are_those_of_gpt2(name, vocab_size, millions):
    import torch

    config = composed("+pe=rope", f"model={name}").model
    shape = {"head_dim": config.head_width(), "n_heads": config.n_heads}
    scheme = build("rope", **shape, d_model=config.d_model, train_length=128)
    with torch.device("meta"):
        network = GPT(config, vocab_size, scheme)
    assert network.n_parameters() / 1e6 == pytest.approx(millions, rel=0.01)


def rows(*texts: str) -> datasets.IterableDataset:
    """A split as `datasets` streams it."""
    return datasets.Dataset.from_dict({"content": list(texts)}).to_iterable_dataset()


@pytest.fixture
def hub(monkeypatch):
    """A hub of one data set: call it with the splits; it returns what is asked of it."""

    def stocked(**splits: datasets.IterableDataset) -> list[dict]:
        asked = []
        monkeypatch.setattr(
            datasets, "load_dataset", lambda **request: asked.append(request) or splits
        )
        return asked

    return stocked


def test_a_data_set_without_a_validation_split_is_split_by_names(hub):
    texts = [f"text {index}" for index in range(400)]
    asked = hub(train=rows(*texts), test=rows("left out"))
    config = HubData(path="a/b", column="content", validation_share=0.25)
    documents = list(corpus.documents(config))
    assert asked == [{"path": "a/b", "name": None, "streaming": True}]
    assert [document.text for document in documents] == texts
    held = [document.validation for document in documents]
    assert held == [corpus.held_out(f"train#{index}", 0.25) for index in range(400)]
    assert 60 < sum(held) < 140


def test_files_of_a_data_set_are_read_by_split(hub):
    asked = hub(train=rows("one", "two"), validation=rows("three"))
    config = composed("+pe=rope", "data=proof_pile", "data.column=content").data
    documents = list(corpus.documents(config))
    assert [document.validation for document in documents] == [False, False, True]
    root = "hf://datasets/EleutherAI/proof-pile-2/arxiv"
    files = {split: f"{root}/{split}/*.jsonl.zst" for split in ("train", "validation")}
    assert asked == [{"path": "json", "data_files": files, "streaming": True}]


def test_hub_data_keeps_the_hash_of_runs_made_before_files():
    config = HubData(path="a/b", subset="c")
    assert config.identity() == "a/b c"
    by_files = HubData(path="a/b", subset="c", files="{split}.json")
    assert corpus.fingerprint(config) != corpus.fingerprint(by_files)


def test_hub_data_refuses_files_that_do_not_name_the_split():
    with pytest.raises(ValueError, match=r"data.files must name the split, as in .* not a.jsonl"):
        composed("+pe=rope", "data=pg19", "data.files=a.jsonl")


def test_keys_set_by_a_debug_choice_are_chosen():
    """So a continuation (init=) takes its steps from debug=limit, not from its parent."""
    assert app.keys_set_by("debug", "limit") >= {"steps", "validate_every", "evaluation.documents"}
    assert app.keys_set_by("debug", None) == set()


def test_wandb_sweep_command_lines_compose():
    """As wandb's agent makes them of the file, for every value of every parameter."""
    sweep = yaml.safe_load((CONFIGS / "wandb_sweep.yaml").read_text())
    parameters = sweep["parameters"]
    for values in zip(*(each["values"] for each in parameters.values()), strict=True):
        chosen = dict(zip(parameters, values, strict=True))
        arguments = {key: {"value": value} for key, value in chosen.items()}
        variables = create_sweep_command_args({"args": arguments})
        line = []
        for part in create_sweep_command(list(sweep["command"])):
            line += variables[part[2:-1]] if part.startswith("${") else [part]
        assert line[:2] == ["posext", "train"]
        config = composed(*line[2:])
        assert config.pe["name"] == chosen["pe"]
        assert (config.learning_rate, config.seed) == (chosen["learning_rate"], chosen["seed"])
        assert config.tracking.wandb == "online"
