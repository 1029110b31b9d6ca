"""Which positions tokens have in training: one file a choice of `+position_ids=NAME`, on any scheme."""
