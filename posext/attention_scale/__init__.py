"""Temperatures of attention: one file per choice of `+attention_scale=NAME`, on any scheme."""
