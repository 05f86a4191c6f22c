"""What the image is made of: locked with hashes, what pyproject.toml asks for, and listed."""

import json
import re
import tomllib

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.promql import ROOT
from tools.check_security import ANSWERS, ANYWHERE, Audit, bandit_problems, locked_versions, read_audit

LOCKS = {name: (ROOT / "requirements" / f"{name}.txt").read_text() for name in ("image", "build")}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
# Of the image, whose Python is not always ours.
ENVIRONMENT = default_environment() | {"python_version": "3.12", "python_full_version": "3.12.11"}


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_is_pinned_with_the_hashes_of_its_files_and_no_host_is_named(name: str) -> None:
    lock = LOCKS[name]
    pinned = re.split(r"\n(?=[a-z0-9])", lock.strip())
    assert len(pinned) == len(locked_versions(lock)) > 0
    for one in pinned:
        assert re.match(r"[a-z0-9._\[\],-]+==[^ ]+( ; [^\\]+)? \\\n", one), one
        assert "--hash=sha256:" in one
    assert "http" not in re.sub(r"^#.*|^ +#.*|^[a-z].*", "", lock, flags=re.MULTILINE)


def test_the_lock_has_what_the_project_asks_for() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    asked = [*PROJECT["project"]["dependencies"], *extras["batch"], *extras["desk"]]
    versions = locked_versions(LOCKS["image"])
    for line in asked:
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate(ENVIRONMENT):
            continue
        found = versions.get(canonicalize_name(wanted.name))
        assert found is not None, f"{line}: not in requirements/image.txt; make lock"
        assert wanted.specifier.contains(found), f"{line}: locked is {found}; make lock"


def test_the_build_uses_the_locks_and_nothing_else() -> None:
    installs = re.findall(r"pip (?:wheel|install)[^\n]*(?:\\\n[^\n]*)*", DOCKERFILE)
    assert len(installs) == 4
    for command in installs:
        assert any(
            option in command
            for option in ("--require-hashes", "--no-index", "--no-deps --no-build-isolation")
        ), command
    assert re.search(r"^USER fraudstream$", DOCKERFILE, flags=re.MULTILINE)


def test_the_list_of_parts_is_that_of_the_lock() -> None:
    parts = json.loads((ROOT / "requirements" / "sbom.cdx.json").read_text())
    assert parts["bomFormat"] == "CycloneDX"
    listed = {canonicalize_name(one["name"]): one["version"] for one in parts["components"]}
    assert listed == {
        canonicalize_name(name): version for name, version in locked_versions(LOCKS["image"]).items()
    }


def test_a_finding_needs_an_answer_and_an_answer_a_finding() -> None:
    found = [
        {"test_id": test, "filename": file, "line_number": 1, "issue_text": "It is so."}
        for test, file in ANSWERS
    ]
    assert [*bandit_problems(found, ANSWERS)] == []
    here = next(one for one in found if one["filename"] != ANYWHERE)
    new = here | {"filename": "stream/new.py"}
    assert [*bandit_problems([*found, new], ANSWERS)] == [
        f"stream/new.py:1: {new['test_id']} It is so.; mend it, or answer it in tools/check_security.py"
    ]
    (unused,) = bandit_problems(found[1:], ANSWERS)
    assert "where it is found no more" in unused


def test_an_audit_that_could_not_be_made_is_not_taken_for_a_good_one() -> None:
    skipped = {"name": "b", "skip_reason": "Dependency not found on PyPI and could not be audited: b (1)"}
    good = {"name": "a", "version": "1", "vulns": []}
    assert read_audit("", 7, "Traceback\nConnectionError: no route\n") == Audit(
        [], 7, 7, "ConnectionError: no route"
    )
    audit = read_audit(json.dumps({"dependencies": [good, skipped]}), 2)
    assert audit == Audit([], 1, 2, skipped["skip_reason"])
