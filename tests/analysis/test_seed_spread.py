"""How far seeds put a loss apart: the known table, the noise of a difference, and the script that makes the table."""

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
    found = seed_spread.over_seeds([-0.194, -0.007, 0.025, -0.101])  # FoX less RoPE
    assert found.mean == pytest.approx(-0.069, abs=1e-3)
    assert found.high - found.mean == pytest.approx(0.157, abs=2e-3)  # 3.182 standard errors
    assert found.count == 4


def test_known_spread_is_the_scheme_s_or_the_largest_of_its_size():
    """The packaged table is that of the committed zoo: standard deviations over its seeds."""
    zoo = pd.read_csv(ROOT / "results" / "zoo" / "curves.csv", keep_default_na=False)
    own = zoo.loc[(zoo.extend == "") & (zoo.context_length == 64)].astype({"nll": float})
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
    same = Spread(0.1, 4)
    assert seed_spread.noise(same, same) == pytest.approx(
        2.447 * math.sqrt(2) * 0.1, rel=1e-3
    )  # 6 degrees of freedom
    assert seed_spread.noise(same, Spread(0.0, 4)) == pytest.approx(
        3.182 * 0.1, rel=1e-3
    )  # a floor has none of its own
    assert math.isnan(seed_spread.noise(same, None))


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
def test_judged_keeps_a_verdict_where_seeds_bear_it_out(limit, seeds, verdict):
    assert seed_spread.verdict_with_seeds("lower", -0.2, limit, seeds) == verdict
    assert (
        seed_spread.verdict_with_seeds("no difference seen", -0.2, limit, seeds)
        == "no difference seen"
    )


def rows_of(seed, nll, scheme="rope", **columns):
    known = dict.fromkeys(curves.COLUMNS, "") | dict.fromkeys(curves.NUMBERS, 1.0)
    known |= {
        "run": f"{scheme}{seed}",
        "scheme": scheme,
        "protocol": "fixed_target",
        "model": "nano",
        "seed": seed,
    }
    known |= {"trained_length": 64, "original_length": 64, "context_length": 64, "nll": nll}
    return [known | columns, {**known, **columns, "context_length": 128, "nll": 9.0 * seed}]


def made(monkeypatch, rows, *typed):
    pd.DataFrame(rows).to_csv("curves.csv", index=False)
    monkeypatch.setattr("sys.argv", ["seed_spread.py", "curves.csv", "--out", "spread.csv", *typed])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    return pd.read_csv("spread.csv")


def test_seed_spread_makes_a_row_of_three_seeds_at_the_training_length(monkeypatch):
    rows = [row for seed, nll in enumerate((3.0, 3.1, 3.2)) for row in rows_of(seed, nll)]
    rows += [row for seed in (0, 1) for row in rows_of(seed, 2.0, "fox")] + rows_of(
        7, 5.0, extend="yarn"
    )
    Path("configs").mkdir()
    for seed in range(3):
        text = "pe: {}\nmodel: {}\ndata: {}\ntrain_length: 64\nsteps: 600\ntokens_per_step: 2048\n"
        Path(f"configs/rope{seed}.yaml").write_text(text)
    table = made(monkeypatch, rows)
    assert list(table.columns) == seed_spread.SPREAD_COLUMNS
    assert table.values.tolist() == [["nano", "rope", 64, 1228800, 3, 0.1]]


def test_seed_spread_refuses_a_seed_that_stands_twice_and_fewer_than_three(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        made(monkeypatch, rows_of(0, 3.0) + rows_of(0, 3.1, run="again"))
    assert "rope0 and again are of one seed" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        made(monkeypatch, rows_of(0, 3.0) + rows_of(1, 3.1))
    assert "none of these has 3 seeds" in capsys.readouterr().err
