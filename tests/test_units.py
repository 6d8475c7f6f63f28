"""The units: how systemd reads them, what the sandbox withholds, and who is stopped and restarted with whom."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from transport import systemctl

# Units do not care which server it is.
pytestmark = pytest.mark.prosody

SERVICES = ["spectrum2@irc.service", "spectrum2-backend@irc.service"]
UNITS = [*SERVICES, "spectrum2-backend@irc.socket", "spectrum2-metrics@irc.socket", "spectrum2.target"]


@pytest.fixture
async def prepared(transport):
    """A transport whose file is in place and which is not started."""
    instance = transport.prepared("irc")
    instance.write()
    return instance


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_nothing_to_complain_about(prepared, unit):
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.parametrize("unit", SERVICES)
def test_exposure_is_at_most_1_2(unit):
    template = Path("/usr/lib/systemd/system", unit.replace("@irc", "@"))
    rated = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=12", template],
                           capture_output=True, text=True)
    assert rated.returncode == 0, rated.stdout.splitlines()[-1]


@pytest.mark.parametrize("unit", SERVICES)
def test_sandbox_directives_come_in_the_same_order(unit):
    """So that two units can be compared by eye, and a missing line is seen."""
    def sandbox(name: str) -> list[str]:
        lines = Path("/usr/lib/systemd/system", name).read_text().partition("# Sandbox.")[2].splitlines()
        return [line.partition("=")[0] for line in lines if "=" in line and not line.startswith(("#", "["))
                and not line.startswith(("WantedBy", "Also"))]
    assert sandbox(unit.replace("@irc", "@")) == sandbox("spectrum2@.service")


def test_only_root_and_the_daemon_may_read_a_transport_file(prepared):
    assert may_read("spectrum", prepared.file)
    assert not may_read("spectrum-backend", prepared.file)
    assert not may_read("nobody", prepared.file)


async def test_a_missing_file_is_named(xmpp):
    status, _ = await systemctl("start", "spectrum2@nowhere.service")
    assert status != 0
    failed = subprocess.run(["systemctl", "status", "--no-pager", "spectrum2@nowhere.service"],
                            capture_output=True, text=True).stdout
    assert "/etc/spectrum2/transports/nowhere.cfg" in failed
    await systemctl("stop", "spectrum2-backend@nowhere.socket")


async def test_the_backends_configuration_has_no_secrets(transport):
    irc = await transport("irc", database__password="verona", service__admin_password="mercutio")
    await irc.backend_is_up()
    copy = Path("/run/spectrum2-backend/irc.cfg")
    text = copy.read_text()
    assert "prpl-irc" in text
    assert not [secret for secret in ("capulet", "verona", "mercutio") if secret in text]
    assert may_read("spectrum-backend", copy)
    assert not may_read("nobody", copy)


async def test_a_backend_sees_neither_secrets_nor_the_users_database(transport):
    irc = await transport("irc")
    await irc.backend_is_up()
    launcher = irc.property("MainPID", irc.backend_unit)
    for place in ("/etc/spectrum2/transports", "/var/lib/spectrum2"):
        # As the launcher sees the file system, and as root: only the sandbox can be in the way.
        seen = subprocess.run(["nsenter", "--target", launcher, "--mount", "ls", place], capture_output=True, text=True)
        assert seen.stdout == "", f"{place} is in the launcher's sight"


async def test_a_restart_of_the_daemon_leaves_launcher_and_socket_alone(transport):
    irc = await transport("irc")
    launcher = await irc.backend_is_up()
    await irc.restart()
    assert irc.property("MainPID", irc.backend_unit) == launcher


async def test_a_stop_of_the_daemon_stops_launcher_and_socket(transport):
    irc = await transport("irc")
    await irc.backend_is_up()
    await irc.stop()
    await irc.unit_is(irc.backend_unit, "inactive")
    await irc.unit_is(irc.socket_unit, "inactive")
    assert not Path("/run/spectrum2-backend/irc.sock").exists()


async def test_a_stop_while_the_launcher_starts_stops_it(transport):
    slow = Path("/run/systemd/system/spectrum2-backend@irc.service.d/slow.conf")
    slow.parent.mkdir(parents=True, exist_ok=True)
    slow.write_text("[Service]\nExecStartPre=/bin/sleep 1\n")
    await systemctl("daemon-reload")
    try:
        irc = await transport("irc")
        await irc.stop()
        await irc.unit_is(irc.socket_unit, "inactive")
        await irc.unit_is(irc.backend_unit, "inactive")
    finally:
        slow.unlink()
        await systemctl("daemon-reload")


async def test_the_target_stops_and_restarts_every_transport(transport):
    irc = await transport("irc")
    await systemctl("start", "spectrum2.target")
    before = irc.property("MainPID")
    await systemctl("restart", "spectrum2.target")
    await irc.unit_is(irc.unit, "active")
    assert irc.property("MainPID") != before
    await systemctl("stop", "spectrum2.target")
    await irc.unit_is(irc.unit, "inactive")


async def test_a_launcher_that_cannot_start_is_retried_and_the_socket_lives(transport):
    broken = Path("/run/systemd/system/spectrum2-backend@irc.service.d/broken.conf")
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_text("[Service]\nExecStart=\nExecStart=/bin/false\n")
    await systemctl("daemon-reload")
    irc = transport.prepared("irc")
    irc.write()
    try:
        await systemctl("start", "--no-block", irc.unit)
        await irc.property_is("NRestarts", "3", unit=irc.backend_unit)
        assert irc.property("ActiveState", irc.socket_unit) == "active"
    finally:
        broken.unlink()
        await systemctl("daemon-reload")
    await irc.unit_is(irc.backend_unit, "active")
    await irc.unit_is(irc.unit, "active")


async def test_status_tells_what_is_so(transport):
    irc = await transport("irc")
    assert "prosody.test" in irc.property("StatusText")


async def test_sigterm_ends_cleanly_in_two_seconds(transport):
    irc = await transport("irc")
    await irc.stop()
    assert irc.property("Result") == "success"
    assert irc.property("ExecMainStatus") == "0"
    began, ended = (int(irc.property(f"{moment}TimestampMonotonic")) for moment in ("ActiveExit", "InactiveEnter"))
    assert ended - began < 2_000_000


async def test_a_daemon_that_hangs_is_replaced(transport):
    """The watchdog, which is set to a second here, wants to see progress."""
    hasty = Path("/run/systemd/system/spectrum2@irc.service.d/hasty.conf")
    hasty.parent.mkdir(parents=True, exist_ok=True)
    hasty.write_text("[Service]\nWatchdogSec=1\nRestartSec=0\n")
    await systemctl("daemon-reload")
    try:
        irc = await transport("irc")
        stopped = int(irc.property("MainPID"))
        os.kill(stopped, signal.SIGSTOP)
        await irc.property_is("NRestarts", "1")
        await irc.unit_is(irc.unit, "active")
        assert int(irc.property("MainPID")) != stopped
    finally:
        hasty.unlink()
        await systemctl("daemon-reload")


def may_read(user: str, file: Path) -> bool:
    """Whether the user can open the file, all permissions on the way to it considered."""
    return subprocess.run(["runuser", "-u", user, "--", "cat", file], capture_output=True).returncode == 0
