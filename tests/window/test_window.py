"""Windows and index remappings against distances written out pair by pair, in float64."""

import math

import pytest
import torch

from posext.model import attention
from posext.pe import build, names

L = 16  # original length
SHAPE = {"head_dim": 16, "n_heads": 4, "d_model": 64, "train_length": L}


def window(n: int, m: int, length: int) -> float | None:
    return n - m if n - m < L else None


def chunk(n: int, m: int, length: int) -> float | None:
    return n - m if n // L == m // L else None


def sinks(n: int, m: int, length: int) -> float | None:
    """Distances within a cache that holds the first four tokens and the last twelve."""
    held = [j for j in range(n + 1) if j < 4 or j > n - (L - 4)]
    return held.index(n) - held.index(m) if m in held else None


def lambda_mask(n: int, m: int, length: int) -> float | None:
    return min(n - m, L) if n - m < L or m < 10 else None


def rerope(n: int, m: int, length: int) -> float | None:
    return min(n - m, L // 2)


def leaky_rerope(n: int, m: int, length: int) -> float | None:
    w = L // 2
    k = max(1.0, (length - 1 - w) / (L - 1 - w))
    return n - m if n - m < w else w + (n - m - w) / k


def self_extend(n: int, m: int, length: int) -> float | None:
    w = L // 2
    group = next(g for g in range(1, length) if (length - 1) // g + w - w // g <= L - 1)
    return n - m if n - m < w else n // group + w - w // group - m // group


def dca(n: int, m: int, length: int) -> float | None:
    c, s = 12, 10
    back = n // s - m // s
    query = {0: n % s, 1: min(s + n % s, c - 1)}.get(back, c - 1)
    return query - m % s


DISTANCES = [window, chunk, sinks, lambda_mask, rerope, leaky_rerope, self_extend, dca]


def reference(q, k, v, distance, inv_freq) -> torch.Tensor:
    """Scores from the distance of every pair: the phase of a rotary pair is distance times frequency."""
    q, k, v = (x.double() for x in (q, k, v))
    z_q, z_k = (torch.complex(*x.chunk(2, -1)) for x in (q, k))
    out = torch.zeros_like(q)
    length = q.shape[2]
    for n in range(length):
        seen = {m: d for m in range(n + 1) if (d := distance(n, m, length)) is not None}
        keys, distances = (
            list(seen),
            torch.tensor([float(d) for d in seen.values()], dtype=torch.float64),
        )
        phase = torch.polar(torch.ones(1, dtype=torch.float64), distances[:, None] * inv_freq)
        scores = (z_q[:, :, n, None] * z_k[:, :, keys].conj() * phase).real.sum(-1) / math.sqrt(
            q.shape[-1]
        )
        out[:, :, n] = (scores.softmax(-1)[..., None] * v[:, :, keys]).sum(2)
    return out


def attended(scheme, length: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    qkv = [torch.randn(2, 4, length, 16, generator=generator) for _ in range(3)]
    return qkv, attention.attend(*qkv, attention.prepare(scheme.tables(torch.arange(length))))


def test_every_window_has_its_distances_here():
    assert {d.__name__ for d in DISTANCES} | {"full"} == set(names("window"))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("length", [12, 75])
@pytest.mark.parametrize("limit", [1000, 8])  # all scores at once; a chunk of queries at a time
def test_every_pair_is_seen_at_its_distance_or_not_at_all(monkeypatch, distance, length, limit):
    monkeypatch.setattr(attention, "DENSE_LENGTH", limit)
    monkeypatch.setattr(attention, "CHUNK", 7)
    scheme = build("rope", **SHAPE, window=distance.__name__)
    qkv, mine = attended(scheme, length)
    exact = reference(*qkv, distance, scheme.inv_freq(10000.0))
    torch.testing.assert_close(mine.double(), exact, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "name", ["window", "chunk", "sinks", "lambda_mask", "leaky_rerope", "self_extend"]
)
def test_within_the_training_length_nothing_changes(name):
    for length in (5, L):
        plain, changed = (
            attended(build("rope", **SHAPE, window=w), length)[1] for w in ("full", name)
        )
        torch.testing.assert_close(plain, changed)


@pytest.mark.parametrize("name", [d.__name__ for d in DISTANCES if d not in (window, chunk)])
def test_no_distance_of_a_remapping_exceeds_what_training_saw(name):
    distance = globals()[name]
    reached = max(distance(n, m, 200) or 0 for n in range(200) for m in range(n + 1))
    assert reached <= (L if name == "lambda_mask" else L - 1)


def test_a_full_window_is_none():
    assert build("rope", **SHAPE, window="full").tables(torch.arange(9)).key_groups == ()


def test_a_scaling_and_a_remapping_combine():
    """ReRoPE's one far distance under YaRN's frequencies."""
    scheme = build("yarn", **SHAPE, factor=4, window="rerope")
    qkv, mine = attended(scheme, 40)
    inv_freq, attention_factor = scheme.frequencies(40)
    scaled = [x * attention_factor for x in qkv[:2]]
    torch.testing.assert_close(
        mine.double(), reference(*scaled, qkv[2], rerope, inv_freq), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("scheme", ["alibi", "none", "t5", "fox"])
def test_a_sliding_window_hides_far_keys_under_any_scheme(scheme):
    pe = build(scheme, **SHAPE, window={"name": "window", "size": 5})
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 4, 30, 16, generator=generator) for _ in range(3))
    x = torch.randn(1, 30, 64, generator=generator)
    tables = attention.prepare(pe.tables(torch.arange(30)))
    for module in pe.make_layer_modules():
        tables = module(x, tables)
    before = attention.attend(q, k, v, tables)
    v[:, :, :10] += 1
    after = attention.attend(q, k, v, tables)
    assert after[:, :, 14:].equal(before[:, :, 14:])
    assert ((after - before)[:, :, :14].abs().amax((0, 1, 3)) > 1e-3).all()


def test_what_means_nothing_is_refused():
    with pytest.raises(
        ValueError, match=r"ReRoPE sees keys at other rotary positions.* not one of the family bias"
    ):
        build("alibi", **SHAPE, window="rerope")
    with pytest.raises(ValueError, match=r"size must be at least 1 token, not 0"):
        build("rope", **SHAPE, window={"name": "window", "size": 0})
    with pytest.raises(ValueError, match="leaves no chunk"):
        build("rope", **SHAPE, window={"name": "dca", "longest": 4, "local": 4})
    with pytest.raises(ValueError, match=r"unknown window 'slide'; choose one of chunk, dca, full"):
        build("rope", **SHAPE, window="slide")
