"""The answer in words at the head of a page."""

import html
import math
import re
from types import SimpleNamespace

import pandas as pd
import pytest
from helpers.pages import rows_of, written_page

from posext.config import EvaluationConfig
from posext.report import words


def answer_of(text: str) -> str:
    (answer,) = re.findall(r'<p class="answer">(.*?)</p>', html.unescape(text), re.DOTALL)
    return answer


def test_answer_names_the_usable_length_and_lowest_perplexity():
    rope = rows_of("rope", [3.0, 2.5, 2.6, 2.7])
    answer = answer_of(written_page(rope, rows_of("alibi", [3.0, 2.55, 2.54, 2.55])))
    assert "Usable furthest, to 512 tokens, the longest measured: “alibi”." in answer
    assert f"Lowest perplexity at 512 tokens: {math.exp(2.55):.2f}" in answer


def test_answer_does_not_call_unusable_what_was_not_measured_at_its_training_length():
    rope = rows_of("rope", [3.0, 2.5, 2.6, 2.7]).assign(trained_length=200)
    page = written_page(rope)
    assert "No curve was measured at its training length" in answer_of(page)
    assert "not measured" in page


def test_answer_of_one_seed_ties_what_is_within_seed_noise():
    runs = [
        rows_of(name, [3.0, 2.5, 2.6, loss_at_512], model="nano")
        for name, loss_at_512 in (("rope", 2.95), ("fox", 2.9), ("t5", 4.0))
    ]
    answer = answer_of(written_page(*runs))
    tie = "“fox”; within seed noise of it, so no higher as far as this tells: “rope”."
    caution = (
        "One seed: at this size (nano), training again with another seed moves the loss by 0.0"
    )
    assert tie in answer
    assert caution in answer
    assert "say nothing of the schemes" in answer


def test_answer_of_several_seeds_uses_their_paired_interval():
    """The page has the same interval in its table."""
    losses_at_512 = {"rope": (3.0, 3.4, 3.2), "fox": (2.5, 2.9, 2.7), "t5": (2.6, 2.8, 2.75)}
    runs = [
        rows_of(name, [3.0, 2.5, 2.6, loss], run=f"{name}{seed}", seed=seed, model="nano")
        for name, losses in losses_at_512.items()
        for seed, loss in enumerate(losses)
    ]
    text = html.unescape(written_page(*runs))
    answer = answer_of(text)
    assert "(mean of 3 seeds, 12.2 to 18.2), “fox”; within seed noise of it" in answer
    assert "“t5”." in answer
    assert "One seed:" not in answer
    # rope at 512, over its crop baseline
    assert "<td>+0.700 ± 0.200<small>+0.203 to +1.197</small></td>" in text


def test_answer_calls_usable_only_what_all_seeds_reach():
    runs = [
        rows_of("rope", [3.0, 2.5, 2.5, loss_at_512], run=f"r{seed}", seed=seed)
        for seed, loss_at_512 in enumerate((2.5, 2.6))
    ]
    assert "Usable furthest, to 256 tokens: “rope”." in answer_of(written_page(*runs))


@pytest.mark.parametrize(
    ("allocation", "text"),
    [
        ({}, "A block of 256 tokens in a document, read in pieces of at most 50%"),
        ({"blocks": 4, "targets": 32}, "Up to 4 blocks of 32 tokens in a document"),
    ],
)
def test_blocks_text_names_the_allocation_that_runs_share(allocation, text):
    rows = pd.DataFrame({"context_length": [64, 1024]})
    sources = [SimpleNamespace(run=None), source(**allocation), source(**allocation)]
    assert words.blocks_text(rows, sources).startswith(text)
    assert ("pieces" in words.blocks_text(rows, sources)) == ("pieces" in text)
    assert words.blocks_text(rows, [*sources, source(blocks=7)]) == "Blocks of tokens"


def source(**allocation):
    config = SimpleNamespace(evaluation=EvaluationConfig(**allocation))
    return SimpleNamespace(run=SimpleNamespace(config=config))
