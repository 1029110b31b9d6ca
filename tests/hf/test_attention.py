"""Windows and temperatures on checkpoints, against transformers and a plain loop."""

import math

import numpy as np
import pytest
import torch
from helpers.checkpoints import ARCHITECTURES, ORIGINAL, SIZES, llama
from transformers import AutoModelForCausalLM

from posext import hf
from posext.data import dataset
from posext.eval.curve import plan_of

TAKEN = ["llama", "mistral", "qwen3", "gemma3", "olmo3", "smollm3", "phi", "gpt_neox"]


def test_sliding_window_equals_transformers_own(checkpoint, evaluate):
    """Mistral has such a window in its config."""
    make = ARCHITECTURES["mistral"]
    theirs = evaluate(checkpoint(make(sliding_window=20)), name="theirs")
    ours = evaluate(checkpoint(make(sliding_window=None)), "+window=sliding", "window.size=20")
    assert ours.nll.tolist() == pytest.approx(theirs.nll.tolist(), rel=1e-5)
    plain = evaluate(checkpoint(make(sliding_window=None)), name="plain")
    assert plain.nll.tolist() != pytest.approx(theirs.nll.tolist(), rel=1e-3)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_window_as_long_as_the_context_changes_nothing(checkpoint, try_evaluate, evaluate, name):
    """Where attention is a softmax of scaled scores; else it is refused."""
    path = checkpoint(ARCHITECTURES[name](sliding_window=None if name == "mistral" else 8))
    typed = ["name=windowed", "+window=sliding", "window.size=500", "context_lengths=[16,64]"]
    code, err = try_evaluate(path, *typed)
    if name not in TAKEN:
        assert code == 2
        assert "windows and temperatures" in err
        return
    assert code == 0, err
    from posext.analysis.curves import read_curves

    ours = read_curves("results/runs/windowed/curves.csv")
    plain = evaluate(path, name="plain", lengths=[16, 64])
    assert ours.nll.tolist() == pytest.approx(plain.nll.tolist(), rel=1e-5)


def rerope_logits(model, tokens: list[int], w: int) -> torch.Tensor:
    """Logits of a one-layer Llama whose distances end at w, in float64, one pair at a time."""
    layer = model.model.layers[0]
    heads = SIZES["num_attention_heads"]
    dim = SIZES["hidden_size"] // heads
    inv_freq = 10000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    x = model.model.embed_tokens(torch.tensor(tokens))
    h = layer.input_layernorm(x)
    q = layer.self_attn.q_proj(h).view(-1, heads, dim)
    k = layer.self_attn.k_proj(h).view(-1, 1, dim)
    v = layer.self_attn.v_proj(h).view(-1, 1, dim)

    def turned(vector, angle):
        first, second = vector[: dim // 2], vector[dim // 2 :]
        cos, sin = (angle * inv_freq).cos(), (angle * inv_freq).sin()
        return torch.cat([first * cos - second * sin, second * cos + first * sin])

    attended = torch.zeros(len(tokens), heads, dim, dtype=torch.float64)
    for head in range(heads):
        for n in range(len(tokens)):
            scores = torch.stack(
                [turned(q[n, head], min(n - m, w)) @ k[m, 0] / math.sqrt(dim) for m in range(n + 1)]
            )
            attended[n, head] = scores.softmax(0) @ v[: n + 1, 0]
    x = x + layer.self_attn.o_proj(attended.reshape(len(tokens), -1))
    x = x + layer.mlp(layer.post_attention_layernorm(x))
    return model.lm_head(model.model.norm(x))


def test_index_remapping_equals_a_plain_loop(checkpoint, evaluate):
    path = checkpoint(llama(num_hidden_layers=1))
    rows = evaluate(path, "+window=rerope", "window.w=10", "evaluation.documents=2", lengths=[48])
    run = hf.open_run("results/runs/mine")
    data = dataset.load_data(run.config.data)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64)
    total, count = 0.0, 0
    with torch.no_grad():
        for window in plan_of(run, data).protocols["fixed_target"].windows[48]:
            tokens = data.validation.document(window.document)[window.end - 48 : window.end + 1]
            tokens = np.asarray(tokens, dtype=np.int64).tolist()
            shares = rerope_logits(model, tokens[:-1], 10).log_softmax(-1)
            for back in range(1, window.scored + 1):
                total -= float(shares[-back, tokens[-back]])
                count += 1
    assert rows.nll.iloc[0] == pytest.approx(total / count, rel=1e-5)


def test_temperature_multiplies_logits_beyond_the_original_length(plain, evaluate):
    rows = evaluate(plain, "+attention_scale=logn").set_index("context_length")
    own = evaluate(plain, name="own").set_index("context_length")
    assert rows.nll[ORIGINAL] == pytest.approx(own.nll[ORIGINAL], rel=1e-6)
    assert rows.nll[128] != pytest.approx(own.nll[128], rel=1e-4)
    assert rows.logit_multiplier[128] == pytest.approx(math.log(128) / math.log(ORIGINAL))


def test_window_beside_a_scheme(plain, evaluate):
    both = evaluate(plain, "+pe@extend=yarn", "extend.factor=4", "+window=rerope")
    yarn = evaluate(plain, "+pe@extend=yarn", "extend.factor=4", name="yarn")
    by_length = [table.set_index("context_length").nll for table in (both, yarn)]
    assert by_length[0][16] == pytest.approx(by_length[1][16], rel=1e-5)
    assert by_length[0][128] != pytest.approx(by_length[1][128], rel=1e-4)


def test_window_on_scaled_frequencies_needs_a_scheme(checkpoint, try_evaluate):
    rope = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}
    code, err = try_evaluate(checkpoint(llama(rope_parameters=rope)), "name=mine", "+window=rerope")
    assert code == 2
    assert "scales its frequencies itself: name a scheme" in err
