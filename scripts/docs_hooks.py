"""Hooks of mkdocs: add pages from outside docs/ to the site, and unlink links to sources."""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = (
    "results/*/README.md",
    "results/*/*.png",
    "examples/*/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s:#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the studies' pages with their figures, and what stands in the project's root."""
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            at = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, at, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links as they stand in the repository, made to hold in the site."""
    src = page.file.src_uri
    outside = files.get_file_from_path(src) is not None and not (ROOT / "docs" / src).is_file()
    folder = PurePosixPath(src).parent if outside else PurePosixPath("docs", src).parent

    def held(found: re.Match[str]) -> str:
        image, text, address, anchor = found[1], found[2], found[3], found[4] or ""
        target = normal(folder / address)
        site = target.removeprefix("docs/")
        if files.get_file_from_path(site) is None:
            return text
        back = "../" * (len(PurePosixPath(src).parts) - 1)
        return f"{image}[{text}]({back}{site}{anchor})"

    return LINK.sub(held, markdown)


def normal(path: PurePosixPath) -> str:
    """A path without its `..`."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
