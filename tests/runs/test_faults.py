"""Faults of a run: kills, signals, full disks, damaged files and two starts at once.

A run either goes on to the end of an undisturbed one, or says what is wrong.
"""

import itertools
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
from helpers.starts import (
    OUTPUT,
    kill_at,
    run_to_end,
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
    """The folder of an undisturbed run, and the seconds it took."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("straight"))
    try:
        assert run_to_end(*typed, "name=warm", "steps=1")[0] == 0
        begin = time.perf_counter()
        assert run_to_end(*typed, "name=straight")[0] == 0
        return Path.cwd() / RUNS / "straight", time.perf_counter() - begin
    finally:
        os.chdir(before)


def metrics(folder: Path) -> list[dict]:
    """The rows of a run's metrics, without their speed."""
    return [
        {key: value for key, value in row.items() if key not in ("tokens_per_second", "mfu")}
        for row in tracking.read_metrics(folder / "metrics.jsonl")
    ]


def assert_same_run(folder: Path, other: Path) -> None:
    """Compare weights, metrics, curves and the sums behind them, and the names of all files."""
    assert (folder / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert metrics(folder) == metrics(other)
    for read in (read_curves, read_sums):
        pd.testing.assert_frame_equal(read(folder), read(other), check_exact=True)
    assert {path.name for path in folder.iterdir()} == {path.name for path in other.iterdir()}


def read_curves(folder: Path) -> pd.DataFrame:
    return curves.read_curves(folder / "curves.csv").drop(columns=COSTS)


def read_sums(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "documents.parquet")


def newest_step(folder: Path) -> int:
    """The step of the newest checkpoint; 0 without one."""
    names = [path.name for path in folder.glob("checkpoints/step-????????")]
    return max((int(name.removeprefix("step-")) for name in names), default=0)


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(seed, marks=SLOW) for seed in range(3, 23))]
)
def test_run_killed_at_random_moments_equals_an_undisturbed_one(typed, straight, seed):
    reference, seconds = straight
    rng = random.Random(seed)
    folder = RUNS / "mine"
    kills = 0
    for start_number in itertools.count(1):
        process = start(*typed, "name=mine")
        process.join(rng.uniform(0, seconds))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        if (folder / "metrics.jsonl").exists() and not (folder / "run.json").exists():
            rows = metrics(folder)
            last_step = rows[-1]["step"] if rows else 0
            # a row is written before the checkpoint of its step, and checkpoints are 4 steps apart
            assert last_step - newest_step(folder) <= 4 + 1
        if kills and start_number >= 3:
            break
        if not kills:  # it ended sooner than the timed run: start anew, and kill it earlier
            assert process.exitcode == 0
            shutil.rmtree(folder)
            seconds /= 2
    assert run_to_end(*typed, "name=mine")[0] == 0
    assert_same_run(folder, reference)


@pytest.mark.parametrize(
    ("event", "name", "occurrence"),
    [
        # in the folder of a checkpoint that is not finished
        pytest.param("os.rename", "model.safetensors", 1, marks=SLOW),
        ("os.rename", "optimizer.safetensors", 3),
        pytest.param("os.rename", "state.json", 2, marks=SLOW),
        # a checkpoint gets its final name, and an old one is deleted
        pytest.param("os.rename", "step-00000016", 1, marks=SLOW),
        pytest.param("shutil.rmtree", "step-00000004", 1, marks=SLOW),
        # the final weights, after those of 14 checkpoints
        pytest.param("os.rename", "model.safetensors", 15, marks=SLOW),
        ("os.rename", "run.json", 1),  # the weights are there, their record is not
        # while the run is measured
        ("os.rename", "*.npz", 3),
        pytest.param("os.rename", "documents.parquet", 1, marks=SLOW),
        ("os.rename", "curves.csv", 1),  # the sums are there, the curve is not
        pytest.param("os.rename", "curves.csv", 2, marks=SLOW),  # one curve of two is there
        pytest.param("open", "curve.png", 1, marks=SLOW),
        pytest.param("os.rename", "report.html", 1, marks=SLOW),
    ],
)
def test_run_killed_while_writing_equals_an_undisturbed_one(
    typed, straight, event, name, occurrence
):
    kill = (kill_at, event, name, occurrence)
    assert run_to_end(*typed, "name=mine", before=kill)[0] == -signal.SIGKILL
    assert run_to_end(*typed, "name=mine")[0] == 0
    assert_same_run(RUNS / "mine", straight[0])


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ("open", "tokens.bin"),
        pytest.param("os.rename", "overlap.json", marks=SLOW),
        pytest.param("os.rename", "sha256.json", marks=SLOW),
        pytest.param("os.rename", "????????????????", marks=SLOW),  # the folder of the corpus
    ],
)
def test_run_killed_while_tokenizing_makes_the_corpus_anew(typed, straight, event, name):
    settings = [*typed, "name=mine", "data.cache=cache"]
    assert run_to_end(*settings, before=(kill_at, event, name, 1))[0] == -signal.SIGKILL
    assert list(Path("cache").glob("*.unfinished"))
    assert not RUNS.exists()
    assert run_to_end(*settings)[0] == 0
    assert_same_run(RUNS / "mine", straight[0])
    assert not list(Path("cache").glob("*.unfinished"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_train_saves_the_step_when_told_to_stop(typed, straight, number, code):
    folder = RUNS / "mine"
    process = start(*typed, "name=mine")
    while not (folder / "metrics.jsonl").exists() or len(metrics(folder)) < 7:
        assert process.is_alive()
        time.sleep(0.002)
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == code
    last = metrics(folder)[-1]["step"]
    assert newest_step(folder) == last < 60
    line = (
        f"posext: stopped by {number.name} after step {last} of 60, which is saved; "
        "the same command continues it"
    )
    assert line in Path(OUTPUT).read_text()
    assert run_to_end(*typed, "name=mine")[0] == 0
    assert_same_run(folder, straight[0])


def test_measurement_resumes_at_the_length_it_was_stopped_at(typed, straight, command, monkeypatch):
    measure_windows = curve.measure_windows
    lengths = []

    def record_length(model, plan, windows, *rest):
        lengths.append(windows[0].length)
        if len(lengths) == 4:
            signal.raise_signal(signal.SIGTERM)
        return measure_windows(model, plan, windows, *rest)

    monkeypatch.setattr(curve, "measure_windows", record_length)
    code, _, err = command("train", *typed, "name=mine")
    assert code == 143
    assert lengths == [8, 16, 32, 64]
    assert "posext: stopped by SIGTERM; the same command continues it" in err
    assert command("train", *typed, "name=mine")[0] == 0
    assert lengths[4:7] == [64, 128, 256]
    assert_same_run(RUNS / "mine", straight[0])


@pytest.mark.parametrize(("size", "file"), [(60_000, "model"), (150_000, "optimizer")])
def test_run_stops_at_a_full_disk_and_resumes_with_room(typed, straight, size, file):
    code, output = run_to_end(*typed, "name=mine", before=(with_files_up_to, size))
    assert code == 1
    assert f"{file}.safetensors cannot be written" in output
    assert "Traceback" not in output
    assert "cannot be written" in (RUNS / "mine/error.txt").read_text()
    assert run_to_end(*typed, "name=mine")[0] == 0
    assert_same_run(RUNS / "mine", straight[0])


def test_full_disk_leaves_no_half_corpus(typed, straight):
    settings = [*typed, "name=mine", "data.cache=cache"]
    code, output = run_to_end(*settings, before=(with_files_up_to, 10_000))
    assert code == 1
    assert len(output.strip().splitlines()) <= 3
    assert "Traceback" not in output
    assert run_to_end(*settings)[0] == 0
    assert_same_run(RUNS / "mine", straight[0])


def damage(file: Path, how: str) -> None:
    """Cut a file in half, or flip a bit in its middle."""
    content = bytearray(file.read_bytes())
    if how == "truncated":
        content = content[: len(content) // 2]
    else:
        content[len(content) // 2] ^= 4
    file.write_bytes(content)


@pytest.fixture
def stopped(typed):
    """The two checkpoints of a run that was told to stop."""
    process = start(*typed, "name=mine")
    while newest_step(RUNS / "mine") < 12:
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
def test_resume_skips_a_checkpoint_with_damaged_files(typed, straight, stopped, file, how):
    before, last = stopped
    damage(last / file, how)
    code, output = run_to_end(*typed, "name=mine")
    assert code == 0
    assert f"skipping the damaged checkpoint {last}" in output
    assert f"skipping the damaged checkpoint {before}" not in output
    assert_same_run(RUNS / "mine", straight[0])


def test_resume_starts_anew_if_all_checkpoints_are_damaged(typed, straight, stopped):
    for path in stopped:
        damage(path / "model.safetensors", "flipped")
    assert run_to_end(*typed, "name=mine")[0] == 0
    assert_same_run(RUNS / "mine", straight[0])


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
def test_load_data_makes_a_damaged_corpus_again(typed, straight, file, how):
    settings = [*typed, "data.cache=cache"]
    assert run_to_end(*settings, "name=other", "steps=1", "evaluate=false")[0] == 0
    (folder,) = (path for path in Path("cache").iterdir() if path.is_dir())
    damage(folder / file, how)
    code, output = run_to_end(*settings, "name=mine")
    assert code == 0
    assert f"the tokenized corpus in {folder} is damaged, so it is made again" in output
    assert_same_run(RUNS / "mine", straight[0])


@pytest.mark.parametrize("how", ["truncated", "flipped"])
def test_evaluate_refuses_damaged_weights(typed, command, how):
    assert command("train", *typed, "name=mine", "steps=1", "evaluate=false")[0] == 0
    damage(RUNS / "mine/model.safetensors", how)
    code, _, err = command("evaluate", "run=results/runs/mine", "tracking.wandb=disabled")
    assert code == 2
    weights = "results/runs/mine/model.safetensors"
    assert f"the weights in {weights} are damaged: not what training wrote" in err
    assert not (RUNS / "mine/curves.csv").exists()


def test_train_names_a_folder_it_cannot_write_to(typed):
    RUNS.mkdir(parents=True)
    RUNS.chmod(0o555)
    code, output = run_to_end(*typed, "name=mine", before=(without_privileges,))
    assert code == 2
    assert output.splitlines()[-1] == "posext: [Errno 13] Permission denied: 'results/runs/mine'"
    RUNS.chmod(0o755)


def test_second_start_of_a_run_is_refused_while_it_works(typed, straight):
    outputs = ["first.txt", "second.txt"]
    processes = [start(*typed, "name=mine", output=output) for output in outputs]
    for process in processes:
        process.join(120)
    codes = [process.exitcode for process in processes]
    assert sorted(codes) == [0, 2]
    refused = Path(outputs[codes.index(2)]).read_text()
    line = (
        "posext: another process is at work on results/runs/mine: "
        "wait for it, or choose another name="
    )
    assert refused.splitlines()[-1] == line
    assert not (RUNS / "mine/error.txt").exists()
    assert_same_run(RUNS / "mine", straight[0])


def test_sweep_marks_a_failed_job_and_finishes_the_others(small):
    rates = ["0.001", "0.002", "1e30", "0.004"]
    sweep = ["-m", "+pe=rope", *small, "compile=false", f"learning_rate={','.join(rates)}"]
    code, output = run_to_end(*sweep)
    assert code not in (0, None)
    assert "loss" in output
    table = status(RUNS).set_index("run")
    assert sorted(table.state) == ["done", "done", "done", "failed"]
    (failed,) = table.index[table.state == "failed"]
    assert "learning_rate-1e_30" in failed
    assert "at step" in table.note[failed]
    assert len((RUNS / failed / "error.txt").read_text().splitlines()) == 1


def test_train_deletes_the_error_of_an_earlier_start(typed, command):
    (RUNS / "mine").mkdir(parents=True)
    (RUNS / "mine/error.txt").write_text("no room\n")
    assert command("train", *typed, "name=mine", "steps=1", "evaluate=false")[0] == 0
    assert not (RUNS / "mine/error.txt").exists()


def test_train_goes_on_if_wandb_cannot_write_its_folder(typed, straight):
    (RUNS / "mine").mkdir(parents=True)
    (RUNS / "mine/wandb").write_text("a file where a folder should be")
    code, output = run_to_end(*typed, "name=mine", "tracking.wandb=offline")
    assert code == 0, output
    (RUNS / "mine/wandb").unlink()
    assert_same_run(RUNS / "mine", straight[0])


@pytest.mark.slow
def test_train_goes_on_offline_if_wandb_cannot_be_reached(typed, straight):
    unreachable = {
        "WANDB_BASE_URL": "http://127.0.0.1:9",
        "WANDB_API_KEY": "0" * 40,
        "WANDB_MODE": "online",
    }
    settings = [*typed, "name=mine", "tracking.wandb=online"]
    code, output = run_to_end(*settings, before=(with_environment, unreachable))
    assert code == 0, output
    assert "so this run is recorded offline" in output
    shutil.rmtree(RUNS / "mine/wandb")
    assert_same_run(RUNS / "mine", straight[0])
