"""posext: train a language model short, measure how far it extrapolates, and which positional encoding makes it so."""

__version__ = "0.1.0"
