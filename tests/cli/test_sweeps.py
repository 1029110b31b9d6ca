"""A sweep started again passes over what is done and continues what is not, whatever launches its jobs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from posext import train
from posext.analysis import curves

RUNS = Path("results/runs")
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def names() -> list[str]:
    return sorted(file.parent.name for file in RUNS.glob("*/curves.csv"))


def sweep(*typed: str) -> str:
    """A sweep as from the command line, in processes of its own; what it said."""
    finished = subprocess.run(
        [sys.executable, "-m", "posext.train", "-m", *typed],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr


@pytest.fixture
def ray_cluster(monkeypatch):
    """A Ray cluster of this machine, which says that it has a GPU, for as long as the test runs; its address is in the
    environment, as another test may have a cluster of its own up.
    """
    code = "import ray; at = ray.init(num_cpus=4, num_gpus=1, include_dashboard=False).address_info['address']"
    code += "; print(at, flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    monkeypatch.setenv("RAY_ADDRESS", process.stdout.readline().strip())
    yield
    process.communicate("\n")  # its input() ends, and the cluster with it


def test_a_launcher_that_is_not_installed_says_which_extras_there_are(command):
    for chosen in ("hydra/launcher=cloud", "hydra/sweeper=clever"):
        code, _, err = command("train", "-m", chosen, "+pe=rope")
        assert code == 2
        assert "there is no" in err
        assert "pip install 'posext[joblib,slurm,ray,optuna]'" in err


@pytest.mark.slow
def test_the_config_of_a_slurm_cluster_composes():
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    typed = ["hydra/launcher=slurm", "hydra.launcher.partition=gpu", "+pe=rope", "--cfg", "hydra"]
    said = subprocess.run(
        [sys.executable, "-m", "posext.train", *typed], capture_output=True, text=True
    ).stdout
    for line in ("partition: gpu", "gpus_per_node: 1", "array_parallelism: 64", "SlurmLauncher"):
        assert line in said


def test_a_sweep_started_again_does_only_what_is_left(command, small, monkeypatch):
    typed = ["-m", "+pe=none,yarn", "seed=0,1", *small, "checkpoint_every=2"]
    save, saved = train.checkpoint.save, []

    def killed(folder, done, *rest):
        save(folder, done, *rest)
        saved.append(folder)
        if len(saved) == 6:  # in the middle of the third job
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(train.checkpoint, "save", killed)
        assert command("train", *typed)[0] == 130
    done = names()
    assert len(done) == 2
    before = {file: file.stat().st_mtime_ns for name in done for file in (RUNS / name).iterdir()}
    before = {file: time for file, time in before.items() if file.name != "config.yaml"}
    trained = []
    accumulate = train.accumulate
    monkeypatch.setattr(train, "accumulate", lambda *a: trained.append(1) or accumulate(*a))
    assert command("train", *typed)[0] == 0
    assert len(names()) == 4
    assert all(file.stat().st_mtime_ns == time for file, time in before.items())
    assert (
        len(trained) == 6 + 2
    )  # the fourth job, and of the third the steps after its checkpoint of step 4


def test_a_done_run_is_measured_again_only_where_more_is_asked(command, small, monkeypatch):
    measured, measure = [], train.evaluate.measure
    monkeypatch.setattr(
        train.evaluate, "measure", lambda *a, **k: measured.append(1) or measure(*a, **k)
    )
    typed = ["+pe=yarn", *small, "name=mine"]
    for more, times in (
        ([], 1),
        ([], 1),
        (["context_lengths=[8,24]"], 2),
        (["protocols=[fixed_target,sliding]"], 3),
    ):
        assert command("train", *typed, *more)[0] == 0
        assert len(measured) == times


def test_a_curve_that_was_cut_off_between_its_two_factors_is_not_done(command, small):
    assert command("train", "+pe=yarn", *small, "name=mine")[0] == 0
    file = RUNS / "mine/curves.csv"
    whole = curves.read_curves(file)
    whole.loc[whole.extend == ""].to_csv(file, index=False)
    assert command("train", "+pe=yarn", *small, "name=mine")[0] == 0
    assert len(curves.read_curves(file)) == len(whole)


def test_the_objective_is_the_loss_at_the_longest_context(tmp_path):
    rows = [
        ("", "fixed_target", 16, 2.0),
        ("", "fixed_target", 64, 3.0),
        ("yarn", "fixed_target", 64, 1.0),
    ]
    rows += [("", "sliding", 64, 0.5)]
    for last, objective in (3.0, 3.0), (None, float("inf")):
        table = curves.pd.DataFrame(rows, columns=["extend", "protocol", "context_length", "nll"])
        table.loc[1, "nll"] = last
        table.reindex(columns=curves.COLUMNS).to_csv(tmp_path / "curves.csv", index=False)
        assert curves.objective(tmp_path / "curves.csv") == objective
    assert curves.objective(tmp_path / "none.csv") is None


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
def test_four_jobs_under_a_launcher(small, plugin, launcher):
    pytest.importorskip(f"hydra_plugins.{plugin}")
    four_jobs(small, launcher)


@pytest.mark.slow
def test_four_jobs_under_ray_on_its_own_and_then_on_a_cluster(small, request, monkeypatch):
    """In one test, as two clusters that start at once on one machine get into each other's way, by their tokens too."""
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    four_jobs(small, ["hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2"])
    shutil.rmtree(RUNS)
    request.getfixturevalue("ray_cluster")
    four_jobs(small, ["hydra/launcher=ray_cluster"])


def four_jobs(small: list[str], launcher: list[str]) -> None:
    """Four runs, each whole; a second start touches none."""
    typed = ["+pe=none,yarn", "seed=0,1", *small, *launcher]
    sweep(*typed)
    assert len(names()) == 4
    before = {file: file.stat().st_mtime_ns for file in RUNS.glob("*/curves.csv")}
    sweep(*typed)
    assert {file: file.stat().st_mtime_ns for file in RUNS.glob("*/curves.csv")} == before
    assert {path.name for path in Path().iterdir()} == {"results"}


@pytest.mark.slow
def test_a_search_is_the_same_search_when_started_again(small):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    typed = [
        "hydra/sweeper=search",
        "+pe=rope",
        *small,
        "learning_rate=tag(log,interval(1e-4,1e-2))",
    ]
    sweep(*typed, "hydra.sweeper.n_trials=2")
    two = {file: file.stat().st_mtime_ns for file in RUNS.glob("*/curves.csv")}
    sweep(*typed, "hydra.sweeper.n_trials=4")
    four = {file: file.stat().st_mtime_ns for file in RUNS.glob("*/curves.csv")}
    assert (len(two), len(four)) == (2, 4)
    assert two.items() <= four.items()
    best = min(curves.objective(file) for file in four)
    assert f"best_value: {best}" in (RUNS / ".sweep/optimization_results.yaml").read_text()


@pytest.mark.slow
def test_a_sweep_killed_in_the_middle_is_whole_after_a_second_start(small):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    settings = [s for s in small if not s.startswith(("tracking", "train_length"))]
    typed = [*settings, "train_length=16", "steps=100", "validate_every=50", "checkpoint_every=20"]
    finished = subprocess.run(
        [sys.executable, SCRIPTS / "sweep_killed.py", "--runs", "6", *typed],
        capture_output=True,
        text=True,
        timeout=400,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "6 runs complete" in finished.stdout
