"""How the folder of a study was made: commit, machine, and versions of what it rests on."""

import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

from posext.utils.atomic import write_text
from posext.utils.commit import commit

FILE = "record.json"


def write(out: Path, study: str, runs: int) -> None:
    """Add to the record of a study what this machine is, in place of what it said before."""
    file = out / FILE
    here = machine()
    entry = {
        "study": study,
        "runs": runs,
        "commit": commit(),
        "machine": here,
        "versions": versions(),
    }
    before = json.loads(file.read_text()) if file.is_file() else []
    others = [each for each in before if each["machine"] != here]
    write_text(file, json.dumps([*others, entry], indent=2) + "\n")


def machine() -> dict[str, Any]:
    """The processors and memory of this machine."""
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": gpus,
    }


def processor() -> str:
    """The name of the processor, as far as the system tells."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


def versions() -> dict[str, str]:
    """The version of Python, and of every package that is installed beside this one."""
    installed = {each.metadata["Name"]: each.version for each in metadata.distributions()}
    return {"python": platform.python_version(), **dict(sorted(installed.items(), key=str))}
