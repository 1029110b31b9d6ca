"""Axes, patterns and schemes of one's own from the command line."""

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


@pytest.fixture
def trained(command, small):
    """A finished RoPE run."""
    code, _, err = command("train", "+pe=rope", *small, "name=mine")
    assert code == 0, err
    return "results/runs/mine"


def test_every_inference_time_choice_measures_a_trained_run(command, trained):
    typed = [[f"+window={name}"] for name in names("window")]
    typed += [
        ["attention_scale=logn"],
        ["+pe@extend=yarn", "extend.attention_factor=1", "+attention_scale=logn"],
    ]
    typed += [
        ["+window=window", "window.size=4"],
        ["+pe@extend=ntk", "extend.factor=4", "+window=leaky_rerope"],
    ]
    for arguments in typed:
        code, _, err = command("evaluate", f"run={trained}", "tracking.wandb=disabled", *arguments)
        assert code == 0, err
    rows = curves.read_curves(f"{trained}/curves.csv")
    named = set(rows.extend)
    assert named >= {
        *names("window"),
        "logn",
        "yarn(attention_factor=1)+logn",
        "window(size=4)",
        "ntk+leaky_rerope",
        "",
    }
    assert rows.nll.notna().all()
    own, full = (rows[rows.extend == name].set_index("context_length").nll for name in ("", "full"))
    assert own.equals(full)
    window = rows[rows.extend == "window"].set_index("context_length").nll
    assert window[[8, 16]].to_numpy() == pytest.approx(own[[8, 16]].to_numpy(), rel=1e-6)
    multiplier = rows[rows.extend == "logn"].set_index("context_length").logit_multiplier
    assert multiplier[256] == pytest.approx(math.log(256) / math.log(16))
    assert multiplier[8] == 1


def test_what_does_not_go_together_is_refused_in_one_sentence(command, trained, small):
    code, _, err = command("evaluate", f"run={trained}", "+pe@extend=yarn", "+attention_scale=logn")
    assert (code, "a temperature of its own" in err) == (2, True)
    code, _, err = command("train", "+pe=alibi", "+window=rerope", *small, "name=other")
    assert (code, "needs a rotary scheme" in err) == (2, True)
    code, _, err = command("train", "+pe=rope", "+window=rerop", *small)
    assert (code, "unknown window=rerop; choose one of" in err) == (2, True)
    code, _, err = command(
        "train", "+pe=rope", "+position_ids=pose", "position_ids.multiple=0", *small
    )
    assert (code, "position_ids.multiple must be at least 1" in err) == (2, True)
    assert len(list(Path("results/runs").iterdir())) == 1


@pytest.mark.parametrize(
    ("typed", "title"),
    [
        (["+pe=rope", "attention_scale=ssmax"], "rope+ssmax"),
        (["+pe=sinusoidal", "+position_ids=shape"], "sinusoidal+shape"),
        (["+pe=yarn", "+position_ids=pose", "position_ids.multiple=4"], "yarn+pose"),
        (["+pe=t5", "+position_ids=randomized"], "t5+randomized"),
        (["+pe=rope", "+qk_gain=per_dim", "+window=window"], "rope+window+per_dim"),
        (["experiment=note_yarn"], "note_rope_power+yarn+per_pair"),
        (["+pe=rnope_swa", "model.n_layers=4"], "rnope_swa"),
    ],
)
def test_training_with_axes_ends_in_a_curve_under_its_title(command, small, typed, title):
    code, _, err = command("train", *typed, *small)
    assert code == 0, err
    (folder,) = Path("results/runs").iterdir()
    assert folder.name.startswith(title.replace("+", "_"))
    rows = curves.read_curves(folder / "curves.csv")
    assert set(rows.scheme) == {title}
    assert rows.nll.notna().all()
    code, out, _ = command("train", *typed, *small)
    assert (code, "done already" in out) == (0, True)


def test_a_run_trained_with_axes_keeps_them_under_an_extension(command, small):
    assert command("train", "+pe=rope", "+qk_gain=per_pair", *small, "name=mine")[0] == 0
    code, _, err = command(
        "evaluate", "run=results/runs/mine", "+pe@extend=yarn", "tracking.wandb=disabled"
    )
    assert code == 0, err
    rows = curves.read_curves("results/runs/mine/curves.csv")
    assert set(rows.extend) == {"", "yarn"}


def test_a_scheme_of_one_s_own_is_trained_and_measured_when_its_module_is_allowed(
    command, small, monkeypatch
):
    monkeypatch.syspath_prepend(OWN)
    typed = ["--config-dir", str(OWN / "configs"), "+pe=square_root", *small, "name=mine"]
    code, _, err = command("train", *typed)
    assert (code, "own_modules=[square_root] allows it" in err) == (2, True)
    code, _, err = command("train", *typed, "own_modules=[square_root]")
    assert code == 0, err
    assert "square_root" in OmegaConf.load("results/runs/mine/config.yaml").pe._target_


def test_what_a_stored_config_allows_does_not_count(tmp_path, small):
    """A run's folder may be a stranger's: measuring it takes the setting again."""
    shutil.copytree(OWN, tmp_path / "own")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WANDB_MODE": "disabled"}

    def run(module: str, *typed: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", f"posext.{module}", "--config-dir", "configs", *typed]
        return subprocess.run(
            command, cwd=tmp_path / "own", env=environment, capture_output=True, text=True
        )

    trained = run(
        "train",
        "+pe=square_root",
        *small,
        "name=mine",
        "own_modules=[square_root]",
        "evaluate=false",
    )
    assert trained.returncode == 0, trained.stderr
    refused = run("evaluate", "run=results/runs/mine")
    assert (refused.returncode, "is refused" in refused.stderr) == (2, True)
    measured = run("evaluate", "run=results/runs/mine", "own_modules=[square_root]")
    assert measured.returncode == 0, measured.stderr


def test_a_scheme_of_one_s_own_is_put_under_the_contract():
    file = OWN / "configs" / "pe" / "square_root.yaml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        str(ROOT / "tests" / "test_contract.py"),
        "--pe",
        str(file),
    ]
    environment = {**os.environ, "PYTHONPATH": str(OWN)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    count = int(done.stdout.split(" passed")[0].split()[-1])
    assert count >= 10
