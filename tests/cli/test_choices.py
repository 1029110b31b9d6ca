"""Modifiers, patterns and own schemes, chosen at the command line."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from posext.analysis import curves
from posext.pe import names

ROOT = Path(__file__).resolve().parents[2]
OWN = ROOT / "examples" / "own_scheme"


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, "WANDB_MODE": "disabled", **variables}


@pytest.fixture
def trained(command, small):
    """The folder of a finished RoPE run."""
    code, _, err = command("train", "+pe=rope", *small, "name=mine")
    assert code == 0, err
    return "results/runs/mine"


def test_evaluate_takes_every_inference_time_choice(command, trained):
    choices = [[f"+window={name}"] for name in names("window")]
    choices += [
        ["attention_scale=logn"],
        ["+pe@extend=yarn", "extend.attention_factor=1", "+attention_scale=logn"],
        ["+window=sliding", "window.size=4"],
        ["+pe@extend=ntk", "extend.factor=4", "+window=leaky_rerope"],
    ]
    for choice in choices:
        code, _, err = command("evaluate", f"run={trained}", "tracking.wandb=disabled", *choice)
        assert code == 0, err
    rows = curves.read_curves(f"{trained}/curves.csv")
    combined = {
        "logn",
        "yarn(attention_factor=1)+logn",
        "sliding(size=4)",
        "ntk+leaky_rerope",
        "",
    }
    assert set(rows.extend) >= {*names("window"), *combined}
    assert rows.nll.notna().all()
    own, full = (rows[rows.extend == name].set_index("context_length").nll for name in ("", "full"))
    assert own.equals(full)
    window = rows[rows.extend == "sliding"].set_index("context_length").nll
    assert window[[8, 16]].to_numpy() == pytest.approx(own[[8, 16]].to_numpy(), rel=1e-6)
    multiplier = rows[rows.extend == "logn"].set_index("context_length").logit_multiplier
    assert multiplier[256] == pytest.approx(math.log(256) / math.log(16))
    assert multiplier[8] == 1


@pytest.mark.parametrize(
    ("choices", "title"),
    [
        (["+pe=rope", "attention_scale=ssmax"], "rope+ssmax"),
        (["+pe=sinusoidal", "+position_ids=shape"], "sinusoidal+shape"),
        (["+pe=yarn", "+position_ids=pose", "position_ids.multiple=4"], "yarn+pose"),
        (["+pe=t5", "+position_ids=randomized"], "t5+randomized"),
        (["+pe=rope", "+qk_gain=per_dim", "+window=sliding"], "rope+sliding+per_dim"),
        (["experiment=note_yarn"], "note_rope_power+yarn+per_pair"),
        (["+pe=rnope_swa", "model.n_layers=4"], "rnope_swa"),
    ],
)
def test_train_with_modifiers_writes_a_curve_of_its_title(command, small, choices, title):
    code, _, err = command("train", *choices, *small)
    assert code == 0, err
    (folder,) = Path("results/runs").iterdir()
    assert folder.name.startswith(title.replace("+", "_"))
    rows = curves.read_curves(folder / "curves.csv")
    assert set(rows.scheme) == {title}
    assert rows.nll.notna().all()
    code, out, _ = command("train", *choices, *small)
    assert (code, "done already" in out) == (0, True)


def test_evaluate_extends_a_run_trained_with_a_modifier(command, small):
    assert command("train", "+pe=rope", "+qk_gain=per_pair", *small, "name=mine")[0] == 0
    code, _, err = command(
        "evaluate", "run=results/runs/mine", "+pe@extend=yarn", "tracking.wandb=disabled"
    )
    assert code == 0, err
    rows = curves.read_curves("results/runs/mine/curves.csv")
    assert set(rows.extend) == {"", "yarn"}


def test_own_modules_allows_training_an_own_scheme(command, small, monkeypatch):
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(OWN))])
    monkeypatch.delitem(sys.modules, "square_root", raising=False)
    shutil.copy(OWN / "square_root.py", ".")  # found here, as by `python -m`
    settings = ["--config-dir", str(OWN / "configs"), "+pe=square_root", *small, "name=mine"]
    code, _, err = command("train", *settings)
    assert (code, "own_modules=[square_root] allows it" in err) == (2, True)
    code, _, err = command("train", *settings, "own_modules=[square_root]")
    assert code == 0, err
    assert "square_root" in OmegaConf.load("results/runs/mine/config.yaml").pe._target_


def test_own_modules_of_a_stored_config_allows_nothing(tmp_path, small):
    """A run's folder may be a stranger's: measuring it takes the setting again."""
    shutil.copytree(OWN, tmp_path / "own")

    def run(module: str, *settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", f"posext.{module}", "--config-dir", "configs", *settings],
            cwd=tmp_path / "own",
            env=environment(PYTHONPATH=str(ROOT)),
            capture_output=True,
            text=True,
        )

    allowed = "own_modules=[square_root]"
    trained = run("train", "+pe=square_root", *small, "name=mine", allowed, "evaluate=false")
    assert trained.returncode == 0, trained.stderr
    refused = run("evaluate", "run=results/runs/mine")
    assert (refused.returncode, "is refused" in refused.stderr) == (2, True)
    measured = run("evaluate", "run=results/runs/mine", allowed)
    assert measured.returncode == 0, measured.stderr


def test_contract_runs_on_an_own_scheme():
    scheme = OWN / "configs" / "pe" / "square_root.yaml"
    contract = ROOT / "tests" / "pe" / "test_contract.py"
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", str(contract), "--pe", str(scheme)],
        cwd=ROOT,
        env=environment(PYTHONPATH=str(OWN)),
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout[-2000:]
    passed = int(finished.stdout.split(" passed")[0].split()[-1])
    assert passed >= 10
