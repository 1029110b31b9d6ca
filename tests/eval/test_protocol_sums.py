"""Sums of a protocol per document, and the digests that identify its targets."""

import math
from dataclasses import replace

import numpy as np
import pytest
from helpers.protocol_properties import (
    COUNTS,
    LENGTHS,
    RANDOM,
    SETTINGS,
    VOCABULARY,
    Corpus,
    groups_by_target,
    random_corpus,
    uniform,
)

from posext.eval.protocols import COMPARABLE, PROTOCOLS, measure_protocol, target_digests

TWO_SYMBOLS = random_corpus(counts=[300] * 4, symbols=2, seed=1)  # where much recurs


class Renamed(Corpus):
    @property
    def names(self):
        return [f"e{index}" for index in range(len(self.tokens))]


def digests(protocol, documents=RANDOM, lengths=LENGTHS, settings=SETTINGS):
    """Return the digests of each group of a protocol, by length."""
    plan = PROTOCOLS[protocol](documents, lengths, settings)
    return {length: target_digests(documents, plan, length) for length in plan.windows}


@pytest.mark.parametrize("protocol", sorted(COMPARABLE))
def test_targets_have_one_digest_at_comparable_lengths(protocol):
    first, *others = digests(protocol, TWO_SYMBOLS).values()
    assert others == [first] * (len(LENGTHS) - 1)
    groups = {"far_copy": {"far", "rest"}, "key_tokens": {"key", "rest"}}
    assert set(first) == groups.get(protocol, {""})


@pytest.mark.parametrize("protocol", ["yarn_paper", "longlora"])
def test_targets_have_a_digest_of_each_length_otherwise(protocol):
    """Under these protocols, each length scores other labels."""
    documents = random_corpus(counts=[700] * 3, symbols=9)
    by_length = digests(protocol, documents, [16, 64, 128])
    assert len({of_groups[""] for of_groups in by_length.values()}) == 3


@pytest.mark.parametrize("protocol", sorted(COMPARABLE))
@pytest.mark.parametrize(
    "change",
    [
        {"lengths": [8, 16, 32]},
        {"documents": Corpus([(tokens + 1) % VOCABULARY for tokens in RANDOM.tokens])},
        {"documents": Renamed(RANDOM.tokens)},
        {"settings": replace(SETTINGS, documents=2)},
    ],
    ids=["longest", "corpus", "names", "documents"],
)
def test_targets_digest_follows_the_scored_tokens(protocol, change):
    assert digests(protocol)[8] != digests(protocol, **change)[8]


@pytest.mark.parametrize("protocol", sorted(COMPARABLE - {"sliding"}))  # it scores every token
@pytest.mark.parametrize("change", [{"blocks": 2}, {"size": 2}, {"seed": 1}], ids=str)
def test_targets_digest_follows_the_drawn_blocks(protocol, change):
    assert digests(protocol)[8] != digests(protocol, settings=replace(SETTINGS, **change))[8]


def test_measure_protocol_sums_bytes_by_document_name():
    bytes_per_token = np.arange(VOCABULARY)
    sums = measure_protocol(
        PROTOCOLS["nonoverlap"], uniform, RANDOM, [64], SETTINGS, bytes_per_token
    ).set_index("document")
    assert list(sums.columns) == ["context_length", "group", "nll", "weight", "tokens", "bytes"]
    for name, row in sums.iterrows():
        labels = RANDOM.document(RANDOM.names.index(name))[1:]
        assert (row.tokens, row.bytes) == (len(labels), bytes_per_token[labels].sum())
        assert row.nll == pytest.approx(len(labels) * math.log(VOCABULARY), rel=1e-6)
    assert len(sums) == sum(count > 64 for count in COUNTS)


def test_measure_protocol_limits_tokens_of_a_batch():
    shapes = []

    def model(tokens):
        shapes.append(tokens.shape)
        return uniform(tokens)

    measure_protocol(
        PROTOCOLS["fixed_target"], model, RANDOM, LENGTHS, SETTINGS, tokens_per_batch=128
    )
    assert max(batch * length for batch, length in shapes) == 128
    assert {length for _, length in shapes} == set(LENGTHS)


@pytest.mark.parametrize("protocol", ["fixed_target", "far_copy", "key_tokens"])
def test_targets_and_groups_do_not_depend_on_the_cut_into_pieces(protocol):
    """Blocks of 16 targets are pieces of 2 at the shortest length, and whole at the longest."""
    documents = random_corpus(counts=(300, 90, 500), symbols=3)
    settings = replace(SETTINGS, size=16, blocks=2, scored_share=0.25)
    whole = PROTOCOLS[protocol](documents, LENGTHS[-1:], settings)
    groups = {}
    for length in LENGTHS:
        plan = PROTOCOLS[protocol](documents, sorted({length, 64}), settings)
        assert max(window.scored for window in plan.windows[length]) == min(16, length // 4)
        assert target_digests(documents, plan, length) == target_digests(documents, whole, 64)
        groups[length] = groups_by_target(plan, length)
    assert len(groups[8]) == sum(window.scored for window in whole.windows[64])
    assert all(group == groups[64] for group in groups.values())


def test_far_copy_in_pieces_has_both_groups():
    documents = random_corpus(counts=(300, 90, 500), symbols=3)
    settings = replace(SETTINGS, size=16, blocks=2, scored_share=0.25)
    plan = PROTOCOLS["far_copy"](documents, LENGTHS, settings)
    assert set(groups_by_target(plan, 8).values()) == {"far", "rest"}
