"""The manual pages: well formed, and there for everything that refers to them."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = sorted((ROOT / "man").glob("*.[1-8]"))
REFERENCE = re.compile(r"man:([\w.-]+)\((\d)\)")


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """spectrum2.conf(5), which is made of the table of options."""
    page = tmp_path_factory.mktemp("man") / "spectrum2.conf.5"
    with open(ROOT / "man/spectrum2.conf.5.in", "rb") as template, open(page, "wb") as made:
        subprocess.run(["cargo", "run", "--quiet", "--locked", "--package", "spectrum2-config", "--bin",
                        "spectrum2-config-manual"], cwd=ROOT, stdin=template, stdout=made, check=True)
    return page


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_a_page_is_well_formed(page):
    assert complaints(page) == []


def test_the_page_of_options_is_well_formed(options):
    assert complaints(options) == []


def test_what_units_refer_to_exists(options):
    pages = {page.name for page in [*WRITTEN, options]}
    for unit in (ROOT / "systemd").glob("*.*"):
        missing = {f"{name}.{section}" for name, section in REFERENCE.findall(unit.read_text())} - pages
        assert not missing, f"{unit.name} refers to {missing}"


def test_pages_refer_to_pages_that_exist(options):
    """Of ours; others' are beyond this tree."""
    pages = {page.name for page in [*WRITTEN, options]}
    for page in [*WRITTEN, options]:
        named = re.findall(r"^\.BR (spectrum2\S*) \((\d)\)", page.read_text().replace("\\-", "-"), re.MULTILINE)
        missing = {f"{name}.{section}" for name, section in named} - pages
        assert not missing, f"{page.name} refers to {missing}"


def complaints(page: Path) -> list[str]:
    """What mandoc finds wrong with a page."""
    checked = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], capture_output=True, text=True)
    return checked.stdout.splitlines()
