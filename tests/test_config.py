"""Checks of a config's values that no other test of a refusal makes."""

import pytest

from posext.config import ModelConfig


def test_head_dim_refuses_heads_that_do_not_divide_d_model():
    config = ModelConfig("test", n_layers=1, n_heads=5, d_model=64, d_ff=8, learning_rate=1e-3)
    with pytest.raises(ValueError, match=r"n_heads=5 does not divide model.d_model=64"):
        config.head_width()
