"""Where log messages go: the files that Spectrum 2 writes, and the journal with fields."""

import asyncio
import json
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from admin import until
from transport import systemctl

# Log files do not care which server it is.
pytestmark = pytest.mark.prosody

LOGS = Path("/var/log/spectrum2")

# As Spectrum 2 installs them.
DAEMON = """\
log4j.rootLogger=debug, R

log4j.appender.R=org.apache.log4j.RollingFileAppender
log4j.appender.R.File=/var/log/spectrum2/${jid}/spectrum2.log
log4j.appender.R.MaxFileSize=10000KB
log4j.appender.R.MaxBackupIndex=1
log4j.appender.R.layout=org.apache.log4j.PatternLayout
log4j.appender.R.layout.ConversionPattern=%d %-5p %c: %m%n

log4j.category.Component.XML = OFF
"""
BACKENDS = DAEMON.replace("spectrum2.log", "backends/backend-${id}.log").replace("=%d", "=${pid}: %d")
DATE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"


@pytest.fixture
async def logged(transport):
    """The transport irc, prepared to log as Spectrum 2 does; systemd has seen its file."""
    files = {Path("/etc/spectrum2/logging.cfg"): DAEMON, Path("/etc/spectrum2/backend-logging.cfg"): BACKENDS}
    for file, text in files.items():
        file.write_text(text)
    config, backend_config = map(str, files)
    instance = transport.prepared("irc", logging__config=config, logging__backend_config=backend_config)
    instance.write()
    await systemctl("daemon-reload")
    yield instance
    await instance.remove()
    for file in files:
        file.unlink()
    shutil.rmtree(LOGS / instance.jid, ignore_errors=True)
    await systemctl("daemon-reload")


async def says(file: Path, pattern: str, within: float = 30.0) -> str:
    """Waits until a line of the file fits the pattern."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        text = file.read_text() if file.exists() else ""
        if re.search(pattern, text, re.MULTILINE):
            return text
        assert asyncio.get_running_loop().time() < deadline, f"{file} does not say {pattern!r} but:\n{text}"
        await asyncio.sleep(0.1)


def owner_and_mode(path: Path) -> tuple[str, str]:
    data = path.stat()
    return pwd.getpwuid(data.st_uid).pw_name, oct(stat.S_IMODE(data.st_mode))


async def test_daemon_and_backends_write_the_files_of_spectrum_2(logged, xmpp, irc):
    # Left behind by Spectrum 2, which ran as root.
    (LOGS / logged.jid / "backends").mkdir(parents=True)
    (LOGS / logged.jid / "spectrum2.log").write_text("old\n")
    (LOGS / logged.jid / "spectrum2.log").chmod(0o640)
    await logged.start()
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(logged.jid, username="romeo")
    pid = await logged.backend_of_one()

    ours, theirs = LOGS / logged.jid / "spectrum2.log", LOGS / logged.jid / "backends" / "backend-1.log"
    text = await says(ours, rf"^{DATE} INFO  Component: Connected to prosody.test")
    assert text.startswith("old\n")
    await says(ours, rf"^{DATE} INFO  User: logged in user=romeo@prosody.test backend=\d+$")
    await says(theirs, rf"^\d+: {DATE} INFO  libpurple: ")
    assert {line.split(":")[0] for line in theirs.read_text().splitlines()} >= {str(pid)}

    assert owner_and_mode(ours.parent) == ("spectrum", "0o751")
    assert owner_and_mode(ours) == ("spectrum", "0o640")
    assert owner_and_mode(theirs.parent) == ("spectrum-backend", "0o750")
    assert owner_and_mode(theirs) == ("spectrum-backend", "0o640")
    # The journal has it all the same.
    assert "Connected to prosody.test" in logged.journal()


async def test_each_transport_of_a_process_has_log_files_of_its_own(logged, xmpp, irc):
    vhost = f"xmpp.{xmpp.domain}"
    logged.options["vhosts.vhost"] = logged.vhosts = [vhost]
    logged.write()
    await systemctl("daemon-reload")
    try:
        await logged.start()
        juliet = await xmpp.login("juliet")
        await juliet.logs_in(vhost, username="juliet")
        ours, theirs = (LOGS / jid / "spectrum2.log" for jid in (logged.jid, vhost))
        text = await says(theirs, rf"^{DATE} INFO  User: logged in user=juliet@prosody.test")
        assert f" as {vhost}." in text and f" as {logged.jid}." not in text, text
        # So has its backend.
        pid = await logged.backend_of_one()

        def written_by_it(jid: str) -> list[Path]:
            files = (LOGS / jid / "backends").glob("backend-*.log")
            return [file for file in files if re.search(rf"^{pid}: {DATE} ", file.read_text(), re.MULTILINE)]

        async def has_written() -> bool:
            return len(written_by_it(vhost)) == 1
        await until(has_written, "the backend has a log file")
        assert written_by_it(logged.jid) == []
        text = await says(ours, rf" as {logged.jid}\.")
        assert "juliet" not in text and f" as {vhost}." not in text, text
        assert owner_and_mode(theirs) == ("spectrum", "0o640")
        await logged.stop()

        async def has_said_good_bye() -> bool:
            said = entries(logged, f"SPECTRUM2_TRANSPORT={vhost}", f"_PID={pid}")
            return any("wants this process to end" in entry["MESSAGE"] for entry in said)
        await until(has_said_good_bye, "the journal knows whose backend it is")
    finally:
        shutil.rmtree(LOGS / vhost, ignore_errors=True)


async def test_after_logrotate_a_reload_begins_a_new_file(logged):
    await logged.start()
    ours = LOGS / logged.jid / "spectrum2.log"
    await says(ours, "Connected to")
    ours.rename(ours.with_suffix(".old"))
    await systemctl("reload", logged.unit)
    assert "Connected to" not in await says(ours, "reloaded")


async def test_a_file_that_cannot_be_written_is_named_and_nothing_else_happens(logged):
    (LOGS / logged.jid / "spectrum2.log").mkdir(parents=True)
    await logged.start()
    await logged.journal_says(f"{LOGS}/{logged.jid}/spectrum2.log cannot be written")


async def test_a_mistake_in_a_properties_file_is_a_warning(logged):
    with open("/etc/spectrum2/logging.cfg", "a") as file:
        file.write("log4j.appender.R.MaxBackupIndx=3\n")
    await logged.start()
    await logged.journal_says("logging.config /etc/spectrum2/logging.cfg: log4j.appender.R.MaxBackupIndx is not known")


async def test_ps_names_the_transport(logged, xmpp, irc):
    await logged.start()
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(logged.jid, username="romeo")
    await logged.backend_of_one()
    launcher = int(logged.property("MainPID", logged.backend_unit))
    shown = subprocess.run(["ps", "-o", "comm=,args=", "--pid", str(launcher), "--ppid", str(launcher)],
                           capture_output=True, text=True, check=True).stdout
    assert "launcher irc" in shown and "spectrum2 backend irc: zygote" in shown, shown


def entries(instance, *matches: str) -> list[dict[str, str]]:
    """What the journal has of a transport since the scenario began, with all fields."""
    command = ["journalctl", "--output=json", f"--since=@{instance.born:.6f}", *matches]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in printed.splitlines()]


def message_id(name: str) -> str:
    """The id of the catalog's entry whose subject begins so."""
    catalog = Path("/usr/lib/systemd/catalog/spectrum2.catalog").read_text()
    return re.search(rf"^-- (\w+)\nSubject: {name}", catalog, re.M)[1]


async def test_messages_can_be_found_by_transport_user_network_and_backend(transport, xmpp, irc):
    gateway = await transport("irc")
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username="romeo")
    pid = await gateway.backend_of_one()
    ours = entries(gateway, f"SPECTRUM2_TRANSPORT={gateway.jid}")
    assert {entry["SYSLOG_IDENTIFIER"] for entry in ours} >= {"spectrum2", "spectrum2_backend_launcher"}
    assert {entry["SPECTRUM2_NETWORK"] for entry in ours} == {"prpl-irc"}
    about_romeo = entries(gateway, "SPECTRUM2_USER=romeo@prosody.test")
    logged_in = [entry for entry in about_romeo if entry["MESSAGE"].startswith("logged in")]
    assert logged_in and logged_in[0]["SPECTRUM2_BACKEND"].isdigit()
    assert logged_in[0]["PRIORITY"] == "6"

    os.kill(pid, signal.SIGSEGV)
    await gateway.journal_says("a backend is gone")
    died = message_id("A backend died")
    gone = [entry for entry in entries(gateway, f"MESSAGE_ID={died}")
            if entry["SYSLOG_IDENTIFIER"] == "spectrum2"]
    assert gone[0]["SPECTRUM2_PID"] == str(pid) and gone[0]["SPECTRUM2_BACKEND"].isdigit()


async def test_the_catalog_explains_what_an_admin_must_act_on(transport):
    irc = transport.prepared("irc", service__password="escalus")
    irc.write()
    await systemctl("start", "--no-block", irc.unit)
    await irc.says_of_itself("service.password")
    explained = subprocess.run(["journalctl", "--catalog", "--no-pager", f"--unit={irc.unit}",
                                f"MESSAGE_ID={message_id('The XMPP server refuses')}"],
                               capture_output=True, text=True, check=True).stdout
    assert "Subject: The XMPP server refuses the transport" in explained
    assert "Compare service.password" in explained


async def test_a_wrong_file_is_explained_too(transport):
    irc = transport.prepared("irc", service__port="many")
    await irc.fails_to_start()
    wrong, *_ = entries(irc, f"MESSAGE_ID={message_id('The configuration of a transport cannot work')}")
    assert "service.port" in wrong["MESSAGE"] and wrong["PRIORITY"] == "3"
