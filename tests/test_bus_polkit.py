"""A transport on the bus, met by independent clients: busctl, and dbus-send and dbus-monitor of the reference library."""

import os
import pwd
import signal
import subprocess
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from admin import INTERFACE, OBJECT, Listener, Terminal, call, make_user, manager, run, until
from transport import journal, systemctl

# The bus does not care which server it is.
pytestmark = pytest.mark.prosody

RULES = Path("/etc/polkit-1/rules.d/00-spectrum2-tests.rules")


@pytest.fixture
def benvolio():
    """Somebody with an account on the machine."""
    return make_user("benvolio", "--create-home")


@pytest.fixture
async def polkit_lets():
    """`await polkit_lets(user, action, …)`: a rule of the admin, until the scenario ends."""
    async def let(user: str, *actions: str) -> None:
        RULES.write_text(f"""polkit.addRule(function(action, subject) {{
            if (subject.user == "{user}" && {list(actions)}.indexOf(action.id) >= 0) return polkit.Result.YES;
        }});\n""")
        await restart_polkit()
    yield let
    if RULES.exists():
        RULES.unlink()
        await restart_polkit()


@pytest.fixture
def password_of_root():
    """What somebody types to be an admin; after the scenario root has no password, as before."""
    subprocess.run(["chpasswd"], input="root:verona", text=True, check=True)
    yield "verona"
    subprocess.run(["usermod", "--lock", "root"], check=True)


def benvolio_types(transport, command: str) -> Terminal:
    """`spectrum2_manager COMMAND` at his terminal."""
    return Terminal("runuser", "-u", "benvolio", "--", "spectrum2_manager", command, transport.name)


async def restart_polkit() -> None:
    """It reads its rules then, and so often that systemd would take it for one that fails."""
    await systemctl("reset-failed", "polkit.service")
    status, output = await systemctl("restart", "polkit.service")
    assert status == 0, output


async def test_the_interface_is_the_one_that_is_shipped(transport):
    irc = await transport("irc")
    told = await run("busctl", "--system", "introspect", "--xml-interface", f"{INTERFACE}.irc", OBJECT)
    shipped = ET.parse(f"/usr/share/dbus-1/interfaces/{INTERFACE}.xml")
    assert declared(ET.fromstring(told.out[told.out.index("<node"):])) == declared(shipped.getroot())
    assert irc.property("ActiveState") == "active"


async def test_everybody_may_read_what_names_no_user(xmpp, transport, irc):
    gateway = await transport("irc")
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username="romeo")
    name = f"{INTERFACE}.irc"
    # A user who comes online is no change that is announced at once.
    await until(lambda: property_is("OnlineUsers", 1), "he is counted")
    read = await run("busctl", "--system", "--json=short", "call", name, OBJECT, "org.freedesktop.DBus.Properties",
                     "GetAll", "s", INTERFACE, user="nobody")
    properties = {key: value["data"] for key, value in read.json()["data"][0].items()}
    assert properties | {"Jid": gateway.jid, "XmppState": "connected", "OnlineUsers": 1, "RegisteredUsers": 1,
                         "Protocol": "prpl-irc", "Mode": "gateway", "Name": "irc"} == properties
    assert "romeo" not in read.out and "capulet" not in read.out
    again = await run("dbus-send", "--system", "--print-reply", f"--dest={name}", OBJECT,
                      "org.freedesktop.DBus.Properties.Get", f"string:{INTERFACE}", "string:Jid", user="nobody")
    assert f'"{gateway.jid}"' in again.out, again
    # There is nothing to be set, so nobody has the right to.
    for user in ("nobody", "root"):
        written = await run("dbus-send", "--system", "--print-reply", f"--dest={name}", OBJECT,
                            "org.freedesktop.DBus.Properties.Set", f"string:{INTERFACE}", "string:Jid",
                            "variant:string:x", user=user)
        assert written.status != 0 and "AccessDenied" in written.err, written
    # And nobody may pass himself off as a transport.
    taken = await run("busctl", "--system", "call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "RequestName",
                      "su", f"{INTERFACE}.icq", "0", user="nobody")
    assert taken.status != 0 and "Access denied" in taken.err, taken


# What each method takes; the rights that polkit asks for are named after the first two words of the action.
METHODS = {
    "inspect": [("ListUsers", "t", 0), ("GetUser", "s", "romeo@prosody.test"), ("ListBackends",),
                ("Command", "s", "online_users")],
    "manage-users": [("RegisterUser", "sssa{sv}", "juliet@prosody.test", "j@irc.test", "x", 0),
                     ("ExportUser", "s", "juliet@prosody.test"), ("LogoutUser", "s", "juliet@prosody.test"),
                     ("UnregisterUser", "s", "juliet@prosody.test"), ("Command", "s", "unregister nobody@prosody.test")],
    "manage-transport": [("Reload",), ("SetLogLevel", "sssu", "core", "", "info", 1), ("Command", "s", "reload")],
}


async def test_who_may_do_what(transport, benvolio, polkit_lets):
    irc = await transport("irc")
    assert (await call(irc, "RegisterUser", "sssa{sv}", "romeo@prosody.test", "romeo@irc.test", "x", 0)).status == 0

    async def may(user: str) -> list[str]:
        """The rights of which every method lets him; each lets all or none."""
        rights = []
        for right, methods in METHODS.items():
            told = [await call(irc, *method, user=user) for method in methods]
            refusals = [each.err for each in told if each.status != 0]
            assert len(refusals) in (0, len(methods)), (user, right, refusals)
            assert all(f"im.spectrum.transport1.{right}" in each for each in refusals), refusals
            rights += [] if refusals else [right]
        return rights

    assert await may("root") == list(METHODS)
    assert await may("spectrum") == list(METHODS)
    assert await may("nobody") == []
    assert await may(benvolio) == []
    await polkit_lets(benvolio, "im.spectrum.transport1.inspect")
    assert await may(benvolio) == ["inspect"]
    await polkit_lets(benvolio, "im.spectrum.transport1.inspect", "im.spectrum.transport1.manage-users")
    assert await may(benvolio) == ["inspect", "manage-users"]
    assert await may("nobody") == []
    said = irc.journal()
    assert f"Reload, asked for over the bus by user {pwd.getpwnam('spectrum').pw_uid}" in said


async def test_the_manager_in_other_hands(transport, benvolio, polkit_lets):
    """It says which right is missing; with the rights of polkit it manages the transport without root."""
    irc = await transport("irc")
    refused = await manager("users irc", user=benvolio)
    assert (refused.status, "im.spectrum.transport1.inspect" in refused.err) == (4, True), refused
    seen = await manager("status irc", user=benvolio)
    assert (seen.status, "running, connected" in seen.out) == (0, True), seen
    assert "The logins of users are not shown" in seen.err
    stopped = await manager("stop irc", user=benvolio)
    assert stopped.status == 4 and irc.property("ActiveState") == "active", stopped

    await polkit_lets(benvolio, "im.spectrum.transport1.inspect", "im.spectrum.transport1.manage-transport",
                      "org.freedesktop.systemd1.manage-units")
    assert (await manager("--json users irc", user=benvolio)).json() == []
    assert (await manager("reload irc", user=benvolio)).out == "irc: reloaded\n"
    stopped = await manager("stop irc", user=benvolio)
    assert (stopped.status, irc.property("ActiveState")) == (0, "inactive"), stopped


async def test_who_sits_at_a_terminal_is_asked_for_the_password_of_an_admin(transport, benvolio, password_of_root):
    """He is in no session of logind, as who comes by su(1): polkit takes an agent of his own all the same."""
    irc = await transport("irc")
    began = time.time()
    admin = benvolio_types(irc, "users")
    await admin.sees("Authentication is required to see who uses an XMPP transport.")
    await admin.gives_password("Password: ", password_of_root)
    await admin.sees("AUTHENTICATION COMPLETE")
    assert await admin.ends() == 0, admin.seen
    assert password_of_root not in admin.seen
    await until(lambda: polkit_says(began, "successfully authenticated as unix-user:root"), "polkit has let him")
    await until(lambda: polkit_says(began, "Unregistered Authentication Agent"), "its agent ends with it")
    # What he may change is another matter, and a wrong password is none.
    admin = benvolio_types(irc, "reload")
    await admin.sees("Authentication is required to manage an XMPP transport.")
    await admin.gives_password("Password: ", "escalus")
    await admin.sees("AUTHENTICATION FAILED")
    await admin.sees("This needs the authorization im.spectrum.transport1.manage-transport")
    assert await admin.ends() == 4, admin.seen
    # So is a unit, of which systemd asks polkit.
    admin = benvolio_types(irc, "stop")
    await admin.gives_password("Password: ", password_of_root)
    assert await admin.ends() == 0, admin.seen
    assert irc.property("ActiveState") == "inactive"


async def test_who_has_no_terminal_and_who_is_root_are_not_asked(transport, benvolio):
    irc = await transport("irc")
    began = time.time()
    assert (await manager("users irc", user=benvolio)).status == 4
    root = Terminal("spectrum2_manager", "users", irc.name)
    assert await root.ends() == 0
    assert not await polkit_says(began, "Registered Authentication Agent")


async def test_without_polkit_it_is_root_and_the_daemon_alone(transport, benvolio):
    irc = await transport("irc")
    await systemctl("mask", "--runtime", "--now", "polkit.service")
    try:
        for user in ("root", "spectrum"):
            listed = await call(irc, "ListUsers", "t", 0, user=user)
            assert listed.status == 0, listed
        refused = await call(irc, "ListUsers", "t", 0, user=benvolio)
        assert refused.status != 0 and "Without polkit only root" in refused.err
    finally:
        await systemctl("unmask", "--runtime", "polkit.service")
        await restart_polkit()


async def test_a_polkit_that_hangs_holds_up_nobody_else(transport, benvolio):
    irc = await transport("irc")
    await restart_polkit()
    polkit = int(irc.property("MainPID", "polkit.service"))
    os.kill(polkit, signal.SIGSTOP)
    try:
        waits = await manager("--timeout 1 users irc", user=benvolio)
        assert (waits.status, "irc does not answer" in waits.err) == (69, True), waits
        assert (await manager("--timeout 1 users irc")).status == 0
    finally:
        os.kill(polkit, signal.SIGCONT)


async def test_changes_are_announced_and_users_only_to_root(xmpp, transport, irc):
    gateway = await transport("irc", service__users_per_backend=1)
    of_ours = f"type='signal',path='{OBJECT}'"
    root, nobody = await Listener.starts(of_ours), await Listener.starts(of_ours, user="nobody")
    try:
        romeo = await xmpp.login("romeo")
        await romeo.logs_in(gateway.jid, username="romeo")
        for state in ("connecting", "online"):
            await root.hears(f'string "{romeo.jid}"\n   string "{state}"')
        os.kill(await gateway.backend_of_one(), signal.SIGSEGV)
        for listener in (root, nobody):
            await listener.hears("member=BackendLost")
            await listener.hears(", 1 user online")
            await listener.hears('string "Backends"\n         variant             uint32 1')
        await systemctl("stop", xmpp.unit)
        try:
            for listener in (root, nobody):
                await listener.hears('string "XmppState"\n         variant             string "waiting"')
        finally:
            await systemctl("start", xmpp.unit)
        for listener in (root, nobody):
            await listener.hears('string "XmppState"\n         variant             string "connected"', within=30)
    finally:
        await root.ends()
        await nobody.ends()
    await xmpp.login("romeo")
    assert "UserStateChanged" in root.heard
    assert "UserStateChanged" not in nobody.heard and "romeo" not in nobody.heard
    # Counters are to be asked for: they are declared so.
    assert "OnlineUsers" not in root.heard


async def test_a_bus_that_is_away_costs_nothing_but_the_bus(xmpp, transport, irc):
    """The transport works without, and is back on the next one."""
    gateway = await transport("irc")
    nurse, romeo = await irc.connect("nurse"), await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username="romeo")
    pid = gateway.property("MainPID")
    await systemctl("restart", "dbus.service")
    await until(lambda: property_is("XmppState", "connected"), "it has its name again", within=20)
    assert gateway.property("MainPID") == pid
    assert await nurse.sees("romeo")
    await romeo.pings(gateway.jid)


async def polkit_says(since: float, text: str) -> bool:
    return text in journal(units=["polkit.service"], since=since)


async def property_is(name: str, value: object) -> bool:
    read = await run("busctl", "--system", "--json=short", "get-property", f"{INTERFACE}.irc", OBJECT, INTERFACE, name)
    return read.status == 0 and read.json()["data"] == value


def declared(node: ET.Element) -> dict:
    """What an interface has, without its documentation: name to arguments, or to type, access and announcement."""
    (ours,) = [each for each in node if each.get("name") == INTERFACE]
    members = {}
    for member in ours:
        if member.tag == "property":
            (announced, *_) = [each.get("value") for each in member.findall("annotation")] or ["true"]
            told = (member.get("type"), member.get("access"), announced)
        else:
            told = [(each.get("name"), each.get("type"), each.get("direction", "out")) for each in member.findall("arg")]
        members[member.tag, member.get("name")] = told
    assert members
    return members
