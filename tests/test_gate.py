"""Gates on the output of attention."""

import pytest
import torch
from helpers.networks import network, tokens
from torch.nn.functional import sigmoid

HEADS = 4


@pytest.mark.parametrize(("choice", "width"), [("head", 1), ("element", 8)])
@pytest.mark.parametrize("scheme", ["rope", "alibi", "cope"])
def test_gate_multiplies_the_output_of_each_head(choice, width, scheme):
    """Against the output of every head alone, through its own columns of the output matrix."""
    gated = network(1, scheme, gate=choice).blocks[0].attention
    model = network(1, scheme, gate=choice)
    x = torch.randn(2, 20, 32, generator=torch.Generator().manual_seed(0))
    tables = model.pe.tables(torch.arange(20))
    *others, gate = gated.order
    with torch.no_grad():
        ours = gated(x, tables)
        gates = sigmoid(x @ gate.project.weight.T).view(2, 20, HEADS, width)
        expected = torch.zeros_like(ours)
        gate.project.weight.zero_()  # a half everywhere
        for head in range(HEADS):
            columns = torch.zeros(32)
            columns[8 * head : 8 * head + 8] = 1
            # twice, as the gate is a half: the head's own eight dimensions before the output matrix
            inside = []
            gated.out.register_forward_pre_hook(
                lambda _, inputs, found=inside: found.append(*inputs)
            )
            gated(x, tables)
            own = 2 * inside[-1] * columns
            factor = gates[:, :, head].expand(2, 20, 8)
            own[..., 8 * head : 8 * head + 8] *= factor
            expected = expected + own @ gated.out.weight.T
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)
    assert len(others) == (1 if scheme == "cope" else 0)


@pytest.mark.parametrize("choice", ["head", "element"])
def test_last_positions_equal_all_positions_with_a_gate(choice):
    model = network(2, "rope", gate=choice)
    torch.testing.assert_close(model(tokens(20), last=3), model(tokens(20))[:, -3:])


def test_gates_are_learned():
    model = network(2, "rope", gate="head")
    model(tokens(20)[:, :-1], tokens(20)[:, 1:]).backward()
    for block in model.blocks:
        assert block.attention.order[0].project.weight.grad.abs().max() > 0
