"""The documentation as a site: it builds without a warning, and what is made from the code is fresh."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.promql import ROOT
from tools.reference import FOLDER
from tools.site_hooks import PAGES, relink


def test_it_builds_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    # Where alerts and dashboards link to.
    assert 'id="fraudwaiting"' in (tmp_path / "runbook" / "index.html").read_text()
    assert "fraudstream" in (tmp_path / "index.html").read_text()


def test_every_page_is_in_the_navigation() -> None:
    written = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.md")} | set(PAGES.values())
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert _leaves(config["nav"]) == written


def test_links_between_files_become_links_between_pages() -> None:
    assert relink("[a](../topics.md#x)", "docs/howto/kafka.md", "howto/kafka.md") == "[a](../topics.md#x)"
    assert relink("[a](docs/topics.md)", "CHANGELOG.md", "changelog.md") == "[a](topics.md)"
    assert relink("[a](README.md#two)", "ARCHITECTURE.md", "architecture.md") == "[a](index.md#two)"
    assert relink("![a](docs/images/x.svg)", "README.md", "index.md") == "![a](images/x.svg)"
    assert relink("[a](benchmarks/x.json)", "README.md", "index.md") == "a (`benchmarks/x.json`)"
    assert relink("[a](https://kafka.apache.org)", "README.md", "index.md") == "[a](https://kafka.apache.org)"


def _leaves(nav: Any) -> set[str]:
    if isinstance(nav, str):
        return {nav}
    return {leaf for part in (nav.values() if isinstance(nav, dict) else nav) for leaf in _leaves(part)}
