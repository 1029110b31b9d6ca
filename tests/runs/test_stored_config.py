"""Configs of stored runs, those of former versions included."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from posext.config import HubData, MuonConfig, OptimizerConfig, TextData
from posext.runs.run import load_run
from posext.utils.errors import PosextError

FORMER_DATA = {  # every source had the settings of all
    "path": "texts",
    "subset": None,
    "column": "body",
    "document_start": None,
    "tokenizer": "bytes",
    "vocab_size": 2048,
    "documents": 1100,
    "symbols": 5,
    "period_max": 512,
}
ROPE = {"name": "rope", "_target_": "posext.pe.rope.RoPE"}
MODEL = {"name": "t", "n_layers": 1, "n_heads": 1, "d_model": 8, "d_ff": 8, "learning_rate": 0.1}


def loaded(**sections):
    settings = {"pe": ROPE, "model": MODEL, "train_length": 16, "learning_rate": 0.1, **sections}
    Path("run").mkdir()
    OmegaConf.save(settings, "run/config.yaml")
    return load_run("run").config


@pytest.mark.parametrize(("source", "kind"), [("text", TextData), ("hub", HubData)])
def test_load_run_leaves_out_settings_of_other_sources(source, kind):
    data = loaded(data={"source": source, **FORMER_DATA}).data
    assert type(data) is kind
    assert (data.path, data.column, data.tokenizer) == ("texts", "body", "bytes")
    assert not hasattr(data, "symbols")


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        ({"clip": 0.5}, OptimizerConfig),
        ({"kind": "adamw", "clip": 0.5}, OptimizerConfig),
        ({"kind": "muon", "clip": 0.5, "momentum": 0.9}, MuonConfig),
    ],
)
def test_load_run_gives_the_optimizer_its_type(stored, kind):
    optimizer = loaded(data={"source": "python"}, optimizer=stored).optimizer
    assert type(optimizer) is kind
    assert optimizer.clip == 0.5


@pytest.mark.parametrize(
    ("stored", "targets_and_share"),
    [
        ({}, (4, 4, 0.5)),
        ({"context_lengths": [32, 64]}, (4, 16, 0.5)),
        ({"context_lengths": [256, 512], "evaluation": {"targets": None}}, (4, 64, 0.5)),
        ({"evaluation": {"blocks": 2, "targets": 7}}, (2, 7, 0.5)),
        ({"evaluation": {"blocks": 1, "targets": 8, "scored_share": 0.25}}, (1, 8, 0.25)),
    ],
)
def test_load_run_keeps_the_allocation_of_targets(stored, targets_and_share):
    evaluation = loaded(data={"source": "python"}, **stored).evaluation
    allocation = (evaluation.blocks, evaluation.targets, evaluation.scored_share)
    assert allocation == targets_and_share


@pytest.mark.parametrize("chosen", [True, False])
def test_load_run_takes_activation_checkpointing_from_init_where_it_was(chosen):
    config = loaded(data={"source": "python"}, init={"gradient_checkpointing": chosen})
    assert config.activation_checkpointing is chosen


@pytest.mark.parametrize(
    "sections",
    [
        {"data": {"source": "text", "colour": "red"}},
        {"data": {"source": "web"}, "optimizer": {"beta3": 1}},
        {"data": {"source": ["text"]}},
        {"data": {"source": "python"}, "optimizer": {"kind": "muon", "beta3": 1}},
    ],
)
def test_load_run_refuses_settings_of_no_version(sections):
    with pytest.raises(PosextError, match="is not a config of this version"):
        loaded(**sections)
