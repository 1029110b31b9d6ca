from functools import partial

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from posext.config import ModelConfig
from posext.model.gpt import GPT, NORM_EPSILON
from posext.model.llama_weights import from_llama, to_llama
from posext.pe import build
from posext.training import device
from posext.training.optimizer import adamw

CONFIG = ModelConfig(name="test", n_layers=3, n_heads=4, d_model=64, d_ff=96, learning_rate=1e-3)
TOKENS = torch.randint(200, (2, 300), generator=torch.Generator().manual_seed(0))


def gpt(name: str = "rope", seed: int = 0) -> GPT:
    pe = build(name, head_dim=16, n_heads=4, d_model=64, train_length=128)
    return GPT(CONFIG, 200, pe).initialize(seed).eval()


def llama() -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=200, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=4, tie_word_embeddings=True, rms_norm_eps=NORM_EPSILON, max_position_embeddings=512,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, initializer_range=0.06,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def test_weights_copied_to_llama_give_equal_logits():
    ours, theirs = gpt(), llama()
    with torch.no_grad():
        for parameter in ours.parameters():
            if parameter.ndim == 2:
                parameter.mul_(3)  # far from the uniform attention of fresh weights
    theirs.load_state_dict(to_llama(ours.state_dict(), 3))
    with torch.no_grad():
        assert (ours(TOKENS) - theirs(TOKENS).logits).abs().max() < 1e-5


def test_weights_copied_from_llama_give_equal_logits():
    ours, theirs = gpt(), llama()
    ours.load_state_dict(from_llama(theirs.state_dict(), 3))
    with torch.no_grad():
        assert (ours(TOKENS) - theirs(TOKENS).logits).abs().max() < 1e-5


def test_the_head_on_the_last_positions_equals_the_end_of_the_whole():
    model = gpt()
    with torch.no_grad():
        torch.testing.assert_close(
            model(TOKENS, last=7), model(TOKENS)[:, -7:], atol=1e-6, rtol=1e-5
        )


def test_the_loss_is_the_summed_nll_of_the_logits():
    model = gpt()
    with torch.no_grad():
        nll = -model(TOKENS[:, :-1]).log_softmax(-1).gather(-1, TOKENS[:, 1:, None]).sum()
        torch.testing.assert_close(model(TOKENS[:, :-1], TOKENS[:, 1:]), nll)


def test_one_seed_gives_every_scheme_the_same_network():
    rope, learned, other = (
        gpt("rope").state_dict(),
        gpt("learned").state_dict(),
        gpt("rope", seed=1).state_dict(),
    )
    assert all(learned[key].equal(value) for key, value in rope.items())
    assert not other["embedding.weight"].equal(rope["embedding.weight"])


def test_what_writes_to_the_residual_stream_starts_smaller():
    state = gpt().state_dict()
    assert float(state["blocks.1.mlp.down.weight"].std()) == pytest.approx(0.02 / 6**0.5, rel=0.05)
    assert float(state["blocks.1.mlp.gate_up.weight"].std()) == pytest.approx(0.02, rel=0.05)


def test_only_matrices_decay():
    from posext.config import OptimizerConfig

    model = gpt("learned")
    decayed, rest = adamw(model, 1e-3, OptimizerConfig()).param_groups
    assert decayed["weight_decay"] == 0.1
    assert {p.ndim for p in decayed["params"]} == {2}
    assert rest["weight_decay"] == 0
    assert any(p is model.pe.table_TC for p in rest["params"])
    assert len(decayed["params"]) + len(rest["params"]) == len(list(model.parameters()))


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match=r"n_heads=5 does not divide model.d_model=64"):
        ModelConfig(
            name="test", n_layers=1, n_heads=5, d_model=64, d_ff=8, learning_rate=1e-3
        ).head_dim()


def test_the_schemes_and_lengths_of_a_sweep_in_one_process_all_stay_compiled(monkeypatch):
    """Where a function has too many compiled versions, torch goes on without compiling, and says so only in a log."""
    traced = partial(torch.compile, backend="eager")  # without generated code
    monkeypatch.setattr(torch, "compile", traced)
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 2)  # torch's own is 8
    monkeypatch.setattr("posext.model.gpt.RECOMPILE_LIMIT", 6)
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True), torch.no_grad():
        for name in ("rope", "alibi"):
            assert device.should_compile("true", 1)
            model = gpt(name).compile_parts()
            for length in range(8, 13):
                model(TOKENS[:, :length], TOKENS[:, :length])
    torch.compiler.reset()
