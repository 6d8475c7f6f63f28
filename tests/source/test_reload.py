"""Options that a reload changes are read where they are needed, not once at the start."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DAEMON = ROOT / "daemon/src"
SECTION = re.compile(r'    "\w+" as (\w+): ')
OPTION = re.compile(r'        (\w+)(?:\("\w+"\))?(?: or "\w+")?: .* \[([\w ]+)\] (Reload|Restart)\b')
# What the loop hands on by itself with each reload, and how.
HANDED_ON = {
    "service.log_level": "logging::set_level(config.service.log_level)",
    "service.cert": "Certificate::load(&config.service)",
    "service.cert_key": "Certificate::load(&config.service)",
    "service.cert_password": "Certificate::load(&config.service)",
    # The reader of the file makes service.cert_password of it.
    "service.cert_password_file": "Certificate::load(&config.service)",
}
STARTERS = {"logging.rs", "certificate.rs"}


def declared() -> dict[str, tuple[str, str]]:
    """Options by name: what is written about each, and how it changes."""
    options, section, meaning = {}, "", ""
    for line in (ROOT / "daemon/config/src/table.rs").read_text().splitlines():
        if found := SECTION.match(line):
            section = found[1]
        elif line.startswith("        ///"):
            meaning += line
        elif found := OPTION.match(line):
            options[f"{section}.{found[1]}"] = meaning, found[3]
            meaning = ""
        else:
            meaning = ""
    return options


OPTIONS = declared()
RELOADED = [name for name, (_, change) in OPTIONS.items() if change == "Reload"]


def readers(name: str) -> set[str]:
    """Files of the daemon that read an option, but for tests."""
    section, field = name.split(".")
    # Some take the section first: `let options = &cx.config.registration`.
    read = re.compile(rf"config(?:\(\))?\s*\.{section}\s*\.{field}\b|\bconfig(?:\(\))?\.{section}\b(?!\s*\.)(?s:.*?)\.{field}\b(?!\()")
    sources = {path: path.read_text().split("\nmod tests {")[0] for path in DAEMON.rglob("*.rs")
               if "tests" not in path.relative_to(DAEMON).as_posix()}
    return {path.relative_to(DAEMON).as_posix() for path, text in sources.items() if read.search(text)}


def test_the_table_is_read_whole():
    declarations = (ROOT / "daemon/config/src/table.rs").read_text()
    assert len(OPTIONS) == len(re.findall(r"\] (?:Reload|Restart)\b.*;$", declarations, re.M)) > 80


@pytest.mark.parametrize("name", RELOADED)
def test_what_a_reload_changes_is_read_in_the_core_or_handed_on(name):
    found = readers(name)
    core = {file for file in found if file.startswith(("gateway/", "server/"))}
    if name in HANDED_ON:
        assert HANDED_ON[name] in (DAEMON / "run.rs").read_text()
        assert found - core - {"run.rs"} <= STARTERS
        return
    # Who is outside of the core has the configuration of the start.
    assert found == core, f"{found - core} would not see a new {name}"
    assert core or "Accepted for files written for Spectrum 2" in OPTIONS[name][0], f"nobody reads {name}"
