"""The journal's catalog and the message ids in the code are the same, and each is used."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CATALOG = ROOT / "systemd/spectrum2.catalog"
TABLE = ROOT / "daemon/log/src/message_id.rs"
IDS = dict(re.findall(r'pub const (\w+): &str =\s*"(\w+)"', TABLE.read_text()))
ENTRIES = {id: text for id, text in re.findall(r"^-- (\w+)\n(.*?)(?=^-- |\Z)", CATALOG.read_text(), re.M | re.S)}


def test_every_id_is_a_uuid_of_its_own():
    assert len(set(IDS.values())) == len(IDS) > 0
    assert [id for id in IDS.values() if not re.fullmatch(r"[0-9a-f]{32}", id)] == []


def test_every_id_has_an_entry_and_every_entry_an_id():
    assert list(ENTRIES) == list(IDS.values())


@pytest.mark.parametrize("name", IDS)
def test_every_entry_says_what_why_and_what_to_do(name):
    head, _, body = ENTRIES[IDS[name]].partition("\n\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    assert fields.keys() == {"Subject", "Defined-By", "Support", "Documentation"}
    # journald replaces no name with a digit, which all of ours have.
    assert not re.search(r"@\w+@", head + body)
    what_and_why, _, what_to_do = body.strip().partition("\n\n")
    assert what_and_why and what_to_do


@pytest.mark.parametrize("name", IDS)
def test_every_id_is_logged_somewhere(name):
    used = subprocess.run(["grep", "-rlw", name, "daemon", "backend", "--include=*.rs"], cwd=ROOT, capture_output=True,
                          text=True).stdout.split()
    assert [file for file in used if file != "daemon/log/src/message_id.rs" and "/tests" not in file], name


def test_the_catalog_is_installed():
    assert "systemd/spectrum2.catalog" in (ROOT / "Makefile").read_text()
