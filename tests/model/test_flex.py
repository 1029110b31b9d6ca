"""FlexAttention's path against dense scores in float64, forward and backward, on a CPU."""

from copy import deepcopy

import pytest
import torch
from helpers.flex_on_cpu import flex_on_cpu
from torch.nn.attention.flex_attention import create_block_mask

from posext.config import ModelConfig
from posext.model import attention, block_mask, flex
from posext.model.gpt import GPT
from posext.pe import build, names
from posext.pe.layers import Layers
from posext.pe.tables import KeyGroup, last_keys

LENGTH = 150  # two blocks, the last one not whole
SHAPE = {"head_dim": 16, "n_heads": 2, "d_model": 32, "train_length": 64}
CONFIG = ModelConfig(name="test", n_layers=2, n_heads=2, d_model=32, d_ff=32, learning_rate=1e-3)
DOCUMENTS = torch.tensor([[0] * 60 + [1] * 90, [0] * 10 + [1] * 130 + [2] * 10])


def scheme(name: str, **modifiers):
    settings = {"max_length": LENGTH} if name == "learned" else {}
    torch.manual_seed(0)  # for the parameters of the scheme
    return build(name, **SHAPE, **settings, **modifiers)


def layers_of(pe) -> list:
    """Each kind of layer of a scheme, with its own modules."""
    kinds = pe.schemes() if isinstance(pe, Layers) else [pe]
    return [torch.nn.ModuleList([kind, *kind.make_layer_modules()]) for kind in kinds]


def layer_tables(layer, x_btc: torch.Tensor, compiled: bool, **changes):
    pe, *modules = layer
    given = pe.tables(pe.positions(LENGTH))._replace(**changes)
    tables = attention.prepare(given, compiled)
    for module in modules:
        tables = module(x_btc, tables)
    return tables


def results(layer, dtype: torch.dtype, compiled: bool, **changes) -> list[torch.Tensor]:
    """Attended values, and the gradients of their weighted sum."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(3, 2, 2, LENGTH, 16, generator=generator)
    x_btc = torch.randn(2, LENGTH, 32, generator=generator).to(dtype)
    qkv = [x.to(dtype, copy=True).requires_grad_() for x in drawn]
    layer = deepcopy(layer).to(dtype)
    out = attention.attend(*qkv, layer_tables(layer, x_btc, compiled, **changes))
    (out * torch.linspace(-1, 1, 16)).sum().backward()
    learned = [p.grad for p in layer.parameters() if p.grad is not None]
    return [out.detach(), *(x.grad for x in qkv), *learned]


def assert_flex_equals_dense(monkeypatch, layer, of_learned: float = 1e-5, **changes) -> None:
    """To 1e-5, and learned parameters to `of_learned`, as a share of the largest value above 1."""
    exact = results(layer, torch.float64, compiled=False, **changes)
    with flex_on_cpu(monkeypatch) as calls:
        actual = results(layer, torch.float32, compiled=True, **changes)
    assert len(calls) == 1
    for index, (ours, reference) in enumerate(zip(actual, exact, strict=True)):
        share = 1e-5 if index < 4 else of_learned
        error = float((ours.double() - reference).abs().max())
        assert error < share * max(1.0, float(reference.abs().max()))


def takes_flex(layer) -> bool:
    tables = layer_tables(layer, torch.zeros(2, LENGTH, 32), compiled=False)
    q = torch.zeros(2, 2, LENGTH, 16)
    with torch.no_grad():  # what the kernel itself computes, whatever torch's backward one does
        return not attention.fuses(tables) and flex.expresses(tables, q, q)


TAKERS = [
    (name, index)
    for name in names()
    for index, layer in enumerate(layers_of(scheme(name)))
    if takes_flex(layer)
]


def test_takers_are_biases_by_distance_or_pair_windows_and_sinks():
    biases = {"t5", "fire", "fire_s", "kerple_log", "kerple_power", "kerple_interpolated"}
    windows = {"rnope_swa", "dual_base", "gemma3", "olmo3", "irope", "llama4"}
    assert {name for name, _ in TAKERS} == biases | windows | {"sandwich", "gpt_oss"}


@pytest.mark.parametrize(("name", "index"), TAKERS)
def test_flex_of_a_scheme_equals_dense_scores(monkeypatch, name, index):
    assert_flex_equals_dense(monkeypatch, layers_of(scheme(name))[index])


@pytest.mark.parametrize("window", [name for name in names("window") if name != "full"])
def test_flex_of_a_window_equals_dense_scores(monkeypatch, window):
    assert_flex_equals_dense(monkeypatch, layers_of(scheme("rope", window=window))[0])


# The kernel sums the gradient of a table in float32, and what FoX and FIRE learn adds up sums that
# cancel: 2e-5 to 7e-5, where dense scores are at 1e-6. In float64 FIRE is exact to 1e-13.
CANCELLING = {"fox": 1e-4, "fire": 1e-4}
SLIDING = {"name": "sliding", "size": 40}


@pytest.mark.parametrize(
    ("name", "modifiers"),
    [
        ("alibi", {"window": SLIDING}),
        ("fox", {"window": SLIDING}),
        ("t5", {"window": SLIDING}),
        ("fire", {"window": SLIDING}),
        ("pope", {"window": SLIDING}),  # queries and keys wider than values
        ("rope", {"window": "rerope", "sink": "learned"}),
        ("alibi", {"sink": "learned"}),
        ("fox", {"sink": "learned"}),  # the only case where a query's own key takes a gradient
        ("t5", {"sink": "off_by_one"}),
        ("t5", {"position_ids": "randomized"}),  # distances with gaps
        ("rope", {"window": SLIDING, "attention_scale": "ssmax", "qk_norm": "rotated"}),
    ],
)
def test_flex_of_modifiers_equals_dense_scores(monkeypatch, name, modifiers):
    layer = layers_of(scheme(name, **modifiers))[0]
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    assert_flex_equals_dense(monkeypatch, layer, CANCELLING.get(name, 1e-5))


@pytest.mark.parametrize(
    ("name", "modifiers", "changes"),
    [
        ("t5", {}, {"softcap": 1.5}),
        ("rope", {}, {"softcap": 1.5, "documents_BT": DOCUMENTS}),
        ("fox", {"sink": "learned"}, {"documents_BT": DOCUMENTS}),
        ("kerple_log", {"window": SLIDING}, {"documents_BT": DOCUMENTS}),
        ("rope", {"window": "rerope"}, {"documents_BT": DOCUMENTS}),
    ],
)
def test_flex_of_caps_and_documents_equals_dense_scores(monkeypatch, name, modifiers, changes):
    layer = layers_of(scheme(name, **modifiers))[0]
    assert_flex_equals_dense(monkeypatch, layer, CANCELLING.get(name, 1e-5), **changes)


@pytest.mark.parametrize("window", [None, "sliding"])
def test_documents_of_a_context_are_as_if_alone(window):
    """In dense scores, and so in all that is compared with them."""
    chosen = {} if window is None else {"window": SLIDING}
    model = GPT(CONFIG, 50, scheme("t5", **chosen)).initialize(0)
    tokens = torch.randint(50, (2, LENGTH), generator=torch.Generator().manual_seed(0))
    packed = model(tokens, documents_BT=DOCUMENTS)
    torch.testing.assert_close(packed[0, 60:], model(tokens[:1, 60:])[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(packed[1, :10], model(tokens[1:, :10])[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["t5", "gpt_oss"])
def test_flex_is_one_graph_with_the_layer_that_is_compiled(monkeypatch, name):
    """Tables and block masks are its inputs; a kernel apart is not called."""
    model = GPT(CONFIG, 50, scheme(name)).initialize(0)
    tokens = torch.randint(50, (2, LENGTH + 1), generator=torch.Generator().manual_seed(0))
    losses = []
    for compiled in (False, True):
        model.zero_grad()
        with flex_on_cpu(monkeypatch) as calls:
            monkeypatch.setattr(flex, "compiled", lambda: pytest.fail("a kernel apart"))
            model.compiled = compiled
            for block in model.blocks if compiled else ():
                block.compile(backend="aot_eager", fullgraph=True, dynamic=False)
            loss = model(tokens[:, :-1], tokens[:, 1:]) / LENGTH
            loss.backward()
            assert bool(calls) == compiled
        losses.append([loss.detach(), *(p.grad for p in model.parameters())])
    for ours, reference in zip(*reversed(losses), strict=True):
        torch.testing.assert_close(ours, reference, atol=1e-5, rtol=1e-4)


def test_kernel_is_compiled_where_a_network_runs_eagerly(monkeypatch):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    double = torch.compile(lambda x: 2 * x, backend=backend)
    monkeypatch.setattr(flex, "compiled", lambda: double)
    with torch.compiler.set_stance("force_eager"):
        assert flex.kernel(torch.tensor(2.0)) == 4
    assert len(graphs) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "modifiers"),
    [
        ("t5", {}),
        ("alibi", {"window": SLIDING}),
        ("rope", {"window": SLIDING}),
        ("rope", {"window": {**SLIDING, "size": 90}}),  # another mask of the same code
    ],
)
def test_flex_compiled_equals_dense_scores(monkeypatch, name, modifiers):
    """What torch generates for a CPU, which has no backward pass and no log-sum-exp."""
    layer = layers_of(scheme(name, **modifiers))[0]
    qkv = torch.randn(3, 2, 2, LENGTH, 16, generator=torch.Generator().manual_seed(0))
    x_btc = torch.zeros(2, LENGTH, 32)
    monkeypatch.setattr(flex, "available", lambda device: True)
    with torch.no_grad():
        ours = attention.attend(*qkv, layer_tables(layer, x_btc, compiled=True))
        monkeypatch.setattr(flex, "available", lambda device: False)
        exact = attention.attend(*qkv.double(), layer_tables(layer.double(), x_btc, False))
    torch.testing.assert_close(ours.double(), exact, atol=1e-5, rtol=1e-5)


MASKS = [None, last_keys(40).mask_mod, last_keys(200).mask_mod, lambda n, m: n // 130 == m // 130]


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("length", [100, 256, 700])
def test_block_mask_equals_that_of_torch(mask, length):
    ours = block_mask.make_block_mask(mask, length, torch.device("cpu"))

    def mask_mod(batch, head, n, m):
        return (m <= n) if mask is None else (m <= n) & mask(n, m)

    theirs = create_block_mask(mask_mod, None, None, length, length, device="cpu")
    assert ours.shape == theirs.shape
    kinds = ("kv", "full_kv", "q", "full_q")
    for kind in kinds:
        counts = getattr(ours, f"{kind}_num_blocks")
        assert counts.equal(getattr(theirs, f"{kind}_num_blocks"))
        for row, count in enumerate(counts[0, 0].tolist()):  # what follows is never read
            chosen = [
                getattr(made, f"{kind}_indices")[0, 0, row, :count] for made in (ours, theirs)
            ]
            assert chosen[0].equal(chosen[1])


def test_block_mask_is_kept_for_each_window_and_length():
    def made(size: int, length: int):
        device = torch.device("cpu")
        return block_mask.block_mask(last_keys(size).mask_mod, length, device)

    assert made(40, 300) is made(40, 300)
    assert len({id(made(40, 300)), id(made(41, 300)), id(made(40, 301))}) == 3
    for length in range(1, block_mask.KEPT + 20):
        made(7, length)
    assert len(block_mask.kept_masks) == block_mask.KEPT


def test_block_mask_of_an_evaluation_serves_training():
    with torch.inference_mode():
        made = block_mask.make_block_mask(None, 300, torch.device("cpu"))
    assert not made.kv_indices.is_inference()


def test_expresses_leaves_to_chunks_what_it_cannot_compute():
    q = torch.zeros(1, 2, 64, 16)
    plain = attention.AttentionTables(torch.arange(128))
    assert flex.expresses(plain, q, q)
    assert not flex.expresses(plain, q[..., :8], q)
    assert not flex.expresses(plain._replace(score_rows=lambda q, k: None), q, q)
    assert not flex.expresses(plain._replace(attention_fn=lambda *scores: None), q, q)
    by_pair = plain._replace(bias=flex.PairBias(lambda n, m: None))
    assert flex.expresses(by_pair, q, q)
    long = torch.zeros(1, 1, 1, 16).expand(1, 2, 20_000, 16)
    assert not flex.expresses(by_pair, long, long)


@pytest.mark.parametrize(
    ("name", "modifiers", "length", "expected"),
    [
        ("t5", {}, 256, False),
        ("t5", {}, 300, True),  # the last block is not whole
        ("t5", {"sink": "learned"}, 256, True),
        ("fox", {"window": SLIDING, "sink": "off_by_one"}, 256, True),
        ("fire", {"window": SLIDING}, 256, False),
        ("alibi", {"window": SLIDING, "sink": "learned"}, 300, False),  # its bias learns nothing
        ("rope", {"window": "rerope", "sink": "learned"}, 300, False),
    ],
)
def test_loses_gradients_of_learned_biases_in_joined_passes_and_broken_blocks(
    name, modifiers, length, expected
):
    layer = layers_of(scheme(name, **modifiers))[0]
    pe, *modules = layer
    tables = pe.tables(torch.arange(length))
    for module in modules:
        tables = module(torch.zeros(1, length, 32), tables)
    assert flex.loses_gradients(tables) is expected
    with torch.no_grad():
        assert not flex.loses_gradients(tables)


def test_prepare_makes_block_masks_in_place_of_chunks_alone(monkeypatch):
    monkeypatch.setattr(flex, "available", lambda device: True)
    least, long = flex.LEAST_LENGTH, attention.DENSE_LENGTH + 1
    tiny, short, long = (scheme("t5").tables(torch.arange(n)) for n in (least - 1, least, long))
    assert not attention.prepare(tiny, compiled=True).block_masks
    assert not attention.prepare(short).block_masks
    assert attention.prepare(short, compiled=True).block_masks
    assert attention.prepare(long).block_masks
    groups = (last_keys(8), KeyGroup(lambda n, m: n - m >= 8))
    assert len(attention.prepare(long._replace(key_groups=groups)).block_masks) == 2
