"""Retrieval tasks: associative recall in the run's own text, and a passkey in English.

They test the use of far context. A flat perplexity curve does not: a model that ignores far context
has one too. The passkey suits checkpoints that read English. The tasks are not in PROTOCOLS,
because they score synthetic contexts.
"""
