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


def commands(enum: str) -> dict[str, str]:
    """The subcommands that an enum of the manager's command line declares, and what each holds."""
    text = (ROOT / "manager/src/arguments.rs").read_text()
    body = text.partition(f"pub enum {enum} {{\n")[2].partition("\n}\n")[0]
    declared = re.findall(r"^    ([A-Z]\w+)(?:\((\w+)\))?(?:,| \{)", body, re.M)
    return {re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower(): inner for name, inner in declared}


def test_commands_that_entries_name_exist():
    quoted = [command.split() for entry in ENTRIES.values()
              for command in re.findall(r'"((?:spectrum2\w*|systemctl|journalctl|coredumpctl)\b[^"]*)"', entry)]
    assert len(quoted) > 5
    top, user = commands("Command"), commands("User")
    assert {"status", "user", "users", "check", "log-level"} <= top.keys() and "login" in user
    for program, *words in quoted:
        if program == "spectrum2_manager":
            assert words[0] in top, words
            assert words[0] != "user" or words[1] in user, words
        elif program == "spectrum2":
            assert words[0] == "check", words
        elif program == "systemctl":
            assert words[0] in ("reload", "stop", "daemon-reload"), words


def test_options_that_entries_name_exist():
    table = (ROOT / "daemon/config/src/table.rs").read_text()
    sections = dict(re.findall(r'^    "(\w+)" as \w+: \w+ \{\n(.*?)^    \}', table, re.M | re.S))
    named = {(section, key) for entry in ENTRIES.values()
             for section, key in re.findall(rf"\b({'|'.join(sections)})\.(\w+)", entry)}
    assert len(named) > 10
    missing = [f"{section}.{key}" for section, key in named if not re.search(rf"^        {key}\b", sections[section], re.M)]
    assert missing == []


def test_the_catalog_is_installed():
    assert "systemd/spectrum2.catalog" in (ROOT / "Makefile").read_text()
