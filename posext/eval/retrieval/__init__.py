"""Whether far context is used: associative recall in a run's own text, and a passkey for checkpoints that read English.

A flat perplexity curve does not say so, as a model that never looks far has one too. Not in PROTOCOLS, as these score
made-up contexts: `measure(model, tokens, lengths)` gives rows of COLUMNS.
"""

from posext.analysis.retrieval import COLUMNS, CONDITIONS, FILE, read, replace
from posext.data.recall.episode import Episode, Settings, episode
from posext.data.recall.pool import Pool, pool_of
from posext.eval.retrieval.measure import measure
from posext.eval.retrieval.passkey import measure_passkey, passkey

__all__ = [
    "COLUMNS", "CONDITIONS", "FILE", "Episode", "Pool", "Settings", "episode", "measure", "measure_passkey", "passkey",
    "pool_of", "read", "replace",
]  # fmt: skip
