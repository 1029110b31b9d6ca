"""What people type, and what they are told when it is wrong: one message, exit code 2, no traceback, nothing half-made."""

from pathlib import Path

import pytest

from posext.pe import names


def test_a_choice_works_with_and_without_the_plus(command, small):
    for choice in ("+pe=rope", "pe=alibi"):
        code, _, err = command("train", choice, *small, "steps=1", "evaluate=false")
        assert code == 0, err
    assert sorted(path.name.split("-")[0] for path in Path("results/runs").iterdir()) == ["alibi", "rope"]


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ([], "choose a positional encoding: +pe=NAME, one of alibi, "),
        (["+pe=yarnn"], "unknown pe=yarnn; choose one of alibi"),
        (["+pe=rope", "model=huge"], "unknown model=huge; choose one of base, nano, small, tiny"),
        (["+pe=rope", "lenght=progressive"], "did you mean length?"),
        (["+pe=rope", "train_lenght=64"], "did you mean train_length?"),
        (["+pe=rope", "optimizer.beta3=1"], "Valid in optimizer: beta1, beta2"),
        (["+pe=rope", "pe.factor=8"], "pe.factor; Valid in pe: _target_, base"),
        (["+pe=rope", "steps=many"], "steps: Value 'many' of type 'str' could not be converted to Integer"),
        (["+pe=rope", "steps=0"], "steps must be at least 1, not 0"),
        (["+pe=rope", "learning_rate=nan"], "learning_rate must be a number above 0, not nan"),
        (["+pe=rope", "precision=fp8"], "precision must be one of auto, fp32, bf16, not 'fp8'"),
        (["+pe=rope", "compile=maybe"], "compile must be one of auto, true, false, not 'maybe'"),
        (["+pe=rope", "context_lengths=[64,32]"], "context_lengths must be increasing numbers"),
        (["+pe=rope", "model.n_heads=5"], "model.n_heads=5 does not divide"),
        (["+pe=rope", "data=text"], "data=text needs data.path"),
        (["+pe=rope", "train_length=8192"], "does not fit tokens_per_step"),
        (["+pe=yarn", "pe.factor=0.5", "tokens_per_step=256", "train_length=16"], "factor must be a finite number"),
        (["+pe=yarn", "pe.ramp=sideways", "tokens_per_step=256", "train_length=16"], "ramp='sideways' of YaRN is not"),
        (["+pe=rope", "pe._target_=os.system"], "is refused: it lies outside posext"),
        (["+pe=rope", "data=text", "data.path=nowhere"], "data.path=nowhere does not exist"),
        (["+pe=rope", "length.stages=[{multiple:1,share:0.5}]"], "sum to 1"),
        (["+pe=rope", "steps"], "missing EQUAL"),
        (["+pe=rope", "name=../mine"], "name must be at most 200 letters, digits"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_is_wrong_is_said_in_one_message(command, typed, says, monkeypatch, tmp_path):
    code, out, err = command("train", *typed, f"data.cache={tmp_path}/cache", "tracking.wandb=disabled")
    assert code == 2
    assert says in err
    assert len(err.strip().splitlines()) == 1, err
    assert "Traceback" not in out + err
    assert not list(tmp_path.glob("results/runs/*/m*"))


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ([], "name the run to measure"),
        (["run=nowhere"], "nowhere is not the folder of a run"),
        (["run=nowhere", "+pe@extend=yarnn"], "unknown pe=yarnn; choose one of"),
        (["run=nowhere", "extend.factor=8"], "extend"),
    ],
)
def test_evaluate_says_what_is_wrong(command, typed, says):
    code, _, err = command("evaluate", *typed)
    assert code == 2
    assert says in err
    assert len(err.strip().splitlines()) == 1, err


def test_a_traceback_is_shown_on_request(command, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(Exception, match="yarnn"):
        command("train", "+pe=yarnn")


def test_help_teaches_groups_knobs_and_five_commands(command):
    code, out, _ = command("train", "--help")
    assert code == 0
    assert all(name in out for name in (*names(), "tiny", "progressive", "smoke", "train_length", "context_lengths"))
    assert out.count("python -m posext.") == 5


def test_the_same_name_with_another_config_is_refused(command, small):
    typed = ["+pe=rope", *small, "name=mine", "steps=1", "evaluate=false"]
    assert command("train", *typed)[0] == 0
    code, out, _ = command("train", *typed)
    assert (code, "trained already" in out) == (0, True)
    code, _, err = command("train", *typed, "learning_rate=0.5")
    assert code == 2
    assert "learning_rate was 0.004, is 0.5" in err
    code, _, err = command("train", *["+pe=alibi" if t == "+pe=rope" else t for t in typed])
    assert (code, "pe.name was rope, is alibi" in err) == (2, True)


def test_names_tell_apart_what_trains_differently(command, small):
    for change in ([], ["seed=1"], ["learning_rate=0.5"], ["length=progressive"], ["pe.base=500"]):
        assert command("train", "+pe=rope", *small, *change, "steps=1", "evaluate=false")[0] == 0
    folders = [path.name for path in Path("results/runs").iterdir()]
    assert len(folders) == 5
    assert any("16to64" in name for name in folders)
    assert any("base-500" in name for name in folders)


def test_an_experiment_keeps_its_settings_beside_the_chosen_scheme(command, tmp_path):
    """+pe= is composed last: an experiment that sets pe.* chooses its scheme itself."""
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "far.yaml").write_text("# @package _global_\ndefaults:\n  - /pe: yarn\npe: {factor: 32}\n")
    code, out, err = command("train", "experiment=far", "--config-dir", str(tmp_path / "conf"), "--cfg", "job")
    assert code == 0, err
    assert "factor: 32" in out


def test_a_corpus_too_short_for_the_longest_context_is_refused_before_training(command, small):
    code, _, err = command("train", "+pe=rope", *small, "context_lengths=[16,65536]", "name=mine")
    assert code == 2
    assert "no held-out document has 65537 tokens" in err
    assert not Path("results/runs/mine/metrics.jsonl").exists()
    code, _, err = command("train", "+pe=rope", *small, "train_length=8000", "tokens_per_step=8000", "name=long")
    assert code == 2
    assert "no document has 8001 tokens, as a length of 8000 needs" in err
