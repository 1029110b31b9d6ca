"""Spread of the loss over seeds: the known table, and the script that makes it."""

import math
import runpy
from pathlib import Path

import pandas as pd
import pytest

from posext.analysis import curves, seed_spread
from posext.analysis.seed_spread import Seeds, Spread

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "seed_spread.py"


def test_over_seeds_gives_the_t_interval_of_the_mean():
    seeds = seed_spread.over_seeds([-0.194, -0.007, 0.025, -0.101])  # FoX less RoPE
    assert seeds.mean == pytest.approx(-0.069, abs=1e-3)
    assert seeds.high - seeds.mean == pytest.approx(0.157, abs=2e-3)  # 3.182 standard errors
    assert seeds.count == 4


def test_known_spread_of_a_scheme_or_the_largest_of_its_size():
    """The packaged table has the standard deviations over seeds of the committed zoo."""
    zoo = pd.read_csv(ROOT / "results" / "zoo" / "curves.csv", keep_default_na=False)
    own = zoo.loc[(zoo.extend == "") & (zoo.context_length == 64) & (zoo.trained_length == 64)]
    own = own.astype({"nll": float})
    by_scheme = own.groupby("scheme").nll.std()
    rope = seed_spread.known_spread("nano", "rope")
    assert rope is not None
    assert rope.sd == pytest.approx(by_scheme["rope"], abs=1e-4)
    assert rope.seeds == (own.scheme == "rope").sum() >= 3
    unmeasured = seed_spread.known_spread("nano", "no such scheme")
    assert unmeasured is not None
    assert unmeasured.sd == pytest.approx(by_scheme.max(), abs=1e-4)
    assert seed_spread.known_spread("hf", "rope") is None


def test_noise_is_a_t_interval_on_the_sum_of_variances():
    spread = Spread(0.1, 4)
    of_two_runs = 2.447 * math.sqrt(2) * 0.1  # t with 6 degrees of freedom
    assert seed_spread.noise(spread, spread) == pytest.approx(of_two_runs, rel=1e-3)
    of_one_run = 3.182 * 0.1  # a floor has no spread of its own
    assert seed_spread.noise(spread, Spread(0.0, 4)) == pytest.approx(of_one_run, rel=1e-3)
    assert math.isnan(seed_spread.noise(spread, None))


@pytest.mark.parametrize(
    ("limit", "seeds", "verdict"),
    [
        (0.1, None, "lower"),
        (0.3, None, "within seeds"),
        (math.nan, None, "one seed"),
        (0.3, Seeds(-0.2, 0.01, -0.3, -0.1, 3), "lower"),
        (0.1, Seeds(-0.2, 0.10, -0.5, 0.1, 3), "within seeds"),
        (0.1, Seeds(0.2, 0.01, 0.1, 0.3, 3), "within seeds"),
    ],
)
def test_verdict_with_seeds_holds_only_if_seeds_agree(limit, seeds, verdict):
    assert seed_spread.verdict_with_seeds("lower", -0.2, limit, seeds) == verdict
    undecided = seed_spread.verdict_with_seeds("no difference seen", -0.2, limit, seeds)
    assert undecided == "no difference seen"


def rows_of(seed, nll, scheme="rope", **columns):
    """Return the rows of a run at its training length, 64, and at 128."""
    row = dict.fromkeys(curves.COLUMNS, "") | dict.fromkeys(curves.NUMBERS, 1.0)
    row |= {"run": f"{scheme}{seed}", "scheme": scheme, "seed": seed, "model": "nano"}
    row |= {"protocol": "fixed_target", "trained_length": 64, "original_length": 64}
    row |= columns
    return [
        row | {"context_length": 64, "nll": nll},
        row | {"context_length": 128, "nll": 9 * seed},
    ]


def run_script(monkeypatch, rows):
    pd.DataFrame(rows).to_csv("curves.csv", index=False)
    monkeypatch.setattr("sys.argv", ["seed_spread.py", "curves.csv", "--out", "spread.csv"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    return pd.read_csv("spread.csv")


def test_seed_spread_script_writes_a_row_for_three_seeds(monkeypatch):
    """The row is of the training length, without schemes of two seeds and extensions."""
    rows = [row for seed, nll in enumerate((3.0, 3.1, 3.2)) for row in rows_of(seed, nll)]
    rows += [row for seed in (0, 1) for row in rows_of(seed, 2.0, "fox")]
    rows += rows_of(7, 5.0, extend="yarn")
    Path("configs").mkdir()
    for seed in range(3):
        text = "pe: {}\nmodel: {}\ndata: {}\ntrain_length: 64\nsteps: 600\ntokens_per_step: 2048\n"
        Path(f"configs/rope{seed}.yaml").write_text(text)
    table = run_script(monkeypatch, rows)
    assert list(table.columns) == seed_spread.SPREAD_COLUMNS
    assert table.values.tolist() == [["nano", "rope", 64, 1228800, 3, 0.1]]


def test_seed_spread_script_refuses_a_repeated_seed(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run_script(monkeypatch, rows_of(0, 3.0) + rows_of(0, 3.1, run="again"))
    assert "rope0 and again are of one seed" in capsys.readouterr().err


def test_seed_spread_script_refuses_fewer_than_three_seeds(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run_script(monkeypatch, rows_of(0, 3.0) + rows_of(1, 3.1))
    assert "none of these has 3 seeds" in capsys.readouterr().err
