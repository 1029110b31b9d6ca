"""The temperature of attention, apart from the scheme: one file a choice of `+attention_scale=NAME`."""
