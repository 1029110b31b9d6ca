"""Uploading of an exported run to the hub."""

import re
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

from posext.config import HUB_ID
from posext.utils.errors import PosextError


def check_repository(repository: str) -> None:
    """Raise PosextError for a name that is not OWNER/NAME."""
    if not re.fullmatch(HUB_ID, repository):
        raise PosextError(f"--push takes OWNER/NAME, the name of a model on the hub: {repository}")


def push(folder: Path, repository: str) -> str:
    """Upload a folder as a model, made private if it is new; return its address.

    Raises PosextError if the hub refuses, or cannot be reached.
    """
    hub = HfApi()
    try:
        hub.create_repo(repository, private=True, exist_ok=True)
        hub.upload_folder(
            repo_id=repository, folder_path=folder, commit_message="Exported by posext"
        )
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise PosextError(
            f"{folder} is written, but was not uploaded to {repository}: {reason}"
        ) from error
    return f"https://huggingface.co/{repository}"
