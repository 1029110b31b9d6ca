"""Whether far context is used: associative recall in a run's own text, and a passkey for checkpoints that read English.

A flat perplexity curve does not say so, as a model that never looks far has one too. Not in PROTOCOLS, as these score
made-up contexts.
"""
