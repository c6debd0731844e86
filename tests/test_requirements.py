"""What is installed is what was tried: every package of the page by its hash."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
HASHED = (ROOT / "requirements-hashed.txt").read_text()
ENTRIES = re.findall(r"^(\S+==[^\\\n]+?) \\\n((?:    --hash=\S+(?: \\)?\n)+)", HASHED, re.MULTILINE)


def listed() -> dict[str, str]:
    """Versions by name."""
    found = {}
    for line, _ in ENTRIES:
        requirement = Requirement(line)
        (pin,) = requirement.specifier
        found[normal(requirement.name)] = pin.version
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_pin_of_the_page_is_among_the_hashes_at_its_version():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert pins
    for pin in pins:
        assert str(pin.specifier) == f"=={listed()[normal(pin.name)]}", pin.name


def test_every_package_has_hashes_and_none_is_twice():
    assert len(re.findall(r"^\w\S*==", HASHED, re.MULTILINE)) == len(ENTRIES) == len(listed())
    for line, hashes in ENTRIES:
        for word in hashes.replace("\\", "").split():
            assert re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", word), line


def test_what_the_packages_need_is_there_too():
    versions = listed()
    asked = {"gradio": {"mcp"}}
    looked = 0
    for name, version in versions.items():
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # of another system
            continue
        if package.version != version:
            continue
        looked += 1
        for line in package.requires or ():
            needed = Requirement(line)
            extras = asked.get(name, set()) | {""}
            places = [default_environment() | {"extra": extra} for extra in extras]
            if needed.marker is None or any(needed.marker.evaluate(place) for place in places):
                assert normal(needed.name) in versions, f"{name} needs {needed.name}"
    assert looked > 20


def test_no_address_or_path_of_a_machine_is_in_it():
    text = re.sub(r"#.*", "", HASHED)
    assert not re.search(r"://|--index|--extra|--find-links|--trusted| @ |(^|\s)/", text)
    assert "://" not in HASHED


def test_the_readme_says_how_it_is_made():
    command = HASHED.splitlines()[1].removeprefix("#").strip()
    assert command.startswith("uv pip compile ")
    assert command in (ROOT / "docs" / "hosting.md").read_text()


@pytest.mark.parametrize("extra", ["", "train", "cluster", "test"])
def test_the_package_asks_for_what_the_requirements_name(extra):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["optional-dependencies"][extra] if extra else project["dependencies"]
    path = ROOT / (f"requirements-{extra}.txt" if extra else "requirements.txt")
    lines = path.read_text().splitlines()
    assert asked == [line for line in lines if line and not line.startswith(("#", "-r"))]
