"""The numbers of attention that a page shows, each explained in two sentences."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from posext.analysis.attention import SINK_RATE

ABOUT = (
    "What attention does with the context, and what that leaves of the hidden states: of the "
    "queries that predict targets, the same tokens at every length, in a few of the documents. "
    "Lines are means over layers and heads; heat maps have a column for each head or rotary pair, "
    "at each length."
)


class Metric(NamedTuple):
    """A number of attention.csv on the page."""

    name: str
    title: str
    axis: str
    about: str  # two sentences; "" where another metric's speak of it
    place: str = "head"  # the column of its place within a layer; "" without one
    limits: tuple[float | None, float | None] = (None, None)  # of the colors
    log: bool = False


METRICS = (
    Metric(
        "entropy_share",
        "Entropy",
        "entropy / ln keys",
        "The entropy of a query's weights as a share of ln n, where n is the number of keys that "
        "it may see: 1 is an even look at all of them, 0 a look at one alone. Where it rises "
        "beyond the training length, attention thins out over more keys than it has learned to "
        "tell apart.",
        limits=(0, 1),
    ),
    Metric(
        "distance",
        "Distance",
        "mean distance (tokens)",
        "How many tokens back a query looks, the mean by weight; an even look at the whole context "
        "is half of it. A head whose distance is the same at every length looks no farther where "
        "there is more text.",
        limits=(1, None),
        log=True,
    ),
    Metric(
        "first_token",
        "First token",
        "weight on the first token",
        "The weight on the first token of the context, where heads leave attention that they have "
        "no use for. A window that drops this token, or a scheme that moves it out of reach, takes "
        "that place away.",
        limits=(0, 1),
    ),
    Metric(
        SINK_RATE,
        "Sink rate",
        "share of heads that are sinks",
        "The share of heads whose mean weight on the first token, of all queries of the context, "
        "is above 0.3 (Gu et al. 2024). That mean counts early queries too, so it is not the one "
        "under “First token”.",
        place="",
    ),
    Metric(
        "largest_logit",
        "Largest logit",
        "largest logit",
        "The largest scaled score of a document with its bias, the mean over documents; a line "
        "shows that of the head with the largest. Where it leaves its size at the training length, "
        "the softmax is sharper or flatter than in training.",
    ),
    Metric(
        "logit_multiplier",
        "Multiplier",
        "factor on the logits",
        "What the scheme's factor on cos and sin and the temperature multiply scores by, for these "
        "queries. At 1 scores are as the weights make them.",
    ),
    Metric(
        "row_sum",
        "Sum of weights",
        "sum of the weights of a query",
        "The sum of a query's weights, which is 1 unless a sink, a normalizer or the scheme makes "
        "it another. Entropy and distance are of the weights divided by it.",
    ),
    Metric(
        "query_norm",
        "Query pairs",
        "2-norm of a pair of the queries",
        "The mean 2-norm of each rotary pair in queries and in keys, the fastest pair first "
        "(Barbero et al. 2024, figure 3). A pair near 0 adds nothing to any score, so the layer "
        "does not use its frequency.",
        place="pair",
        limits=(0, None),
    ),
    Metric(
        "key_norm", "Key pairs", "2-norm of a pair of the keys", "", place="pair", limits=(0, None)
    ),
    Metric(
        "hidden_norm_ratio",
        "Hidden norm",
        "norm of hidden states / in range",
        "The norm of the hidden states after a layer, over that of the same tokens at the training "
        "length. Away from 1, later layers read values larger or smaller than in training.",
        place="",
    ),
    Metric(
        "hidden_cosine",
        "Hidden direction",
        "cosine to the mean in range",
        "The cosine of the hidden states after a layer to their mean at the training length. Where "
        "it falls below its value there, tokens are represented otherwise than in training.",
        place="",
    ),
)


def measured_metrics(rows: pd.DataFrame) -> list[Metric]:
    """The metrics to show; sums and factors that are 1 everywhere are left out."""
    shown = []
    for metric in METRICS:
        values = rows.loc[rows.metric == metric.name].value
        trivial = metric.name in ("row_sum", "logit_multiplier") and np.allclose(values, 1)
        if len(values) and not trivial:
            shown.append(metric)
    return shown
