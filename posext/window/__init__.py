"""Attention windows: one file per choice of `+window=NAME`.

A window sets the keys that a query attends to and, for rotary schemes, the distances of these keys.
"""
