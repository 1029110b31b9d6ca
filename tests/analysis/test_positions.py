"""Moving averages of the loss by position, from stored sums."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.pages import rows_of

from posext.analysis import positions
from posext.analysis.statistics import interval
from posext.cli import plot
from posext.eval.protocols.per_position import buckets, parts
from posext.eval.scoring import TargetWindow
from posext.utils.errors import PosextError


@pytest.mark.parametrize(("length", "size"), [(8, 1), (512, 1), (513, 2), (1000, 2), (4100, 9)])
def test_parts_divide_a_window_evenly(length, size):
    """A part is named by its largest context, and holds the contexts down to the one before."""
    window = TargetWindow(0, length, length, length)
    names = parts(window)
    contexts = np.arange(1, length + 1)
    assert ((names >= contexts) & (names - size < contexts)).all()
    assert len(set(names)) <= 512
    assert names[-1] == length == int(buckets(window)[-1])


def sums_of(nll_PD, size=1, windows=(1, 1, 1)):
    """Sums by position, with so many windows in each document; the NLL is that of one window."""
    rows = [
        (f"d{d}", size * (p + 1), windows[d] * size * nll, windows[d] * size)
        for p, row in enumerate(nll_PD)
        for d, nll in enumerate(row)
    ]
    return pd.DataFrame(rows, columns=["document", "context_length", "nll", "tokens"])


def curve(function, count=40):
    """The same loss by position in three documents."""
    return np.repeat(function(np.arange(1.0, count + 1))[:, None], 3, axis=1)


@pytest.mark.parametrize("width", [1, 4, 9, 33, 1000])
def test_averages_are_centred_at_the_ends_too(width):
    """A straight line stays what it is."""
    averages = positions.averages(sums_of(curve(lambda p: 2 + p / 10)), width)
    assert averages.nll.tolist() == pytest.approx([2 + p / 10 for p in range(1, 41)])
    assert averages.context_length.tolist() == [*range(1, 41)]


@pytest.mark.parametrize(("width", "reach"), [(1, 0), (2, 1), (4, 2), (9, 4)])
def test_averages_reach_half_the_width_on_both_sides(width, reach):
    """The mean of squares over p - h .. p + h is p^2 + h (h + 1) / 3."""
    squares = sums_of(curve(lambda p: p**2 / 100))
    averages = positions.averages(squares, width).set_index("context_length")
    for place in (1, 2, 4, 20, 38, 40):
        h = min(reach, place - 1, 40 - place)
        assert averages.nll[place] == pytest.approx((place**2 + h * (h + 1) / 3) / 100)


def test_averages_count_width_in_tokens():
    """Parts of 4 tokens: 9 tokens reach one part on either side."""
    averages = positions.averages(sums_of(curve(np.square, 10), size=4), 9)
    assert averages.nll[4] == pytest.approx(25 + 2 / 3)  # of the fifth part
    assert averages.context_length.tolist() == [*range(4, 41, 4)]


def test_averages_have_intervals_over_documents():
    rng = np.random.default_rng(0)
    nll_PD, windows = rng.normal(3, 1, (10, 3)), (1, 2, 5)
    averages = positions.averages(sums_of(nll_PD, windows=windows), 3)
    total_D = nll_PD[3:6].sum(0) * windows
    expected = interval(total_D, 3.0 * np.array(windows))
    assert averages.loc[4, ["nll", "nll_low", "nll_high"]].tolist() == pytest.approx([*expected])
    assert averages.loc[4, ["documents", "tokens"]].tolist() == [3, 24]
    assert averages.perplexity[4] == pytest.approx(np.exp(expected.value))


def write_run(name, level, scheme="rope"):
    """A folder with a curve by position, whose loss is `level`."""
    folder = Path(name)
    folder.mkdir()
    rows = rows_of(scheme, [level] * 4, run=name, protocol="per_position")
    rows.to_csv(folder / "curves.csv", index=False)
    sums = sums_of(np.full((512, 3), level)).assign(extend="", factor="", corpus="own")
    positions.write_positions(folder, sums)
    return folder


def test_write_positions_replaces_the_same_curve():
    folder = write_run("a", 2.0)
    more = sums_of(np.full((512, 3), 3.0))
    for extend in ("", "yarn"):
        positions.write_positions(folder, more.assign(extend=extend, factor="", corpus="own"))
    stored = positions.read_positions(folder)
    assert stored.groupby("extend").nll.mean().to_dict() == {"": 3.0, "yarn": 3.0}
    assert len(stored) == 2 * len(more)


def run_plot(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["plot", *map(str, arguments), "--out", "out.png"])
    plot.main()


def test_plot_draws_smoothed_curves_of_two_runs(monkeypatch):
    drawn = []
    draw_curves = plot.curve_plot.draw_curves
    monkeypatch.setattr(plot.curve_plot, "draw_curves", lambda rows, *rest: drawn.append(rows))
    runs = write_run("a", 2.0), write_run("b", 3.0, "alibi")
    run_plot(monkeypatch, *runs, "--protocol", "per_position", "--smooth", "16")
    (rows,) = drawn
    assert rows.groupby("scheme").nll.agg(["min", "max", "size"]).to_numpy().tolist() == [
        [3.0, 3.0, 512],
        [2.0, 2.0, 512],
    ]
    assert set(rows.context_length) == {*range(1, 513)}
    monkeypatch.setattr(plot.curve_plot, "draw_curves", draw_curves)
    run_plot(monkeypatch, *runs, "--protocol", "per_position", "--smooth", "16")
    assert Path("out.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--smooth", "8"], "no curve was measured under 'fixed_target'"),
        (["--smooth", "0", "--protocol", "per_position"], "--smooth must be at least 1 token"),
        (["--smooth", "8", "--protocol", "per_position"], "a has no losses by position: posext"),
    ],
)
def test_plot_refuses_to_smooth_what_is_not_there(monkeypatch, capsys, arguments, message):
    folder = write_run("a", 2.0)
    (folder / "positions.parquet").unlink()
    with pytest.raises(SystemExit):
        run_plot(monkeypatch, folder, *arguments)
    assert message in capsys.readouterr().err


def test_smoothed_curves_names_a_damaged_file():
    folder = write_run("a", 2.0)
    (folder / "positions.parquet").write_text("no parquet")
    with pytest.raises(PosextError, match=r"a/positions.parquet is damaged"):
        positions.read_positions(folder)
