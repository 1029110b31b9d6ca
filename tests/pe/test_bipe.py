"""BiPE: segments from the tokens, and attention against a computation of its own, pair by pair."""

import math

import pytest
import torch
from helpers.networks import SHAPE, network

from posext.pe import build
from posext.pe.alibi import slopes
from posext.pe.bipe import BiPE
from posext.pe.segments import places_in, segment_numbers
from posext.runs.run import load_run

VOCABULARY = ["a", " b", ".", "c.", "\n", "\n   ", ".py", "3.1", "d"]


def bipe(name="bipe", **settings):
    scheme = build(name, **SHAPE, **settings)
    scheme.read_vocabulary(VOCABULARY)
    return scheme


def segments_by_hand(tokens, ends):
    """The number of the segment and the place in it of each token, one token after the other."""
    found = []
    segment = place = 0
    for token in tokens:
        found.append((segment, place))
        place += 1
        if token in ends:
            segment += 1
            place = 0
    return found


def contexts(vocab_size, length=16):
    return torch.randint(vocab_size, (3, length), generator=torch.Generator().manual_seed(0))


def test_read_vocabulary_finds_tokens_that_end_in_a_stop_or_a_line_break():
    assert bipe().is_end_V.tolist() == [False, False, True, True, True, True, False, False, False]
    assert bipe(ends=["d"]).is_end_V.tolist() == [False] * 8 + [True]


def test_token_positions_and_places_are_those_counted_by_hand():
    tokens = contexts(len(VOCABULARY), 40)
    segments = bipe().token_positions(tokens)
    places = places_in(segments)
    for row, context in enumerate(tokens.tolist()):
        counted = segments_by_hand(context, {2, 3, 4, 5})
        assert list(zip(segments[row].tolist(), places[row].tolist(), strict=True)) == counted
        assert max(place for _, place in counted) > 2
    assert places_in(torch.arange(4)).tolist() == [0, 0, 0, 0]


def test_segment_numbers_count_an_end_to_its_own_segment():
    ends = torch.tensor([[False, True, True, False]])
    assert segment_numbers(ends).tolist() == [[0, 0, 1, 2]]


def test_token_positions_need_a_vocabulary():
    with pytest.raises(ValueError, match=r"call read_vocabulary\(texts\) first"):
        build("bipe", **SHAPE).token_positions(contexts(5))


def test_embed_adds_the_vector_of_the_place_and_the_last_one_beyond_the_table():
    scheme = bipe(max_place=2)
    segments = torch.tensor([[0, 0, 0, 0, 1, 1]])
    added = scheme.embed(torch.zeros(1, 6, 32), segments)[0]
    for row, place in zip(added, (0, 1, 1, 1, 0, 1), strict=True):
        assert row.equal(scheme.table_PC[place])


@pytest.mark.parametrize("name", ["bipe", "bipe_alibi"])
def test_attention_logits_are_those_of_each_pair_of_segments(name):
    scheme = bipe(name)
    tokens = contexts(len(VOCABULARY))
    segments = scheme.token_positions(tokens)
    tables = scheme.tables(segments)
    generator = torch.Generator().manual_seed(1)
    q, k = torch.randn(2, 3, 4, 16, 8, generator=generator, dtype=torch.float64)
    for batch, head, query, key in ((0, 0, 15, 0), (1, 2, 9, 9), (2, 3, 14, 3), (1, 1, 7, 2)):
        apart = int(segments[batch, query] - segments[batch, key])
        a, b = q[batch, head, query], k[batch, head, key]
        if name == "bipe":
            # pair i of a relative rotation, as one complex product
            expected = 0.0
            for i in range(4):
                turn = apart * 10000 ** (-2 * i / 8)
                pair = complex(a[i], a[i + 4]) * complex(b[i], b[i + 4]).conjugate()
                expected += (pair * complex(math.cos(turn), math.sin(turn))).real
            cos, sin = tables.rotation.cos_TR.double(), tables.rotation.sin_TR.double()
            turned = [
                torch.cat((x[:4] * c - x[4:] * s, x[:4] * s + x[4:] * c))
                for x, at in ((a, query), (b, key))
                for c, s in [(cos[batch, head, at], sin[batch, head, at])]
            ]
            found = float(turned[0] @ turned[1])
        else:
            expected = -96 * slopes(4)[head] * apart
            values = tables.bias.values_HK[batch, head]
            found = float(values[key] - values[query])
        assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", ["bipe", "bipe_alibi"])
def test_a_context_alone_has_the_logits_that_it_has_in_a_batch(name):
    model = network(2, name)
    model.pe.read_vocabulary("." if index % 5 == 0 else "a" for index in range(50))
    tokens = contexts(50)
    with torch.no_grad():
        together = model(tokens)
        alone = torch.cat([model(row[None]) for row in tokens])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_logits_change_with_the_place_of_a_stop():
    """The same words in one sentence or in two: the distance between segments is what differs."""
    model = network(1, "bipe")
    texts = ["a"] * 50
    model.pe.read_vocabulary(texts)
    tokens = contexts(50)
    with torch.no_grad():
        in_one = model(tokens)
        model.pe.read_vocabulary([".", *texts[1:]])
        assert model(tokens).equal(in_one) == (not (tokens[:, :-1] == 0).any())
        model.pe.read_vocabulary(["."] * 50)
        assert (model(tokens) - in_one).abs().max() > 1e-2


def test_attach_refuses_position_ids_which_would_do_nothing():
    with pytest.raises(ValueError, match="bipe has positions of its own"):
        build("bipe", **SHAPE, position_ids="randomized")


def test_layers_refuse_bipe_which_acts_on_embeddings():
    with pytest.raises(ValueError, match="bipe is added to the embeddings and cannot stand for"):
        build("smollm3", **SHAPE, layers=[{"pe": "bipe"}, {"pe": "none"}])


def test_a_run_knows_its_segments_again_when_it_is_measured(command, small, monkeypatch):
    """Training and measuring each read the vocabulary of the tokenizer."""
    read = []

    def read_and_note(scheme, texts):
        read.append(list(texts))
        read_vocabulary(scheme, read[-1])

    read_vocabulary = BiPE.read_vocabulary
    monkeypatch.setattr(BiPE, "read_vocabulary", read_and_note)
    code, _, err = command("train", "+pe=bipe", *small, "name=mine", "context_lengths=[16,32]")
    assert code == 0, err
    assert len(read) >= 2
    assert all(texts == read[0] for texts in read)
    run = load_run("results/runs/mine")
    ends = run.network(run.config, 256).pe.is_end_V.tolist()
    assert {text for text, is_end in zip(read[0], ends, strict=True) if is_end} == {".", "\n"}
