"""Whether far context is used: associative recall in a run's own text, and a passkey for checkpoints that read English.

A flat perplexity curve does not say so, as a model that never looks far has one too. Not in PROTOCOLS, as these score
made-up contexts: `measure(model, tokens, lengths)` gives rows of COLUMNS.
"""

from posext.retrieval.episode import Episode, Settings, episode
from posext.retrieval.measure import measure
from posext.retrieval.passkey import measure_passkey, passkey
from posext.retrieval.pool import Pool, pool_of
from posext.retrieval.table import COLUMNS, CONDITIONS, FILE, read, replace

__all__ = [
    "COLUMNS", "CONDITIONS", "FILE", "Episode", "Pool", "Settings", "episode", "measure", "measure_passkey", "passkey",
    "pool_of", "read", "replace",
]  # fmt: skip
