"""Which scored windows two schemes may share."""

from posext.eval.cache import EvalCache, MeasuredWindows, ScoredWindows, same_rotation
from posext.eval.scoring import TargetWindow
from posext.pe import build

SHAPE = {"head_dim": 16, "n_heads": 2, "d_model": 32, "train_length": 16}


def test_same_rotation_compares_gains():
    xpos, faster, rope = (
        build(name, **SHAPE, **settings)
        for name, settings in (("xpos", {}), ("xpos", {"scale_base": 16}), ("rope", {}))
    )
    assert same_rotation(xpos, xpos, 64)
    assert not same_rotation(xpos, faster, 64)
    assert not same_rotation(xpos, rope, 64)


def test_schemes_share_windows_if_all_lengths_rotate_alike(tmp_path):
    """A matched factor is the fixed one at the longest length, and another in shorter windows."""
    matched, fixed = (build("ntk", factor=factor, **SHAPE) for factor in ("auto", 4))
    for scheme in (matched, fixed):
        scheme.set_progress(trained_length=16)
    cache = EvalCache(tmp_path, is_main_process=True)
    scored = ScoredWindows([], 1.0, 0)
    cache.remember(MeasuredWindows(matched, {}, "sliding", 64, scored))
    long, short = TargetWindow(0, 90, 64, 4), TargetWindow(0, 90, 40, 4)
    assert cache.find_same_rotation(fixed, {}, "sliding", 64, [long]) is scored
    assert cache.find_same_rotation(fixed, {}, "sliding", 64, [long, short]) is None
    own_window = {"window": {"name": "sliding", "size": 16}}
    assert cache.find_same_rotation(fixed, own_window, "sliding", 64, [long]) is None
