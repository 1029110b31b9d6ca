"""Exports of runs as LlamaForCausalLM: equal logits, equal scores of text, and refusals."""

import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.untrained import untrained_run
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from posext.analysis import curves
from posext.config import (
    EvaluationConfig,
    LengthConfig,
    ModelConfig,
    StageConfig,
    TextData,
    TrackingConfig,
    TrainConfig,
)
from posext.data import dataset
from posext.hf.export import export, exportable_schemes
from posext.model.gpt import GPT
from posext.pe import modifiers_of, settings_of
from posext.runs.run import Run

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "export_hf.py"
SHAPE = ModelConfig("test", n_layers=2, n_heads=2, d_model=32, d_ff=48, learning_rate=1e-3)
ORIGINAL = 16
LONGEST = 64
TOKENS = torch.randint(256, (2, LONGEST), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def trained(corpus, tmp_path_factory):
    """Make a run with random weights as large as trained ones, and random gains."""

    def make(scheme: str, settings: dict | None = None, *, grown: bool = False, **axes) -> Run:
        stages = [StageConfig()]
        if grown:
            stages = [StageConfig(1, 0.5), StageConfig(LONGEST // ORIGINAL, 0.5)]
        data = TextData(
            path=str(corpus),
            tokenizer="bytes",
            cache=str(tmp_path_factory.getbasetemp() / "tokens"),
            validation_share=0.3,
        )
        config = TrainConfig(
            pe={**settings_of("pe", scheme), **(settings or {})},
            model=SHAPE,
            learning_rate=1e-3,
            train_length=ORIGINAL,
            data=data,
            name=scheme,
            evaluation=EvaluationConfig(documents=6, bootstrap=20),
            tracking=TrackingConfig("disabled"),
            length=LengthConfig(stages),
            precision="fp32",
            **modifiers_of(axes),
        )
        return untrained_run(config, SHAPE, std=0.15)

    return make


def network(run: Run) -> GPT:
    return run.network(run.config, 256).eval()


PAIRS = SHAPE.head_width() // 2
FIXED = {"factor": 4.0}
# The settings of a run, and its rope_type in transformers. Runs without a factor grow to LONGEST.
EXPORTS = {
    "rope": ({"base": 500.0}, "default"),
    "linear": (FIXED, "linear"),
    "ntk": (FIXED, "default"),
    "dynamic_ntk": ({"semantics": "hf", "hf_factor": 2.0}, "dynamic"),
    "yarn": ({}, "yarn"),
    "ntk_by_parts": ({"beta_fast": "auto", **FIXED}, "llama3"),
    "llama3": ({}, "llama3"),
    "longrope": ({}, "longrope"),
    "proportional": ({**FIXED, "share": 0.5}, "proportional"),
}


def test_every_exportable_scheme_is_tested_in_this_file():
    assert set(EXPORTS) == set(exportable_schemes())


@pytest.mark.parametrize("scheme", EXPORTS)
def test_export_gives_transformers_the_logits_of_the_run(trained, scheme):
    settings, kind = EXPORTS[scheme]
    run = trained(scheme, settings, grown=True)
    export(run, Path("out"))
    theirs = AutoModelForCausalLM.from_pretrained("out").eval()
    ours = network(run)
    plain = run.network(replace(run.config, pe=settings_of("pe", "rope")), 256).eval()
    assert theirs.config.rope_parameters["rope_type"] == kind
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    with torch.inference_mode():
        for length in (ORIGINAL, LONGEST // 2, LONGEST):
            tokens = TOKENS[:, :length]
            assert (ours(tokens) - theirs(tokens).logits).abs().max() < 1e-5
        assert (ours(TOKENS) - plain(TOKENS)).abs().max() > 1e-2  # frequencies matter


def test_export_length_sets_an_automatic_factor(trained):
    run = trained("yarn")
    at_train_length, longer = export(run, Path("short")), export(run, Path("long"), LONGEST)
    assert at_train_length.config.rope_parameters["factor"] == 1
    assert longer.config.rope_parameters["factor"] == 4
    assert longer.config.max_position_embeddings == LONGEST
    with torch.inference_mode():
        assert (network(run)(TOKENS) - longer(TOKENS).logits).abs().max() < 1e-5
    with pytest.raises(ValueError, match="at least 64, the longest trained, not 32"):
        export(trained("linear", grown=True), Path("shorter"), 32)


def test_exported_model_generates_as_the_run_does(trained):
    """Tokens 1 and 2, the begin and end of a Llama by default, do not stop it."""
    run = trained("yarn", FIXED)
    export(run, Path("out"))
    ours, tokens = network(run), TOKENS[:1, :10]
    for _ in range(12):
        tokens = torch.cat((tokens, ours(tokens, last=1).argmax(-1)), dim=1)
    theirs = AutoModelForCausalLM.from_pretrained("out")
    generated = theirs.generate(TOKENS[:1, :10], max_new_tokens=12, do_sample=False)
    assert generated.tolist() == tokens.tolist()
    assert theirs.config.bos_token_id is None
    assert theirs.config.eos_token_id is None


def test_exported_tokenizer_encodes_as_that_of_the_run(trained):
    run = trained("yarn", FIXED)
    export(run, Path("out"))
    text = "the naïve café"
    ids = AutoTokenizer.from_pretrained("out")(text)["input_ids"]
    assert ids == dataset.load_data(run.config.data).tokenizer.encode(text).ids


@pytest.mark.parametrize(("scheme", "grown"), [("rope", False), ("yarn", True)])
def test_evaluate_scores_an_export_as_the_run(
    trained, command, corpus, monkeypatch, capsys, scheme, grown
):
    run = trained(scheme, grown=grown)
    monkeypatch.setattr("sys.argv", ["export_hf.py", str(run.folder), "out"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert "posext evaluate model=hf model.path=out" in capsys.readouterr().out
    lengths = "context_lengths=[8,16,32,64]"
    common = [
        lengths,
        "precision=fp32",
        "tracking.wandb=disabled",
        "evaluation.documents=6",
        "evaluation.bootstrap=20",
    ]
    source = [
        f"data.{key}={getattr(run.config.data, key)}"
        for key in ("path", "cache", "validation_share")
    ]
    for typed in (
        [f"run={run.folder}"],
        ["model=hf", "model.path=out", "name=out", "data=text", *source],
    ):
        code, _, err = command("evaluate", *typed, *common)
        assert code == 0, err
    ours, theirs = (
        curves.read_curves(Path(f"results/runs/{name}/curves.csv")) for name in (run.name, "out")
    )
    ours = ours[ours.factor.isin(["", "auto"])]
    assert theirs.nll.tolist() == pytest.approx(ours.nll.tolist(), rel=1e-5)
    assert theirs.bits_per_byte.tolist() == pytest.approx(ours.bits_per_byte.tolist(), rel=1e-5)
    assert ours.nll.max() > 1.001 * ours.nll.min()
    assert set(theirs.original_length) == {ORIGINAL}


@pytest.mark.parametrize(
    ("scheme", "settings"),
    [
        ("alibi", {}),
        ("none", {}),
        ("learned", {}),
        ("irope", {}),
        ("partial", {"share": 0.5}),
        ("xpos", {}),
        ("resonance", {}),
        ("mrrope_pro", {}),
        ("mrrope_uni", {}),
        ("ntk_mixed", {}),
        ("drope", {}),
        ("yarn", {"ramp": "rotations"}),
    ],
)
def test_export_refuses_schemes_unknown_to_transformers(trained, scheme, settings):
    message = f"has no form of {scheme} as set in .*; it has one of dynamic_ntk, linear, llama3"
    with pytest.raises(ValueError, match=message):
        export(trained(scheme, settings), Path("out"))
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "axis", [{"window": "rerope"}, {"attention_scale": "logn"}, {"qk_gain": "per_pair"}]
)
def test_export_refuses_modifiers_unknown_to_transformers(trained, axis):
    ((group, name),) = axis.items()
    with pytest.raises(ValueError, match=f"has no form of {group}={name} as set in"):
        export(trained("rope", **axis), Path("out"))


def test_export_allows_position_ids_of_training_alone(trained):
    run = trained("linear", position_ids="pose")
    assert export(run, Path("out")).config.rope_parameters["factor"] == 16
    with pytest.raises(ValueError, match="is not what transformers' Llama makes of"):
        export(trained("rope", position_ids="randomized"), Path("other"))
    assert not Path("other").exists()


def test_export_script_refuses_folders_and_lengths(trained, monkeypatch, capsys):
    run = trained("rope")
    Path("full").mkdir()
    Path("full/file").touch()
    for folder, typed, message in (
        (run.folder, ["full"], "full is not an empty folder"),
        ("nowhere", ["out"], "nowhere is not the folder of a run"),
        (run.folder, ["out", "--length", "8"], "at least 16, the longest trained, not 8"),
    ):
        monkeypatch.setattr("sys.argv", ["export_hf.py", str(folder), *typed])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        assert stop.value.code == 2
        assert message in capsys.readouterr().err


def test_export_refuses_a_run_without_a_record(trained):
    """It needs run.json, and keeps the weights of the run."""
    run = trained("rope")
    (run.folder / "run.json").unlink()
    with pytest.raises(ValueError, match="it has no weights to export"):
        export(run, Path("out"))
    assert load_file(run.folder / "model.safetensors")
