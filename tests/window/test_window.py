"""Windows and index remappings against a float64 reference over the distance of every pair."""

import math

import pytest
import torch

from posext.model import attention
from posext.pe import build, names

L = 16  # original length
SHAPE = {"head_dim": 16, "n_heads": 4, "d_model": 64, "train_length": L}


def sliding(n: int, m: int, length: int) -> float | None:
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
    near = L // 2
    slowdown = max(1.0, (length - 1 - near) / (L - 1 - near))
    return n - m if n - m < near else near + (n - m - near) / slowdown


def self_extend(n: int, m: int, length: int) -> float | None:
    near = L // 2
    group = next(g for g in range(1, length) if (length - 1) // g + near - near // g <= L - 1)
    return n - m if n - m < near else n // group + near - near // group - m // group


def dca(n: int, m: int, length: int) -> float | None:
    longest = 12
    chunk = 10
    chunks_back = n // chunk - m // chunk
    query = {0: n % chunk, 1: min(chunk + n % chunk, longest - 1)}.get(chunks_back, longest - 1)
    return query - m % chunk


def string(n: int, m: int, length: int) -> float | None:
    """An et al. 2024 at L = 16: S = 5, W = 1."""
    return n - m if n - m < 5 else n - m - 5 + 1


DISTANCES = [sliding, chunk, sinks, lambda_mask, rerope, leaky_rerope, self_extend, dca, string]


def reference(q, k, v, distance, inv_freq) -> torch.Tensor:
    """Attention by distance: the phase of a rotary pair is its distance times its frequency."""
    q, k, v = (x.double() for x in (q, k, v))
    z_q, z_k = (torch.complex(*x.chunk(2, -1)) for x in (q, k))
    out = torch.zeros_like(q)
    length = q.shape[2]
    for n in range(length):
        seen = {m: d for m in range(n + 1) if (d := distance(n, m, length)) is not None}
        keys = list(seen)
        distances = torch.tensor([float(d) for d in seen.values()], dtype=torch.float64)
        phase = torch.polar(torch.ones(1, dtype=torch.float64), distances[:, None] * inv_freq)
        products = (z_q[:, :, n, None] * z_k[:, :, keys].conj() * phase).real.sum(-1)
        scores = products / math.sqrt(q.shape[-1])
        out[:, :, n] = (scores.softmax(-1)[..., None] * v[:, :, keys]).sum(2)
    return out


def attended(scheme, length: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Random queries, keys and values, and the output of attention on them."""
    generator = torch.Generator().manual_seed(0)
    qkv = [torch.randn(2, 4, length, 16, generator=generator) for _ in range(3)]
    return qkv, attention.attend(*qkv, attention.prepare(scheme.tables(torch.arange(length))))


def test_every_window_has_a_reference_in_this_file():
    assert {distance.__name__ for distance in DISTANCES} | {"full"} == set(names("window"))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("length", [12, 75])
@pytest.mark.parametrize("gradients", [True, False])  # all scores at once; a chunk at a time
def test_window_attention_equals_the_reference(monkeypatch, distance, length, gradients):
    monkeypatch.setattr(attention, "SMALL_CHUNK", 7)
    scheme = build("rope", **SHAPE, window=distance.__name__)
    with torch.set_grad_enabled(gradients):
        qkv, out = attended(scheme, length)
    exact = reference(*qkv, distance, scheme.inv_freq(10000.0))
    torch.testing.assert_close(out.double(), exact, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "name", ["sliding", "chunk", "sinks", "lambda_mask", "leaky_rerope", "self_extend"]
)
def test_window_is_full_up_to_the_training_length(name):
    for length in (5, L):
        plain, changed = (
            attended(build("rope", **SHAPE, window=choice), length)[1] for choice in ("full", name)
        )
        torch.testing.assert_close(plain, changed)


# STRING lowers distances by as much at every length.
REMAPPINGS = [distance for distance in DISTANCES if distance not in (sliding, chunk, string)]


@pytest.mark.parametrize("distance", REMAPPINGS)
def test_references_of_remappings_keep_to_the_trained_distances(distance):
    """The references alone; the windows equal them by the test above."""
    longest = max(distance(n, m, 200) or 0 for n in range(200) for m in range(n + 1))
    assert longest <= (L if distance is lambda_mask else L - 1)


def test_window_full_leaves_no_key_groups():
    assert build("rope", **SHAPE, window="full").tables(torch.arange(9)).key_groups == ()


def test_rerope_combines_with_yarn():
    """ReRoPE's distances go with YaRN's frequencies."""
    scheme = build("yarn", **SHAPE, factor=4, window="rerope")
    (q, k, v), out = attended(scheme, 40)
    inv_freq, attention_factor = scheme.frequencies(40)
    exact = reference(q * attention_factor, k * attention_factor, v, rerope, inv_freq)
    torch.testing.assert_close(out.double(), exact, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("scheme", ["alibi", "none", "t5", "fox"])
def test_window_hides_far_keys_under_any_scheme(scheme):
    pe = build(scheme, **SHAPE, window={"name": "sliding", "size": 5})
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


@pytest.mark.parametrize(
    ("train_length", "offset", "local"),
    # L of the paper's TinyLlama and of Llama 3.1, for which the authors take 43,253 and 128
    [(16, 5, 1), (2048, 682, 128), (131072, 43690, 128)],
)
def test_string_defaults_are_those_of_the_paper(train_length, offset, local):
    window = build("rope", **{**SHAPE, "train_length": train_length}, window="string")
    string = window.modifiers["window"]
    assert (string.shifted_offset, string.local_value) == (offset, local)


def test_build_refuses_senseless_windows():
    with pytest.raises(
        ValueError, match=r"ReRoPE sees keys at other rotary positions.* not one of the family bias"
    ):
        build("alibi", **SHAPE, window="rerope")
    with pytest.raises(
        ValueError, match=r"window.size must be a whole number of at least 1, or auto, not 0"
    ):
        build("rope", **SHAPE, window={"name": "sliding", "size": 0})
    with pytest.raises(ValueError, match="leaves no chunk"):
        build("rope", **SHAPE, window={"name": "dca", "longest": 4, "local": 4})
    with pytest.raises(ValueError, match=r"local_value=6 exceeds window\.shifted_offset=5"):
        build("rope", **SHAPE, window={"name": "string", "local_value": 6})
    with pytest.raises(ValueError, match=r"unknown window 'slide'; choose one of chunk, dca, full"):
        build("rope", **SHAPE, window="slide")
