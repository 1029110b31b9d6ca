"""What people type, and what they are told; what is wrong stands in test_bad_input.py."""

from pathlib import Path

import pytest

from posext.pe import names


def test_a_choice_works_with_and_without_the_plus(command, small):
    for choice in ("+pe=rope", "pe=alibi"):
        code, _, err = command("train", choice, *small, "steps=1", "evaluate=false")
        assert code == 0, err
    assert sorted(path.name.split("-")[0] for path in Path("results/runs").iterdir()) == [
        "alibi",
        "rope",
    ]


def test_a_traceback_is_shown_on_request(command, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(Exception, match="yarnn"):
        command("train", "+pe=yarnn")


def test_help_teaches_groups_knobs_and_five_commands(command):
    code, out, _ = command("train", "--help")
    assert code == 0
    assert all(
        name in out
        for name in (*names(), "tiny", "progressive", "smoke", "train_length", "context_lengths")
    )
    assert out.count("python -m posext.") == 5


def test_the_same_name_with_another_config_is_refused(command, small):
    typed = ["+pe=rope", *small, "name=mine", "steps=1", "evaluate=false"]
    assert command("train", *typed)[0] == 0
    code, out, _ = command("train", *typed)
    assert (code, "done already" in out) == (0, True)
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
    (folder / "far.yaml").write_text(
        "# @package _global_\ndefaults:\n  - /pe: yarn\npe: {factor: 32}\n"
    )
    code, out, err = command(
        "train", "experiment=far", "--config-dir", str(tmp_path / "conf"), "--cfg", "job"
    )
    assert code == 0, err
    assert "factor: 32" in out
