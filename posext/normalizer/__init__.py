"""Normalizers of attention scores: one file per choice of `+normalizer=NAME`."""
