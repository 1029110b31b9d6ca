"""Positions of training tokens: one file per choice of `+position_ids=NAME`, on any scheme."""
