"""The network: its loss, its last positions and its initial weights."""

import pytest
import torch

from posext.config import ModelConfig
from posext.model.gpt import GPT
from posext.pe import build

CONFIG = ModelConfig(name="test", n_layers=3, n_heads=4, d_model=64, d_ff=96, learning_rate=1e-3)
TOKENS = torch.randint(200, (2, 300), generator=torch.Generator().manual_seed(0))


def gpt(name: str = "rope", seed: int = 0) -> GPT:
    torch.manual_seed(0)  # for the parameters of the scheme
    pe = build(name, head_dim=16, n_heads=4, d_model=64, train_length=128)
    return GPT(CONFIG, 200, pe).initialize(seed).eval()


def test_forward_of_last_equals_the_end_of_all_logits():
    model = gpt()
    with torch.no_grad():
        torch.testing.assert_close(
            model(TOKENS, last=7), model(TOKENS)[:, -7:], atol=1e-6, rtol=1e-5
        )


def test_forward_with_labels_sums_the_nll_of_the_logits():
    model = gpt()
    with torch.no_grad():
        nll = -model(TOKENS[:, :-1]).log_softmax(-1).gather(-1, TOKENS[:, 1:, None]).sum()
        torch.testing.assert_close(model(TOKENS[:, :-1], TOKENS[:, 1:]), nll)


def test_initialize_gives_every_scheme_the_same_network():
    rope = gpt("rope").state_dict()
    learned = gpt("learned").state_dict()
    other_seed = gpt("rope", seed=1).state_dict()
    assert all(learned[key].equal(value) for key, value in rope.items())
    assert not other_seed["embedding.weight"].equal(rope["embedding.weight"])


def test_initialize_starts_residual_outputs_smaller():
    """Matrices that write to the residual stream are divided by sqrt(2 x layers)."""
    state = gpt().state_dict()
    assert float(state["blocks.1.mlp.down.weight"].std()) == pytest.approx(0.02 / 6**0.5, rel=0.05)
    assert float(state["blocks.1.mlp.gate_up.weight"].std()) == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("name", ["rope", "t5", "fire", "fox"])  # tables of all layers, and of one
def test_activation_checkpointing_runs_layers_twice_for_the_same_gradients(name):
    gradients = []
    for checkpointed in (False, True):
        model = gpt(name)
        model.activation_checkpointing = checkpointed
        runs = []
        model.blocks[0].register_forward_pre_hook(lambda *_, runs=runs: runs.append(1))
        model(TOKENS[:, :-1], TOKENS[:, 1:]).backward()
        assert len(runs) == 1 + checkpointed
        gradients.append([p.grad for p in model.parameters()])
        with torch.no_grad():
            model(TOKENS)
        assert len(runs) == 2 + checkpointed  # nothing is kept for no backward pass
    for plain, again in zip(*gradients, strict=True):
        assert plain.equal(again)
