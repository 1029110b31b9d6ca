"""The commands that a run's folder keeps, as they were typed."""

import shlex
from pathlib import Path

import pytest

from posext.runs.command_log import record_command, recorded_commands
from posext.utils.errors import PosextError


def test_recorded_commands_are_what_a_shell_reads_back(tmp_path):
    typed = ["+pe=yarn", "name=it's", "context_lengths=[8,16]", "pe.factor=4"]
    record_command(tmp_path, "train", typed)
    (command,) = recorded_commands(tmp_path)
    assert shlex.split(command) == ["python", "-m", "posext.train", *typed]


def test_record_command_keeps_order_and_writes_each_once(tmp_path):
    for entry, size in (("train", 1), ("evaluate", 2), ("train", 1), ("evaluate", 3)):
        record_command(tmp_path, entry, [f"size={size}"])
    assert [command.split()[2:] for command in recorded_commands(tmp_path)] == [
        ["posext.train", "size=1"],
        ["posext.evaluate", "size=2"],
        ["posext.evaluate", "size=3"],
    ]


def test_recorded_commands_refuses_a_damaged_log(tmp_path):
    assert recorded_commands(tmp_path) == []
    (tmp_path / "commands.jsonl").write_text("[")
    with pytest.raises(PosextError, match="is damaged"):
        recorded_commands(tmp_path)


def test_train_and_evaluate_record_what_was_typed(command, small):
    assert command("train", "+pe=rope", *small, "name=mine", "seed=3")[0] == 0
    extension = ["run=results/runs/mine", "+pe@extend=yarn", "extend.factor=4"]
    assert command("evaluate", *extension, "tracking.wandb=disabled")[0] == 0
    folder = Path("results/runs/mine")
    assert [shlex.split(line)[2:] for line in recorded_commands(folder)] == [
        ["posext.train", "+pe=rope", *small, "name=mine", "seed=3"],
        ["posext.evaluate", *extension, "tracking.wandb=disabled"],
    ]
    page = (folder / "report.html").read_text()
    assert "posext.evaluate run=results/runs/mine +pe@extend=yarn extend.factor=4" in page


def test_own_corpus_in_a_config_dir_trains_and_is_recorded(command, small, corpus):
    """The yaml of docs/configuration.md: it names the source it starts from."""
    Path("conf/data").mkdir(parents=True)
    defaults = "defaults:\n  - /schema/data@_here_: text\n  - _self_\n"
    Path("conf/data/mine.yaml").write_text(f"{defaults}path: {corpus}\n")
    settings = [s for s in small if not s.startswith(("data=", "data.path="))]
    typed = ["data=mine", *settings, "+pe=rope", "evaluate=false", "name=mine"]
    code, _, err = command("train", "--config-dir", "conf", *typed)
    assert code == 0, err
    (line,) = recorded_commands(Path("results/runs/mine"))
    folder, *rest = shlex.split(line)[3:]
    assert Path(folder.removeprefix("--config-dir=")).resolve() == Path("conf").resolve()
    assert rest == typed
