"""Sweeps: a second start skips what is done and continues the rest, under every launcher."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from posext import train
from posext.analysis import curves
from posext.runs import tracking

RUNS = Path("results/runs")
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def measured_runs() -> list[str]:
    return sorted(file.parent.name for file in RUNS.glob("*/curves.csv"))


def modification_times() -> dict[Path, int]:
    """Return when each curve was last written, in nanoseconds."""
    return {file: file.stat().st_mtime_ns for file in RUNS.glob("*/curves.csv")}


def run_python(*arguments: str | Path, timeout: int = 300) -> str:
    """Run Python in a process of its own, which must succeed, and return its stdout."""
    finished = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def sweep(*settings: str) -> None:
    run_python("-m", "posext.train", "-m", *settings)


@pytest.fixture
def ray_cluster(monkeypatch):
    """A Ray cluster of this machine, which claims a GPU, until the test ends.

    Its address is in the environment, because another test may have a cluster of its own.
    """
    code = "import ray; cluster = ray.init(num_cpus=4, num_gpus=1, include_dashboard=False)"
    code += "; print(cluster.address_info['address'], flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    monkeypatch.setenv("RAY_ADDRESS", process.stdout.readline().strip())
    yield
    process.communicate("\n")  # its input() ends, and the cluster with it


@pytest.mark.parametrize("choice", ["hydra/launcher=cloud", "hydra/sweeper=clever"])
def test_sweep_refuses_a_missing_launcher_and_names_extras(command, choice):
    code, _, err = command("train", "-m", choice, "+pe=rope")
    assert code == 2
    assert "there is no" in err
    assert "pip install 'posext[joblib,slurm,ray,optuna]'" in err


@pytest.mark.slow
def test_sweep_config_of_a_slurm_cluster_composes():
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    launcher = ["hydra/launcher=slurm", "hydra.launcher.partition=gpu"]
    config = run_python("-m", "posext.train", *launcher, "+pe=rope", "--cfg", "hydra")
    for line in ("partition: gpu", "gpus_per_node: 1", "array_parallelism: 64", "SlurmLauncher"):
        assert line in config


def test_sweep_started_again_does_only_what_is_left(command, small, monkeypatch):
    arguments = ["-m", "+pe=none,yarn", "seed=0,1", *small, "checkpoint_every=2"]
    saved = []
    save = train.checkpoint.save

    def save_and_interrupt(folder, done, *rest):
        save(folder, done, *rest)
        saved.append(folder)
        if len(saved) == 6:  # in the middle of the third job
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(train.checkpoint, "save", save_and_interrupt)
        assert command("train", *arguments)[0] == 130
    done = measured_runs()
    assert len(done) == 2
    files = [file for name in done for file in (RUNS / name).iterdir()]
    before = {file: file.stat().st_mtime_ns for file in files if file.name != "config.yaml"}
    steps = []
    accumulate = train.accumulate
    monkeypatch.setattr(train, "accumulate", lambda *a: steps.append(1) or accumulate(*a))
    assert command("train", *arguments)[0] == 0
    assert len(measured_runs()) == 4
    assert all(file.stat().st_mtime_ns == time for file, time in before.items())
    # The fourth job, and of the third the steps after its checkpoint of step 4.
    assert len(steps) == 6 + 2


def test_sweep_finishes_other_jobs_when_one_fails(command, small):
    rates = "learning_rate=0.001,-1,0.002"
    code, _, err = command("train", "-m", *small, "+pe=rope", rates, "evaluate=false")
    assert code == 2
    assert "learning_rate must be a number above 0, not -1" in err
    assert len(list(RUNS.glob("*/run.json"))) == 2


def test_train_measures_a_done_run_again_if_more_is_asked(command, small, monkeypatch):
    measured = []
    measure = train.evaluate.measure_run
    monkeypatch.setattr(
        train.evaluate, "measure_run", lambda *a, **k: measured.append(1) or measure(*a, **k)
    )
    for more, times in (
        ([], 1),
        ([], 1),
        (["context_lengths=[8,24]"], 2),
        (["protocols=[fixed_target,sliding]"], 3),
    ):
        assert command("train", "+pe=yarn", *small, "name=mine", *more)[0] == 0
        assert len(measured) == times


def test_train_finishes_a_curve_cut_off_between_factors(command, small):
    assert command("train", "+pe=yarn", *small, "name=mine")[0] == 0
    file = RUNS / "mine/curves.csv"
    whole = curves.read_curves(file)
    whole.loc[whole.extend == ""].to_csv(file, index=False)
    assert command("train", "+pe=yarn", *small, "name=mine")[0] == 0
    assert len(curves.read_curves(file)) == len(whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plugin", "launcher"),
    [
        ("hydra_joblib_launcher", ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]),
        (
            "hydra_submitit_launcher",
            ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"],
        ),
    ],
)
def test_sweep_of_four_jobs_under_a_launcher(small, plugin, launcher):
    pytest.importorskip(f"hydra_plugins.{plugin}")
    run_four_jobs(small, launcher)


@pytest.mark.slow
def test_sweep_of_four_jobs_under_ray(small, request, monkeypatch):
    """Ray runs on its own first, and then on a cluster.

    This is one test, because two clusters that start at once on one machine disturb each other.
    """
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    run_four_jobs(small, ["hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2"])
    shutil.rmtree(RUNS)
    request.getfixturevalue("ray_cluster")
    run_four_jobs(small, ["hydra/launcher=ray_cluster"])


def run_four_jobs(small: list[str], launcher: list[str]) -> None:
    """Check that four runs are whole, and that a second start touches none."""
    settings = ["+pe=none,yarn", "seed=0,1", *small, *launcher]
    sweep(*settings)
    assert len(measured_runs()) == 4
    before = modification_times()
    sweep(*settings)
    assert modification_times() == before
    assert {path.name for path in Path().iterdir()} == {"results"}


@pytest.mark.slow
def test_sweep_job_that_is_preempted_ends_as_if_it_had_not_been(command, small):
    """submitit has Slurm warn a job by SIGUSR2, and queues it again, as its local executor does."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    settings = ["+pe=yarn", *small, "steps=600", "validate_every=300", "checkpoint_every=20"]
    assert command("train", *settings, "name=alone")[0] == 0
    launcher = ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=60"]
    preempted = subprocess.Popen(
        [sys.executable, "-m", "posext.train", "-m", *settings, "name=preempted", *launcher]
    )
    metrics = RUNS / "preempted/metrics.jsonl"
    wait_until(lambda: metrics.exists() and len(metrics.read_text().splitlines()) > 100)
    first_job = submitit_job(preempted.pid)
    first_job.send_signal(signal.SIGUSR2)
    first_job.wait(timeout=60)
    assert not (RUNS / "preempted/run.json").exists()
    assert preempted.wait(timeout=240) == 0
    steps, other_steps = ([row["step"] for row in rows_of(name)] for name in ("alone", "preempted"))
    assert steps == other_steps
    weights = [(RUNS / name / "model.safetensors").read_bytes() for name in ("alone", "preempted")]
    assert weights[0] == weights[1]


def rows_of(name: str) -> list[dict]:
    return tracking.read_metrics(RUNS / name / "metrics.jsonl")


def submitit_job(parent: int) -> psutil.Process:
    """Return the process in which submitit's local executor runs a job of a sweep."""
    children = psutil.Process(parent).children(recursive=True)
    jobs = [child for child in children if "submitit.core._submit" in child.cmdline()]
    assert len(jobs) == 1
    return jobs[0]


def wait_until(done: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_sweep_search_continues_when_started_again(small):
    """The second start keeps the first trials and adds more."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    rates = "learning_rate=tag(log,interval(1e-4,1e-2))"
    settings = ["hydra/sweeper=search", "+pe=rope", *small, rates]
    sweep(*settings, "hydra.sweeper.n_trials=2")
    of_two = modification_times()
    sweep(*settings, "hydra.sweeper.n_trials=4")
    of_four = modification_times()
    assert (len(of_two), len(of_four)) == (2, 4)
    assert of_two.items() <= of_four.items()
    best = min(curves.objective(file) for file in of_four)
    assert f"best_value: {best}" in (RUNS / ".sweep/optimization_results.yaml").read_text()


@pytest.mark.slow
def test_sweep_killed_in_the_middle_is_whole_after_a_restart(small):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    settings = [s for s in small if not s.startswith(("tracking", "train_length"))]
    settings += ["train_length=16", "steps=100", "validate_every=50", "checkpoint_every=20"]
    script = SCRIPTS / "sweep_killed.py"
    assert "6 runs complete" in run_python(script, "--runs", "6", *settings, timeout=400)
