"""spectrum2-generator and spectrum2.target: what starts at boot, as whom, and with which directories.

`systemctl daemon-reload` runs the generators as a boot does, and a start of the target is what the boot then asks for.
"""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest

from admin import make_user, manager, report
from transport import systemctl

# Units do not care which server it is.
pytestmark = pytest.mark.prosody

GENERATOR = Path("/usr/lib/systemd/system-generators/spectrum2-generator")
MADE = Path("/run/systemd/generator")


@pytest.fixture
def montague():
    """A user that transports of his own run as."""
    return make_user("montague", "--system")


@pytest.fixture(autouse=True)
async def generated():
    """Each scenario begins and ends with what the files of the others do not call for."""
    await systemctl("daemon-reload")
    yield
    await systemctl("daemon-reload")


async def boot() -> None:
    """What happens to units when the machine starts: generators first, then the target."""
    await systemctl("daemon-reload")
    await systemctl("start", "spectrum2.target")


async def test_a_boot_starts_the_enabled_ones_and_broken_files_stop_nobody(transport):
    irc, chat = transport.prepared("irc"), transport.prepared("xmpp", service__protocol="prpl-jabber")
    broken, off = transport.prepared("trusted", service__port="many", service__user="a b"), Path(irc.file.parent, "off.cfg")
    for each in (irc, chat, broken):
        each.write()
    off.write_text(irc.file.read_text())
    # What must not hold up a boot: a pipe that nobody writes to, a directory, a file that is none, a name that is none.
    junk = [Path(irc.file.parent, name) for name in ("pipe.cfg", "directory.cfg", "noise.cfg", "Bad-Name.cfg")]
    os.mkfifo(junk[0]), junk[1].mkdir(), junk[2].write_bytes(os.urandom(4096)), junk[3].write_text("[service]\nuser=x\n")
    try:
        await systemctl("enable", irc.unit, chat.unit, broken.unit)
        await boot()
        for each in (irc, chat):
            await each.unit_is(each.unit, "active")
        await broken.unit_is(broken.unit, "failed")
        _, state = await systemctl("is-active", "spectrum2@off.service")
        assert state.strip() == "inactive"
        # One that is no longer enabled takes no other one with it.
        await systemctl("disable", broken.unit)
        wanted = subprocess.run(["systemctl", "show", "--value", "--property=Wants", "multi-user.target"],
                                capture_output=True, text=True).stdout
        assert "spectrum2.target" in wanted.split()

        before = irc.property("MainPID"), chat.property("MainPID")
        await systemctl("restart", "spectrum2.target")
        for each, pid in zip((irc, chat), before):
            await each.unit_is(each.unit, "active")
            assert each.property("MainPID") != pid
    finally:
        await systemctl("stop", "spectrum2.target")
        await systemctl("disable", irc.unit, chat.unit, broken.unit)
        for each in [*junk, off]:
            each.rmdir() if each.is_dir() else each.unlink()


async def test_another_user_runs_the_transport_in_places_of_his_own(transport, montague, tmp_path):
    """service.user, service.working_dir and service.pidfile, of which the shipped unit knows nothing."""
    place = Path("/srv/montague")
    place.mkdir(exist_ok=True)
    os.chown(place, pwd.getpwnam(montague).pw_uid, -1)
    neighbour = await transport("xmpp", service__protocol="prpl-jabber")
    irc = transport.prepared("irc", service__user=montague, service__working_dir=place, service__pidfile=place / "pid")
    irc.write()
    await systemctl("daemon-reload")
    status, output = await systemctl("start", irc.unit)
    assert status == 0, output + irc.journal()
    await irc.backend_is_up()

    assert runs_as(irc.property("MainPID")) == montague
    assert (irc.property("User"), neighbour.property("User")) == (montague, "spectrum")
    assert Path(f"/proc/{irc.property('MainPID')}/cwd").readlink() == place
    # The database is where it is by default, and nobody but him can look into it.
    data = Path("/var/lib/spectrum2", irc.jid)
    assert (data.owner(), oct(data.stat().st_mode & 0o777)) == (montague, "0o700")
    assert (data / "database.sql").exists()
    assert neighbour.property("ActiveState") == "active"
    assert Path("/var/lib/spectrum2").owner() == "spectrum"
    # The bus knows him as well.
    assert (await report(irc))["state"] == "running"

    # An admin's drop-in goes before all that.
    override = Path(f"/run/systemd/system/{irc.unit}.d/90-admin.conf")
    override.parent.mkdir(parents=True, exist_ok=True)
    override.write_text("[Service]\nNice=5\nStateDirectoryMode=0750\n")
    try:
        await systemctl("daemon-reload")
        assert (irc.property("User"), irc.property("Nice")) == (montague, "5")
        assert irc.property("StateDirectoryMode") == "0750"
    finally:
        shutil.rmtree(override.parent)


async def test_a_changed_file_is_noticed_before_it_matters(transport, montague):
    irc = await transport("irc")
    assert not (await report(irc))["is_stale"]
    irc.options["service.user"] = montague
    irc.write()
    assert (await report(irc))["is_stale"]
    assert "its units have changed since it was started" in (await manager("status irc")).out

    await irc.stop()
    Path("/var/lib/spectrum2", irc.jid).rename("/var/lib/spectrum2/before")
    restarted = await manager("restart irc")
    try:
        assert (restarted.status, runs_as(irc.property("MainPID"))) == (0, montague), restarted
        assert not (await report(irc))["is_stale"]
        assert (MADE / f"{irc.unit}.d/50-transport-file.conf").exists()

        irc.options["service.user"] = None
        irc.write()
        await irc.stop()
        shutil.rmtree(f"/var/lib/spectrum2/{irc.jid}")
        assert (await manager("start irc")).status == 0
        assert runs_as(irc.property("MainPID")) == "spectrum"
        assert not (MADE / f"{irc.unit}.d").exists()
    finally:
        shutil.rmtree("/var/lib/spectrum2/before")


async def test_a_start_needs_no_generator(transport):
    aside = shutil.move(GENERATOR, "/run/spectrum2-generator")
    try:
        await systemctl("daemon-reload")
        irc = await transport("irc")
        await irc.backend_is_up()
    finally:
        shutil.move(aside, GENERATOR)


def runs_as(pid: str) -> str:
    """The user of a process."""
    return Path("/proc", pid).owner()
