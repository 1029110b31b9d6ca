"""The start-of-text token of a checkpoint's tokenizer.

A window cut out of a document has none, and a checkpoint that was trained with one suffers without.
"""

from typing import Any, NamedTuple

from transformers import AutoTokenizer

from posext.hf.load import call_loader, location
from posext.utils.errors import PosextError


class StartToken(NamedTuple):
    """A token that takes the place of the first of a window."""

    index: int
    text: str


def start_token(tokenizer_path: str, choice: str) -> StartToken | None:
    """Return the start token of a measurement.

    Args:
        tokenizer_path: Folder or id of a checkpoint, whose tokenizer is asked.
        choice: `evaluation.bos`: auto is what the tokenizer itself puts before a text, window is
            its start-of-text token in any case, none is none.

    Returns:
        The token, or None.

    Raises:
        PosextError: `window` for a tokenizer without such a token.
    """
    if choice == "none":
        return None
    tokenizer: Any = call_loader(
        tokenizer_path,
        AutoTokenizer.from_pretrained,
        location(tokenizer_path),
        trust_remote_code=False,
    )
    token = tokenizer.bos_token_id
    if choice == "window" and token is None:
        raise PosextError(f"evaluation.bos=window: {tokenizer_path} has no start-of-text token")
    if token is None or (choice == "auto" and tokenizer("a")["input_ids"][:1] != [token]):
        return None
    return StartToken(token, str(tokenizer.bos_token))
