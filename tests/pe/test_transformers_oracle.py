"""Frequencies against transformers' own functions, over random settings."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from posext.pe import build

HEAD_DIMS = st.sampled_from([32, 64, 96, 128])
BASES = st.floats(100, 1e6)
LENGTHS = st.integers(64, 16384)
FACTORS = st.floats(1, 64)


def theirs(kind, head_dim, base, length, context=None, **parameters):
    rope = {"rope_type": kind, "rope_theta": base, **parameters}
    if kind in ("yarn", "longrope", "llama3"):
        rope["original_max_position_embeddings"] = length
    config = LlamaConfig(
        hidden_size=2 * head_dim,
        num_attention_heads=2,
        max_position_embeddings=length,
        rope_parameters=rope,
    )
    return ROPE_INIT_FUNCTIONS[kind](config, "cpu", seq_len=context)


def ours(name, head_dim, base, length, context, **overrides):
    scheme = build(
        name,
        head_dim=head_dim,
        n_heads=2,
        d_model=2 * head_dim,
        train_length=length,
        base=base,
        **overrides,
    )
    return scheme.frequencies(context)


def assert_same(ours, theirs):
    """Compare frequencies, which transformers computes in float32, and attention factors."""
    our_frequencies, our_factor = ours
    their_frequencies, their_factor = theirs
    assert our_frequencies.tolist() == pytest.approx(their_frequencies.tolist(), rel=3e-5)
    assert our_factor == pytest.approx(their_factor, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(HEAD_DIMS, BASES, LENGTHS, FACTORS)
def test_linear_equals_transformers(head_dim, base, length, factor):
    assert_same(
        ours("linear", head_dim, base, length, length, factor=factor),
        theirs("linear", head_dim, base, length, factor=factor),
    )


@settings(max_examples=60, deadline=None)
@given(HEAD_DIMS, BASES, LENGTHS, FACTORS, st.floats(0.25, 32))
def test_dynamic_ntk_hf_equals_transformers(head_dim, base, length, factor, ratio):
    context = max(1, round(length * ratio))
    actual = ours("dynamic_ntk", head_dim, base, length, context, semantics="hf", hf_factor=factor)
    assert_same(actual, theirs("dynamic", head_dim, base, length, context, factor=factor))


@settings(max_examples=150, deadline=None)
@given(HEAD_DIMS, BASES, LENGTHS, FACTORS, st.floats(2, 64), st.floats(0.1, 1.5), st.booleans())
def test_yarn_equals_transformers(head_dim, base, length, factor, beta_fast, beta_slow, truncate):
    betas = {"factor": factor, "beta_fast": beta_fast, "beta_slow": beta_slow, "truncate": truncate}
    assert_same(
        ours("yarn", head_dim, base, length, length, **betas),
        theirs("yarn", head_dim, base, length, **betas),
    )


@settings(max_examples=60, deadline=None)
@given(HEAD_DIMS, BASES, LENGTHS, FACTORS, st.floats(0.1, 2), st.floats(2.5, 16))
def test_llama3_equals_transformers(head_dim, base, length, factor, low, high):
    """The reference rounds to float32, which a ramp multiplies by factor * high / (high - low)."""
    bounds = {"factor": factor, "low_freq_factor": low, "high_freq_factor": high}
    assert_same(
        ours("llama3", head_dim, base, length, length, **bounds),
        theirs("llama3", head_dim, base, length, **bounds),
    )


@settings(max_examples=60, deadline=None)
@given(HEAD_DIMS, BASES, LENGTHS, FACTORS, st.floats(0.25, 32), st.randoms(use_true_random=False))
def test_longrope_equals_transformers(head_dim, base, length, factor, ratio, random):
    context = max(1, round(length * ratio))
    divisors = {
        key: [random.uniform(1, 32) for _ in range(head_dim // 2)]
        for key in ("short_factor", "long_factor")
    }
    actual = ours("longrope", head_dim, base, length, context, factor=factor, **divisors)
    assert_same(
        actual, theirs("longrope", head_dim, base, length, context, factor=factor, **divisors)
    )


@settings(max_examples=60, deadline=None)
@given(HEAD_DIMS, BASES, LENGTHS, FACTORS, st.sampled_from([0.25, 0.5, 0.75, 1.0]))
def test_proportional_equals_transformers(head_dim, base, length, factor, share):
    actual = ours("proportional", head_dim, base, length, length, share=share, factor=factor)
    assert_same(
        actual,
        theirs("proportional", head_dim, base, length, factor=factor, partial_rotary_factor=share),
    )


@settings(max_examples=60, deadline=None)
@given(HEAD_DIMS, BASES, LENGTHS, FACTORS, st.floats(0.1, 2), st.floats(0.1, 2))
def test_yarn_with_mscales_equals_transformers(
    head_dim, base, length, factor, mscale, mscale_all_dim
):
    mscales = {"factor": factor, "mscale": mscale, "mscale_all_dim": mscale_all_dim}
    assert_same(
        ours("yarn", head_dim, base, length, length, **mscales),
        theirs("yarn", head_dim, base, length, **mscales),
    )
