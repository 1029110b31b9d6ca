"""What a user types at the command line, and what is answered; errors are in test_bad_input.py."""

from pathlib import Path

import pytest

from posext.pe import names


def test_train_takes_a_choice_with_and_without_plus(command, small):
    for choice in ("+pe=rope", "pe=alibi"):
        code, _, err = command("train", choice, *small, "steps=1", "evaluate=false")
        assert code == 0, err
    schemes = sorted(path.name.split("-")[0] for path in Path("results/runs").iterdir())
    assert schemes == ["alibi", "rope"]


def test_train_shows_a_traceback_on_request(command, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(Exception, match="yarnn"):
        command("train", "+pe=yarnn")


def test_train_help_names_groups_settings_and_commands(command):
    code, out, _ = command("train", "--help")
    assert code == 0
    settings = ("tiny", "progressive", "smoke", "train_length", "context_lengths")
    assert all(name in out for name in (*names(), *settings))
    assert out.count("python -m posext.") == 6


def test_train_refuses_another_config_under_the_same_name(command, small):
    settings = [*small, "name=mine", "steps=1", "evaluate=false"]
    assert command("train", "+pe=rope", *settings)[0] == 0
    code, out, _ = command("train", "+pe=rope", *settings)
    assert (code, "done already" in out) == (0, True)
    code, _, err = command("train", "+pe=rope", *settings, "learning_rate=0.5")
    assert code == 2
    assert "learning_rate was 0.004, is 0.5" in err
    code, _, err = command("train", "+pe=alibi", *settings)
    assert (code, "pe.name was rope, is alibi" in err) == (2, True)


def test_train_names_runs_by_what_trains_differently(command, small):
    for change in (
        [],
        ["seed=1"],
        ["learning_rate=0.5"],
        ["length=progressive"],
        ["length=window"],
        ["pe.base=500"],
    ):
        assert command("train", "+pe=rope", *small, *change, "steps=1", "evaluate=false")[0] == 0
    folders = [path.name for path in Path("results/runs").iterdir()]
    assert len(folders) == 6
    assert any("16to64" in name for name in folders)
    assert any("length-window" in name for name in folders)
    assert any("base-500" in name for name in folders)


def test_train_experiment_sets_the_scheme_it_chooses(command, tmp_path):
    """+pe= is composed last, so an experiment that sets pe.* chooses its scheme itself."""
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    experiment = "# @package _global_\ndefaults:\n  - /pe: yarn\npe: {factor: 32}\n"
    (folder / "far.yaml").write_text(experiment)
    config_dir = ["--config-dir", str(tmp_path / "conf")]
    code, out, err = command("train", "experiment=far", *config_dir, "--cfg", "job")
    assert code == 0, err
    assert "factor: 32" in out
