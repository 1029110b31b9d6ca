"""Examples of algorithmic tasks, made while training: short ones to learn, longer ones to test.

An example is a sequence of its own, from position 0 on, so that no position and no attention goes
across examples.
"""
