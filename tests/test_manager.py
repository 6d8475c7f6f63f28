"""spectrum2_manager, as admins type it: what it says is so, what it does is done when it ends, and it does end."""

import asyncio
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from admin import Terminal, manager, report, run, until
from transport import SECRET, systemctl

# The manager does not care which server it is.
pytestmark = pytest.mark.prosody

TRANSPORTS = Path("/etc/spectrum2/transports")


async def test_status_tells_what_is_so(transport):
    irc = transport.prepared("irc")
    irc.write()
    stopped = await manager("status irc")
    assert (stopped.status, "stopped" in stopped.out) == (3, True)

    started = await manager("start irc.prosody.test")
    assert (started.status, started.out) == (0, "irc: started\n"), started
    await irc.backend_is_up()
    running = await report(irc)
    assert (running["state"], running["jid"], running["pid"]) == ("running", irc.jid, int(irc.property("MainPID")))
    # The container counts nothing for units: these are summed up by hand, of the daemon and the backends.
    assert running["memory"] > 20_000_000 and running["cpu"] > 0 and running["tasks"] > 3
    assert (await manager("status irc.prosody.test")).status == 0

    os.kill(running["pid"], signal.SIGKILL)
    await until(lambda: state_is(irc, "failed"), "the manager sees that it died")
    failed = await report(irc)
    assert "signal 9" in failed["detail"] and "again soon" in failed["detail"]


async def test_status_of_a_transport_whose_server_is_not_there(transport):
    irc = transport.prepared("irc", service__port=5999)
    irc.write()
    started = await manager("--timeout 1 start irc")
    assert started.status == 3
    assert started.err.startswith("irc: starting: it is not ready yet: ")
    assert "refused" in started.err
    waiting = await report(irc)
    assert waiting["state"] == "waiting" and "refused" in waiting["detail"]
    assert (await manager("status")).status == 3


async def test_a_hung_daemon_is_shown_as_hung_and_nothing_else_hangs(transport):
    irc, chat = await transport("irc"), await transport("xmpp", service__protocol="prpl-jabber")
    os.kill(int(irc.property("MainPID")), signal.SIGSTOP)
    began = time.monotonic()
    all_of_them = await manager("--json status")
    assert [(each["name"], each["state"]) for each in all_of_them.json()] == [("irc", "hung"), ("xmpp", "running")]
    assert all_of_them.status == 3
    alone = await manager("status irc")
    assert "hung, its process runs, but does not answer" in alone.out
    assert "next:       spectrum2_manager restart irc" in alone.out
    for command in ("users irc", "backends irc", "irc online_users_count", "reload irc", "log-level irc debug"):
        silent = await manager(f"--timeout 1 {command}")
        assert (silent.status, "irc does not answer" in silent.err) == (69, True), (command, silent)
    assert time.monotonic() - began < 15

    restarted = await manager("restart irc")
    assert (restarted.status, (await report(irc))["state"]) == (0, "running"), restarted
    assert chat.property("NRestarts") == "0"


async def test_without_names_all_are_meant_and_a_broken_file_stops_no_other(transport):
    irc, chat = transport.prepared("irc"), transport.prepared("xmpp", service__protocol="prpl-jabber")
    broken = transport.prepared("trusted", service__port="many")
    for each in (irc, chat, broken):
        each.write()
    listed = await manager("list")
    assert listed.out.split() == [irc.jid, broken.jid, chat.jid]

    started = await manager("start")
    assert started.status == 1
    assert sorted(started.out.splitlines()) == ["irc: started", "xmpp: started"]
    assert started.err.startswith("trusted: failed: ") and "service.port" in started.err
    before = irc.property("MainPID"), chat.property("MainPID")

    # Those that run, with these two.
    assert (await manager("reload")).out == "irc: reloaded\nxmpp: reloaded\n"
    restarted = await manager("restart")
    assert (restarted.status, restarted.out) == (0, "irc: restarted\nxmpp: restarted\n"), restarted
    assert not {irc.property("MainPID"), chat.property("MainPID")} & set(before)

    assert (await manager("stop")).status == 0
    assert [each.property("ActiveState") for each in (irc, chat, broken)] == ["inactive"] * 3
    checked = await manager("check")
    assert checked.status == 78 and "trusted.cfg:4: service.port" in checked.out
    gone = await manager("reload irc")
    assert (gone.status, gone.err.startswith("irc: not reloaded: it does not run")) == (3, True)
    assert "it cannot start" in (await report(broken))["detail"]


async def test_enabled_transports_are_wanted_at_boot(transport):
    irc, chat = transport.prepared("irc"), transport.prepared("xmpp", service__protocol="prpl-jabber")
    irc.write(), chat.write()
    assert (await manager("enable irc.prosody.test xmpp")).out == "irc: enabled\nxmpp: enabled\n"
    assert [each.property("UnitFileState") for each in (irc, chat)] == ["enabled"] * 2
    assert (await manager("disable irc")).out == "irc: disabled\n"
    assert [each.property("UnitFileState") for each in (irc, chat)] == ["disabled", "enabled"]
    # systemctl takes the target's own link away with the first one that is disabled.
    wanted = subprocess.run(["systemctl", "show", "--value", "--property=Wants", "multi-user.target"],
                            capture_output=True, text=True).stdout
    assert "spectrum2.target" in wanted.split()
    assert (await manager("disable")).status == 0


async def test_users_are_told_apart_by_their_state(xmpp, transport, network, irc):
    gateway = await transport("irc")
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username="romeo")
    users = (await manager("--json users irc")).json()
    assert [(user["jid"], user["account"], user["state"]) for user in users] == [
        (romeo.jid, "romeo@irc.test", "online")]
    (backend,) = (await manager("--json backends irc.prosody.test")).json()
    assert (backend["users"], backend["jids"], backend["pid"]) == (1, [romeo.jid], await gateway.backend_of_one())
    assert "not online" not in (await manager("status irc")).out

    # Nobody is there: it goes on trying.
    juliet = await xmpp.login("juliet")
    elsewhere = await transport("xmpp", registration__username_mask="$username@127.0.0.9")
    await juliet.registers(elsewhere.jid, username="juliet")
    await until(lambda: user_is(elsewhere, juliet.jid, "retrying"), "juliet is tried again")
    shown = (await manager("status xmpp")).out
    assert re.search(r"juliet@prosody.test +juliet@127.0.0.9 +retrying .*in \d+ s .*refused", shown), shown

    # Nobody but the user can mend it.
    await network.login("tybalt", online=False)
    tybalt = await xmpp.login("tybalt")
    other = await transport("trusted", service__protocol="prpl-jabber")
    await tybalt.registers(other.jid, username=f"tybalt@{network.domain}", password="wrong")
    await until(lambda: user_is(other, tybalt.jid, "refused"), "tybalt is refused")
    assert "not online: 1 user" in (await manager("status trusted")).out


async def test_users_are_registered_looked_at_and_erased(xmpp, transport, irc):
    gateway = await transport("irc")
    nurse = await irc.connect("nurse")
    romeo = await xmpp.login("romeo")
    done = await manager(f"user register --no-password irc {romeo.jid} romeo@irc.test")
    assert (done.status, done.out) == (0, f"irc: {romeo.jid} registered\n"), done
    again = await manager(f"user register irc {romeo.jid} romeo@irc.test", text="rosaline\n")
    assert again.status == 1 and "already" in again.err
    await romeo.pings(gateway.jid)
    romeo.comes_online(to=gateway.jid)
    await nurse.gets_sight_of("romeo")

    shown = (await manager(f"--json user show irc.prosody.test {romeo.jid}")).json()
    assert (shown["LegacyName"], shown["State"]) == ("romeo@irc.test", "online")
    assert (await manager(f"user logout irc {romeo.jid}")).status == 0
    await nurse.loses_sight_of("romeo")
    assert (await manager(f"user login irc {romeo.jid}")).status == 0
    await nurse.gets_sight_of("romeo")

    exported = await manager(f"user export irc {romeo.jid}")
    assert json.loads(exported.out)["legacy_name"] == "romeo@irc.test"
    assert (await manager(f"user erase irc {romeo.jid}")).status == 64, "nobody said yes"
    erased = await manager(f"user erase --yes irc {romeo.jid}")
    assert (erased.status, erased.out) == (0, f"irc: {romeo.jid} erased\n"), erased
    await nurse.loses_sight_of("romeo")
    assert (await manager("--json users irc")).json() == []

    # A password is taken, and shown nowhere.
    assert (await manager(f"user register irc {romeo.jid} romeo@irc.test", text="rosaline\n")).status == 0
    shown, exported = await manager(f"user show irc {romeo.jid}"), await manager(f"user export irc {romeo.jid}")
    assert (shown.status, exported.status) == (0, 0)
    assert "rosaline" not in shown.out + exported.out + gateway.journal()
    assert (await manager(f"user unregister irc {romeo.jid}")).status == 0
    gone = await manager(f"user show irc {romeo.jid}")
    assert gone.status == 1 and "is not registered" in gone.err


async def test_what_munin_asks(xmpp, transport, irc):
    """process-model.md: the bundled plugin wants a bare integer from each of these."""
    gateway = await transport("irc")
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username="romeo")
    for variable in ("uptime", "backends_count", "crashed_backends_count", "online_users_count", "messages_from_xmpp",
                     "messages_to_xmpp", "used_memory", "average_memory_per_user"):
        told = await manager(f"{gateway.jid} {variable}")
        assert (told.status, re.fullmatch(r"\d+\n", told.out) is not None) == (0, True), (variable, told)
    assert (await manager("irc status")).out == "Running (1 users connected using 1 backends)\n"
    assert (await manager(f"irc has_online_user {romeo.jid}")).out == "1\n"
    assert romeo.jid in (await manager("irc online_users")).out
    unknown = await manager("irc nonsense")
    assert unknown.status == 1 and unknown.out.startswith("Error:")


async def test_a_transport_is_created_from_nothing_and_removed(tmp_path):
    """The server knows the component already, and the admin its secret."""
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    command = "create --name new --jid irc.prosody.test --server prosody.test --protocol prpl-irc --xmpp-server prosody"
    try:
        created = await manager(f"{command} --secret-file {secret}")
        assert created.status == 0, created
        assert f'component_secret = "{SECRET}"' in created.out and created.out.endswith("new: started\n")
        told = [f"{each.name} {each.stat().st_mode & 0o777:o} {each.owner()} {each.group()}"
                for each in sorted(TRANSPORTS.glob("new.*"))]
        assert told == ["new.cfg 640 root spectrum", "new.secret 640 root spectrum"]
        assert SECRET not in (TRANSPORTS / "new.cfg").read_text()
        running = (await manager("--json status new")).json()[0]
        assert (running["state"], running["enabled"]) == ("running", "enabled")
        assert (await manager("check new")).out.endswith("ok\n")
        twin = await manager(f"{command.replace('--name new', '--name twin')}")
        assert twin.status == 1 and "irc.prosody.test is the JID of new already" in twin.err
    finally:
        removed = await manager("remove --yes new")
    assert (removed.status, removed.out) == (0, "new: removed\n"), removed
    assert list(TRANSPORTS.glob("new.*")) == []
    _, state = await systemctl("is-active", "spectrum2@new.service")
    assert state.strip() == "inactive"
    _, _ = await systemctl("reset-failed", "spectrum2@new.service")


async def test_who_sits_at_a_terminal_is_asked_and_sees_how_it_goes(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    admin = Terminal("spectrum2_manager", "create", "--secret-file", str(secret))
    try:
        # Who types something wrong is told what, and asked again.
        await admin.answers("JID of the transport: ", "romeo@prosody.test")
        await admin.sees("“romeo@prosody.test” has an @; a transport is a whole domain")
        for question, answer in (("JID of the transport: ", "irc.prosody.test"),
                                 ("Name for systemd [irc]: ", "New"), ("Name for systemd [irc]: ", "new"),
                                 ("Protocol, for example prpl-irc: ", "prpl-irc"),
                                 ("Host of the XMPP server [127.0.0.1]: ", "prosody.test"),
                                 ("Component port of the XMPP server [5347]: ", "many"),
                                 ("Component port of the XMPP server [5347]: ", ""),
                                 ("Kind of the XMPP server [prosody]: ", "openfire"),
                                 ("Kind of the XMPP server [prosody]: ", "")):
            await admin.answers(question, answer)
        await admin.sees("new: started")
        assert await admin.ends() == 0
        assert "starting new: 0 of 1" in admin.seen
        looking = Terminal("spectrum2_manager", "status")
        await looking.sees("\x1b[32mrunning\x1b[0m")
        assert await looking.ends() == 0
        changing_his_mind = Terminal("spectrum2_manager", "remove", "new")
        await changing_his_mind.answers("Stop new and remove its file?", "no")
        await changing_his_mind.sees("Nothing was changed.")
        assert await changing_his_mind.ends() == 1
        assert (TRANSPORTS / "new.cfg").exists()
    finally:
        removed = await manager("--json remove --yes new")
    assert removed.json()[0]["result"] == "removed"


async def test_a_bus_that_hangs_hangs_nobody(transport):
    irc = await transport("irc")
    bus = int(irc.property("MainPID", "dbus.service"))
    os.kill(bus, signal.SIGSTOP)
    try:
        for command in ("status", "stop irc", "users irc"):
            hung = await asyncio.wait_for(manager(f"--timeout 1 {command}"), 10)
            assert (hung.status, "bus does not answer" in hung.err) == (69, True), hung
    finally:
        os.kill(bus, signal.SIGCONT)
    assert (await manager("status irc")).status == 0


async def test_the_lines_for_prosody_are_all_that_it_needs(xmpp):
    """Created before the server knows it: the reason is told, and once the lines are there it is let in."""
    configuration = Path("/etc/prosody/prosody.cfg.lua")
    before = configuration.read_text()
    try:
        created = await manager("--timeout 1 create --name new --jid new.prosody.test --server prosody.test "
                                "--protocol prpl-irc --xmpp-server prosody --generate")
        assert created.status == 3, created
        assert "host-unknown" in created.err and "spectrum2_manager status new" in created.err
        configuration.write_text(before + created.out)
        await systemctl("restart", xmpp.unit)
        running = await until(lambda: shows("new", "running"), "the transport is connected", within=30)
        assert "connected for" in running["detail"]
    finally:
        await manager("remove --yes new")
        configuration.write_text(before)
        await systemctl("restart", xmpp.unit)
        await until(xmpp.listens, "Prosody is back")


async def test_the_lines_for_ejabberd_are_all_that_it_needs():
    """Its sections are there already, so each gets the lines that are for it."""
    configuration = Path("/etc/ejabberd/ejabberd.yml")
    before = configuration.read_text()
    try:
        created = await manager("--timeout 1 create --name new --jid new.ejabberd.test --server 127.0.0.1 --port 5348 "
                                "--protocol prpl-irc --xmpp-server ejabberd --generate")
        assert (created.status, "refused" in created.err) == (3, True), created
        # The module is there with another rule.
        merged = re.sub(r"^  mod_privilege:\n(    .*\n)+", "", before, flags=re.MULTILINE)
        for section, lines in re.findall(r"^(\w+:\n)((?: .*\n)+)", created.out, re.MULTILINE):
            assert f"\n{section}" in merged
            merged = merged.replace(f"\n{section}", f"\n{section}{lines}", 1)
        configuration.write_text(merged)
        assert (await run("ejabberdctl", "reload_config")).status == 0
        await until(lambda: shows("new", "running"), "the transport is connected", within=30)
    finally:
        await manager("remove --yes new")
        configuration.write_text(before)
        assert (await run("ejabberdctl", "reload_config")).status == 0


async def test_the_journal_of_daemon_and_backends(transport):
    gateway = await transport("irc")
    await gateway.backend_is_up()
    shown = await manager("log irc")
    assert "Connected to prosody.test:5347 as irc.prosody.test" in shown.out
    assert "Started spectrum2-backend@irc.service" in shown.out
    following = await asyncio.create_subprocess_exec("spectrum2_manager", "log", "--follow", "-n", "0", "irc",
                                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    # It shows nothing of what was before, so that the first line is the one of the next stop.
    await asyncio.wait_for(follows(following), 10)
    await gateway.stop()
    heard = ""
    while "Stopped spectrum2@irc.service" not in heard:
        heard += (await asyncio.wait_for(following.stdout.readline(), 10)).decode()
    following.terminate()
    await following.wait()


async def test_settings_of_the_web_interface_are_answered_honestly(tmp_path, transport):
    irc = transport.prepared("irc")
    irc.write()
    settings = tmp_path / "spectrum_manager.cfg"
    settings.write_text("[service]\nadmin_username=admin\nadmin_password=verona\nport=8080\n"
                        f"config_directory={TRANSPORTS}\n")
    listed = await manager(f"-c {settings} list")
    assert (listed.status, listed.out) == (0, "irc.prosody.test\n")
    assert "service.admin_username, service.port do nothing" in listed.err and "spectrum2_manager status" in listed.err
    assert "verona" not in listed.err
    assert (await manager("server")).status == 69


async def test_without_systemd_pid_files_must_do(transport):
    """A chroot: neither systemd nor a bus is in sight."""
    irc = transport.prepared("irc", service__pidfile="/run/spectrum2/chroot.pid")
    irc.write()
    chroot = await asyncio.create_subprocess_exec(
        "unshare", "--mount", "sh", "-c", "mount -t tmpfs none /run/systemd && mount -t tmpfs none /run/dbus && "
        "exec spectrum2_manager start irc", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    async def inside(line: str):
        return await run("nsenter", "--target", chroot.pid, "--mount", "spectrum2_manager", *line.split())

    async def is_up():
        reports = await inside("--json status irc")
        return reports.status == 0 and reports.json()[0]["state"] == "unknown" and reports
    try:
        seen = await until(is_up, "the pid file is held")
        assert seen.json()[0]["pid"] == chroot.pid
        assert "systemd does not run here" in seen.err
        assert (await inside("enable irc")).status == 69
        assert (await inside("users irc")).status == 69
        stopped = await inside("stop")
        assert (stopped.status, stopped.out) == (0, "irc: stopped\n"), stopped
        assert await asyncio.wait_for(chroot.wait(), 10) == 0
    finally:
        if chroot.returncode is None:
            chroot.kill()


async def shows(name: str, state: str) -> dict | None:
    told = (await manager(f"--json status {name}")).json()[0]
    return told if told["state"] == state else None


async def state_is(instance, state: str) -> dict | None:
    return await shows(instance.name, state)


async def user_is(instance, jid: str, state: str) -> bool:
    users = (await manager(f"--json users {instance.name}")).json()
    return any(user["jid"] == jid and user["state"] == state for user in users)


async def follows(process: asyncio.subprocess.Process) -> None:
    """Waits until journalctl, which the manager became, watches the journal."""
    while "inotify" not in " ".join(os.readlink(each) for each in Path(f"/proc/{process.pid}/fd").iterdir()):
        await asyncio.sleep(0.02)
