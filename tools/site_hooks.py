"""Hooks of the documentation's site: the pages at the root are part of it, and links lead where they can."""

import posixpath
import re
from pathlib import Path
from typing import Any, Final

from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Files at the root, and what they are called on the site."""
_LINK: Final = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages at the root."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links lead to pages of the site."""
    sources = {site: source for source, site in PAGES.items()}
    uri = page.file.src_uri
    return relink(markdown, sources.get(uri, f"docs/{uri}"), uri)


def relink(markdown: str, source: str, uri: str) -> str:
    """Turn links between files of the repository into links between pages.

    Parameters
    ----------
    markdown
        A page's text.
    source
        Its file, from the repository's root.
    uri
        What it is called on the site.

    Examples
    --------
    >>> relink("see [how](docs/runbook.md#fraudwaiting)", "README.md", "index.md")
    'see [how](runbook.md#fraudwaiting)'
    >>> relink("[why](../ARCHITECTURE.md), [code](../stream/clock.py)", "docs/topics.md", "topics.md")
    '[why](architecture.md), code (`stream/clock.py`)'
    """

    def replace(found: re.Match[str]) -> str:
        target, anchor = found["target"], found["anchor"] or ""
        if "://" in target or target.startswith("mailto:"):
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path in PAGES:
            place = PAGES[path]
        elif path.startswith("docs/"):
            place = path.removeprefix("docs/")
        else:
            # A file of the repository that is no page.
            return f"{found['text']} (`{path}`)"
        shown = posixpath.relpath(place, posixpath.dirname(uri) or ".")
        return f"{found['image']}[{found['text']}]({shown}{anchor})"

    return _LINK.sub(replace, markdown)
