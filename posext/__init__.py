"""posext: how positional encodings extrapolate, measured on GPTs trained on short sequences."""

__version__ = "0.1.0"
