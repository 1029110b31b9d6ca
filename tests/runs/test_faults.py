"""Killed, told to stop, out of disk, damaged, started twice: a run goes on to the same end, or says what is wrong."""

import itertools
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
from helpers.starts import (
    ended,
    killed_at,
    start,
    with_environment,
    with_files_up_to,
    without_privileges,
)

from posext.analysis import curves
from posext.cli.status import status
from posext.eval import curve
from posext.runs import tracking

RUNS = Path("results/runs")
SLOW = pytest.mark.slow
COSTS = ["run", "commit", "seconds", "tokens_per_second", "peak_memory_bytes"]


@pytest.fixture(scope="module")
def typed(small):
    return [
        "+pe=yarn",
        *small,
        "length=progressive",
        "steps=60",
        "checkpoint_every=4",
        "validate_every=20",
    ]


@pytest.fixture(scope="module")
def straight(typed, tmp_path_factory):
    """The run that nothing happened to, and the seconds it took."""
    here = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("straight"))
    try:
        assert ended(*typed, "name=warm", "steps=1")[0] == 0
        begin = time.perf_counter()
        assert ended(*typed, "name=straight")[0] == 0
        return Path.cwd() / RUNS / "straight", time.perf_counter() - begin
    finally:
        os.chdir(here)


def steps(folder: Path) -> list[dict]:
    return [
        {k: v for k, v in row.items() if k != "tokens_per_second"}
        for row in tracking.read_metrics(folder / "metrics.jsonl")
    ]


def assert_the_same(folder: Path, other: Path) -> None:
    """Weights, metrics, curves and the sums behind them; and the same files, nothing left over."""
    assert (folder / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert steps(folder) == steps(other)
    one, two = (curves.read_curves(at / "curves.csv").drop(columns=COSTS) for at in (folder, other))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    one, two = (pd.read_parquet(at / "documents.parquet") for at in (folder, other))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    assert {path.name for path in folder.iterdir()} == {path.name for path in other.iterdir()}


def newest(folder: Path) -> int:
    return max((int(path.name[5:]) for path in folder.glob("checkpoints/step-????????")), default=0)


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(seed, marks=SLOW) for seed in range(3, 23))]
)
def test_killed_at_random_moments_it_ends_as_if_nothing_had_happened(typed, straight, seed):
    reference, seconds = straight
    rng, folder, kills = random.Random(seed), RUNS / "mine", 0
    for start_number in itertools.count(1):
        process = start(*typed, "name=mine")
        process.join(rng.uniform(0, seconds))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        if (folder / "metrics.jsonl").exists() and not (folder / "run.json").exists():
            rows = steps(folder)
            assert (rows[-1]["step"] if rows else 0) - newest(
                folder
            ) <= 4 + 1  # a row is written before its checkpoint
        if kills and start_number >= 3:
            break
        if not kills:  # it ended sooner than the run that was timed: anew, and killed earlier
            assert process.exitcode == 0
            shutil.rmtree(folder)
            seconds /= 2
    assert ended(*typed, "name=mine")[0] == 0
    assert_the_same(folder, reference)


@pytest.mark.parametrize(
    ("function", "call"),
    [
        pytest.param("posext.utils.atomic:save_file", 1, marks=SLOW),
        ("posext.utils.atomic:save_file", 6),  # the optimizer's state in the third checkpoint
        pytest.param("os:rename", 4, marks=SLOW),
        pytest.param("shutil:rmtree", 5, marks=SLOW),
        pytest.param("posext.utils.atomic:synced", 9, marks=SLOW),
        pytest.param("posext.train:write_tensors", 1, marks=SLOW),
        ("posext.train:digest", 1),  # the weights are there, their record is not
        ("posext.eval.cache:replacing", 3),
        pytest.param("posext.analysis.curves:upsert", 2, marks=SLOW),  # within writing the sums
        ("posext.report.write:write_text", 1),  # the sums are there, the curve is not
        pytest.param("posext.report.write:write_text", 2, marks=SLOW),  # one curve of two
        pytest.param("posext.report.curve_plot:draw_curves", 1, marks=SLOW),
        pytest.param("posext.report.page:write_page", 1, marks=SLOW),
    ],
)
def test_killed_while_it_writes_it_ends_as_if_nothing_had_happened(typed, straight, function, call):
    assert ended(*typed, "name=mine", before=(killed_at, function, call))[0] == -signal.SIGKILL
    assert ended(*typed, "name=mine")[0] == 0
    assert_the_same(RUNS / "mine", straight[0])


@pytest.mark.parametrize(
    ("function", "call"),
    [
        ("posext.data.dataset:token_type", 1),
        pytest.param("posext.data.tokenizer:make", 1, marks=SLOW),
        pytest.param("posext.data.dataset:digests", 1, marks=SLOW),
        pytest.param("os:rename", 1, marks=SLOW),
    ],
)
def test_killed_while_it_tokenizes_the_corpus_is_made_anew(typed, straight, function, call):
    here = [*typed, "name=mine", "data.cache=cache"]
    assert ended(*here, before=(killed_at, function, call))[0] == -signal.SIGKILL
    assert not RUNS.exists()
    assert ended(*here)[0] == 0
    assert_the_same(RUNS / "mine", straight[0])
    assert not list(Path("cache").glob("*.unfinished"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_told_to_stop_it_saves_the_step_and_says_how_to_go_on(typed, straight, number, code):
    folder = RUNS / "mine"
    process = start(*typed, "name=mine")
    while not (folder / "metrics.jsonl").exists() or len(steps(folder)) < 7:
        assert process.is_alive()
        time.sleep(0.002)
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == code
    last = steps(folder)[-1]["step"]
    assert newest(folder) == last < 60
    line = f"posext: stopped by {number.name} after step {last} of 60, which is saved; the same command continues it"
    assert line in Path("said.txt").read_text()
    assert ended(*typed, "name=mine")[0] == 0
    assert_the_same(folder, straight[0])


def test_told_to_stop_while_it_measures_it_goes_on_at_the_next_length(
    typed, straight, command, monkeypatch
):
    asked, measured = [], curve.measure_windows

    def stopped(*arguments):
        asked.append(arguments[2][0].length)
        if len(asked) == 4:
            signal.raise_signal(signal.SIGTERM)
        return measured(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(curve, "measure_windows", stopped)
        code, _, err = command("train", *typed, "name=mine")
    assert (code, asked) == (143, [8, 16, 32, 64])
    assert "posext: stopped by SIGTERM; the same command continues it" in err
    monkeypatch.setattr(
        curve, "measure_windows", lambda *a: asked.append(a[2][0].length) or measured(*a)
    )
    assert command("train", *typed, "name=mine")[0] == 0
    assert asked[4:7] == [64, 128, 256]
    assert_the_same(RUNS / "mine", straight[0])


@pytest.mark.parametrize(("size", "what"), [(60_000, "model"), (150_000, "optimizer")])
def test_a_full_disk_ends_a_run_that_goes_on_once_there_is_room(typed, straight, size, what):
    code, said = ended(*typed, "name=mine", before=(with_files_up_to, size))
    assert code == 1
    assert f"{what}.safetensors cannot be written" in said
    assert "Traceback" not in said
    assert "cannot be written" in (RUNS / "mine/error.txt").read_text()
    assert ended(*typed, "name=mine")[0] == 0
    assert_the_same(RUNS / "mine", straight[0])


def test_a_disk_full_of_tokens_leaves_no_half_corpus(typed, straight):
    here = [*typed, "name=mine", "data.cache=cache"]
    code, said = ended(*here, before=(with_files_up_to, 10_000))
    assert code == 1
    assert len(said.strip().splitlines()) <= 3
    assert "Traceback" not in said
    assert ended(*here)[0] == 0
    assert_the_same(RUNS / "mine", straight[0])


def damage(file: Path, how: str) -> None:
    content = bytearray(file.read_bytes())
    if how == "truncated":
        content = content[: len(content) // 2]
    else:
        content[len(content) // 2] ^= 4
    file.write_bytes(content)


@pytest.fixture
def stopped(typed):
    """A run that was told to stop, with two checkpoints."""
    process = start(*typed, "name=mine")
    while newest(RUNS / "mine") < 12:
        time.sleep(0.002)
    process.terminate()
    process.join(60)
    kept = sorted((RUNS / "mine/checkpoints").iterdir())
    assert len(kept) == 2
    return kept


@pytest.mark.parametrize(
    ("file", "how"),
    [
        ("model.safetensors", "flipped"),
        ("state.json", "truncated"),
        pytest.param("model.safetensors", "truncated", marks=SLOW),
        pytest.param("optimizer.safetensors", "flipped", marks=SLOW),
        pytest.param("optimizer.safetensors", "truncated", marks=SLOW),
        pytest.param("state.json", "flipped", marks=SLOW),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    typed, straight, stopped, file, how
):
    damage(stopped[1] / file, how)
    code, said = ended(*typed, "name=mine")
    assert code == 0
    assert f"skipping the damaged checkpoint {stopped[1]}" in said
    assert f"skipping the damaged checkpoint {stopped[0]}" not in said
    assert_the_same(RUNS / "mine", straight[0])


def test_where_all_checkpoints_are_damaged_training_begins_again(typed, straight, stopped):
    for path in stopped:
        damage(path / "model.safetensors", "flipped")
    assert ended(*typed, "name=mine")[0] == 0
    assert_the_same(RUNS / "mine", straight[0])


@pytest.mark.parametrize(
    ("file", "how"),
    [
        ("tokens.bin", "flipped"),
        ("tokenizer.json", "truncated"),
        pytest.param("tokens.bin", "truncated", marks=SLOW),
        pytest.param("tokenizer.json", "flipped", marks=SLOW),
        pytest.param("documents.parquet", "flipped", marks=SLOW),
        pytest.param("documents.parquet", "truncated", marks=SLOW),
        pytest.param("sha256.json", "flipped", marks=SLOW),
        pytest.param("sha256.json", "truncated", marks=SLOW),
    ],
)
def test_a_damaged_corpus_is_made_again(typed, straight, file, how):
    here = [*typed, "data.cache=cache"]
    assert ended(*here, "name=other", "steps=1", "evaluate=false")[0] == 0
    (folder,) = (path for path in Path("cache").iterdir() if path.is_dir())
    damage(folder / file, how)
    code, said = ended(*here, "name=mine")
    assert code == 0
    assert f"the tokenized corpus in {folder} is damaged, so it is made again" in said
    assert_the_same(RUNS / "mine", straight[0])


@pytest.mark.parametrize("how", ["truncated", "flipped"])
def test_damaged_weights_are_not_measured(typed, command, how):
    assert command("train", *typed, "name=mine", "steps=1", "evaluate=false")[0] == 0
    damage(RUNS / "mine/model.safetensors", how)
    code, _, err = command("evaluate", "run=results/runs/mine", "tracking.wandb=disabled")
    assert code == 2
    assert (
        "the weights in results/runs/mine/model.safetensors are damaged: not what training wrote"
        in err
    )
    assert not (RUNS / "mine/curves.csv").exists()


def test_a_folder_that_cannot_be_written_to_is_named(typed):
    RUNS.mkdir(parents=True)
    RUNS.chmod(0o555)
    code, said = ended(*typed, "name=mine", before=(without_privileges,))
    assert code == 2
    assert said.splitlines()[-1] == "posext: [Errno 13] Permission denied: 'results/runs/mine'"
    RUNS.chmod(0o755)


def test_of_two_starts_at_once_one_works_and_the_other_says_so(typed, straight):
    both = [start(*typed, "name=mine", said=f"said{i}.txt") for i in (0, 1)]
    for process in both:
        process.join(120)
    codes = [process.exitcode for process in both]
    assert sorted(codes) == [0, 2]
    said = Path(f"said{codes.index(2)}.txt").read_text()
    line = "posext: another process is at work on results/runs/mine: wait for it, or choose another name="
    assert said.splitlines()[-1] == line
    assert not (RUNS / "mine/error.txt").exists()
    assert_the_same(RUNS / "mine", straight[0])


def test_a_job_of_a_sweep_that_fails_is_marked_and_stops_no_other(small):
    rates = ["0.001", "0.002", "1e30", "0.004"]
    sweep = ["-m", "+pe=rope", *small, "compile=false", f"learning_rate={','.join(rates)}"]
    code, said = ended(*sweep)
    assert code not in (0, None)
    assert "loss" in said
    table = status(RUNS).set_index("run")
    assert sorted(table.state) == ["done", "done", "done", "failed"]
    (failed,) = table.index[table.state == "failed"]
    assert "learning_rate-1e_30" in failed
    assert "at step" in table.note[failed]
    assert len((RUNS / failed / "error.txt").read_text().splitlines()) == 1


def test_what_made_a_run_fail_goes_with_the_next_start(typed, command):
    (RUNS / "mine").mkdir(parents=True)
    (RUNS / "mine/error.txt").write_text("no room\n")
    assert command("train", *typed, "name=mine", "steps=1", "evaluate=false")[0] == 0
    assert not (RUNS / "mine/error.txt").exists()


def test_a_folder_of_wandb_that_cannot_be_written_to_stops_nothing(typed, straight):
    (RUNS / "mine").mkdir(parents=True)
    (RUNS / "mine/wandb").write_text("a file where a folder should be")
    code, said = ended(*typed, "name=mine", "tracking.wandb=offline")
    assert code == 0, said
    (RUNS / "mine/wandb").unlink()
    assert_the_same(RUNS / "mine", straight[0])


@pytest.mark.slow
def test_a_wandb_that_cannot_be_reached_stops_nothing(typed, straight):
    nowhere = {
        "WANDB_BASE_URL": "http://127.0.0.1:9",
        "WANDB_API_KEY": "0" * 40,
        "WANDB_MODE": "online",
    }

    code, said = ended(
        *typed, "name=mine", "tracking.wandb=online", before=(online, json.dumps(nowhere))
    )
    assert code == 0, said
    assert "so this run is recorded offline" in said
    shutil.rmtree(RUNS / "mine/wandb")
    assert_the_same(RUNS / "mine", straight[0])


def online(variables: str) -> None:
    with_environment(**json.loads(variables))
