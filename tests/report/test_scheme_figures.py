"""The list of schemes and the figures of one: numbers against closed forms, and what cannot be drawn said in a sentence."""

import math
import sys

import pytest
import torch

from posext.cli import schemes as pe
from posext.model.attention import prepare
from posext.pe import build, names
from posext.report.scheme_figures import attention_factor, figures, wavelengths

SHAPE = {"head_dim": 64, "n_heads": 4, "d_model": 256, "train_length": 128}


def drawn(name, length=256, **settings):
    return figures(name, build(name, **SHAPE, **settings), length)


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["posext.pe", *arguments])
    pe.main()
    return capsys.readouterr().out


def test_the_wavelengths_of_position_interpolation_are_rope_s_times_the_factor():
    figure = drawn("linear", factor=8)[0]
    ropes, own = figure.lines
    expected = [2 * math.pi * 10000 ** (i / 32) for i in range(32)]
    assert ropes.y.tolist() == pytest.approx(expected, rel=1e-6)
    assert own.y.tolist() == pytest.approx([8 * tokens for tokens in expected], rel=1e-6)
    assert figure.marks == {"original length": 128, "length": 256}


def test_yarn_s_attention_factor_is_told_from_its_rotation():
    scheme = build("yarn", **SHAPE, factor=8)
    rotation = scheme.rotation(torch.arange(2), 256)
    assert attention_factor(rotation) == pytest.approx(0.1 * math.log(8) + 1)
    assert wavelengths(rotation).tolist() == pytest.approx(
        (2 * math.pi / scheme.frequencies(256)[0]).tolist(), rel=1e-6
    )
    assert "logits are multiplied by 1.459." in drawn("yarn", factor=8)[0].notes[1]


def test_pairs_that_stand_still_have_no_wavelength():
    figure = drawn("proportional", share=0.25)[0]
    assert figure.lines[1].y.isinf().tolist() == [False] * 8 + [True] * 24
    assert figure.notes[-1] == "24 of 32 pairs stand still."


def test_alibi_falls_by_its_slope():
    bias = torch.stack([line.y for line in drawn("alibi")[0].lines])
    slopes = torch.tensor([2.0**-2, 2**-4, 2**-6, 2**-8], dtype=torch.float64)
    torch.testing.assert_close(bias, -slopes[:, None] * torch.arange(256))


@pytest.mark.parametrize("name", ["kerple_log", "t5", "fire_s"])
def test_a_learned_bias_is_that_of_the_last_query(name):
    scheme = build(name, **SHAPE)
    with torch.no_grad():
        last = prepare(scheme.tables(torch.arange(64))).bias.values_HQK[:, -1].flip(-1).double()
    shown = torch.stack([line.y for line in figures(name, scheme, 64)[0].lines])
    torch.testing.assert_close(shown, last)


def test_the_similarity_of_sinusoidal_positions_is_the_mean_of_cosines():
    similarity = drawn("sinusoidal")[0].lines[0].y
    frequencies = 10000.0 ** (-torch.arange(0, 256, 2, dtype=torch.float64) / 256)
    torch.testing.assert_close(
        similarity, torch.cos(torch.arange(256)[:, None] * frequencies).mean(-1), atol=1e-6, rtol=0
    )


def test_a_pattern_over_layers_is_drawn_for_each_of_its_kinds():
    slow, fast = drawn("dual_base")
    assert (slow.title, fast.title) == (
        "layers 1, 2, 3, 4, 5, 7, 8, 9, 10, 11 of 12",
        "layers 6, 12 of 12",
    )
    assert float(fast.lines[1].y[-1]) == pytest.approx(2 * math.pi * 1e6 ** (31 / 32), rel=1e-5)


@pytest.mark.parametrize("name", names())
def test_every_scheme_is_listed_and_drawn_or_says_why_not(name, monkeypatch, capsys, tmp_path):
    said = run(
        monkeypatch,
        capsys,
        "show",
        name,
        "train_length=16",
        "length=16",
        f"png={tmp_path / 'a.png'}",
    )
    assert (tmp_path / "a.png").exists() or "there is nothing to draw" in said
    assert max(map(len, said.splitlines())) <= 160


def test_the_list_fits_a_terminal_and_counts_parameters(monkeypatch, capsys):
    lines = run(monkeypatch, capsys).splitlines()
    assert max(map(len, lines)) <= 120
    first = {line.split()[0]: line for line in lines if line[:1].strip()}
    assert set(names()) <= set(first)
    assert "1,028 a layer" in first["fox"]
    assert "trained  " in first["alibi"]
    assert "arXiv:2309.00071" in first["yarn"]


@pytest.mark.parametrize("name", ["none", "fox"])
def test_without_text_there_is_nothing_to_draw_of_some(name, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, capsys, "show", name).count("nothing to draw") == 1
    assert not list(tmp_path.iterdir())


def test_the_chart_lies_in_the_working_directory(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert "Chart: pe-ntk.png" in run(monkeypatch, capsys, "show", "ntk", "factor=4")
    assert (tmp_path / "pe-ntk.png").stat().st_size > 10000


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["draw"], "unknown command 'draw'"),
        (["show", "yarm"], "choose one of alibi"),
        (["show", "yarn", "betafast=3"], "factor, beta_fast"),
        (["show", "yarn", "factor"], "KEY=VALUE"),
        (["show", "yarn", "factor=many"], "is not"),
        (["show", "yarn", "length=0"], "length=0 is not a whole number of at least 1"),
        (["show", "learned", "length=256"], "defined up to 128 tokens"),
        (["show", "rope", "png=/nowhere/a.png"], "/nowhere/a.png"),
    ],
)
def test_what_the_user_can_mend_is_one_sentence(arguments, named, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, capsys, *arguments)
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert named in error.splitlines()[-1]
    assert "Traceback" not in error
