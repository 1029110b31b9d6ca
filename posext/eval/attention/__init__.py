"""What attention does at each context length, by layer and head: the protocol `attention`.

It scores no tokens, so it is not in PROTOCOLS. A model takes part by a method `observe`, as
`posext.model.gpt.GPT` has it.
"""
