"""A reload changes what can be changed while it runs, drops no session for it, and names what it takes more for."""

import os
import signal
import subprocess

import pytest

from admin import call, manager, until
from conversation import registration
from transport import systemctl

# Reloading does not care which server it is.
pytestmark = pytest.mark.prosody


async def by_systemctl(transport) -> None:
    status, output = await systemctl("reload", transport.unit)
    assert status == 0, output


async def by_signal(transport) -> None:
    os.kill(int(transport.property("MainPID")), signal.SIGHUP)


async def by_the_bus(transport) -> None:
    assert (await call(transport, "Reload")).json()["data"] == [[]]


async def by_the_manager(transport) -> None:
    assert (await manager(f"reload {transport.jid}")).out == f"{transport.name}: reloaded\n"


@pytest.mark.parametrize("reload", [by_systemctl, by_signal, by_the_bus, by_the_manager])
async def test_options_change_under_a_session_that_goes_on(xmpp, transport, irc, reload):
    gateway = await transport("irc")
    nurse, romeo = await irc.connect("nurse"), await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username="romeo")
    before = gateway.property("MainPID"), await gateway.backend_of_one()

    gateway.options["gateway_responder.prompt"] = "A nick, by any other name"
    gateway.options["registration.username_label"] = "Nick"
    gateway.options["identity.name"] = "Fair Verona"
    gateway.options["registration.enable_public_registration"] = 0
    gateway.write()
    await reload(gateway)

    async def is_asked_for_a_nick() -> bool:
        prompt = await romeo.asks(gateway.jid, "<query xmlns='jabber:iq:gateway'/>")
        return prompt.findtext("{jabber:iq:gateway}prompt") == "A nick, by any other name"
    await until(is_asked_for_a_nick, "the new prompt")
    form = await romeo.asks(gateway.jid, registration())
    assert form.find("{jabber:x:data}x/{jabber:x:data}field[@var='username']").get("label") == "Nick"
    told = await romeo.asks(gateway.jid, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
    assert told.find("{http://jabber.org/protocol/disco#info}identity").get("name") == "Fair Verona"
    juliet = await xmpp.login("juliet")
    await juliet.is_refused(gateway.jid, registration(username="juliet", password="x"), "set")

    assert (gateway.property("MainPID"), await gateway.backend_of_one()) == before
    assert gateway.property("ActiveState") == "active"
    romeo.says(f"nurse@{gateway.jid}", "Still here.")
    await nurse.hears("Still here.", by="romeo")


async def test_what_takes_a_restart_is_named_and_then_done(transport):
    """Options of the daemon and of backends; after a restart both obey them."""
    irc = await transport("irc")
    launcher = await irc.backend_is_up()
    irc.options |= {"service.max_stanza_size": 20000, "service.protocol": "prpl-jabber", "purple.port": 6668,
                    "service.login_delay": 1}
    irc.write()
    told = await manager("reload irc")
    assert (told.status, told.out) == (
        0, "irc: reloaded: takes a restart: purple.*, service.max_stanza_size, service.protocol\n"), told
    await irc.journal_says("need a restart of the transport: service.protocol, service.max_stanza_size, purple.*")

    assert (await manager("restart irc")).status == 0
    before, launcher = launcher, await irc.backend_is_up()
    assert launcher != before
    assert "irc (prpl-jabber)" in irc.property("StatusText", irc.backend_unit)

    # What backends do not read is no reason to disturb them.
    irc.options["service.max_stanza_size"] = 30000
    irc.write()
    await irc.restart()
    assert irc.property("MainPID", irc.backend_unit) == launcher


async def test_a_broken_file_changes_nothing(xmpp, transport, irc):
    gateway = await transport("irc")
    nurse, romeo = await irc.connect("nurse"), await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username="romeo")
    gateway.options |= {"gateway_responder.prompt": "Whom?", "service.users_per_backend": "many"}
    gateway.write()

    refused = await manager("reload irc")
    assert refused.status == 1 and "service.users_per_backend" in refused.err and "many" in refused.err
    assert (await call(gateway, "Reload")).status != 0
    status, _ = await systemctl("reload", gateway.unit)
    assert status != 0 and gateway.property("ActiveState") == "active"
    await gateway.journal_says("service.users_per_backend: “many”")
    await by_signal(gateway)
    await gateway.journal_says("is not reloaded, and stays as it was")
    gateway.file.unlink()
    gone = await manager("reload irc.prosody.test")
    assert gone.status == 1 and str(gateway.file) in gone.err, gone

    prompt = await romeo.asks(gateway.jid, "<query xmlns='jabber:iq:gateway'/>")
    assert prompt.findtext("{jabber:iq:gateway}prompt") == "Contact ID"
    assert await nurse.sees("romeo")


async def test_more_is_logged_of_one_user_for_some_time(xmpp, transport, irc):
    gateway = await transport("irc", service__log_level="info")
    romeo, juliet = await xmpp.login("romeo"), await xmpp.login("juliet")
    for wrong in ("log-level irc loud", "log-level irc debug --subsystem kitchen", "log-level irc debug --seconds 0"):
        assert (await manager(wrong)).status == 1, wrong

    raised = await manager(f"log-level irc trace --user {romeo.jid} --seconds 2")
    assert (raised.status, raised.out) == (0, "irc: logs from trace on for 2 s\n"), raised
    for person in (juliet, romeo):
        await person.logs_in(gateway.jid, username=person.jid.partition("@")[0])
    details = debugging(gateway)
    assert details and not [line for line in details if "juliet" in line], details


    async def is_quiet() -> bool:
        before = len(debugging(gateway))
        await romeo.pings(gateway.jid)
        return len(debugging(gateway)) == before
    await until(is_quiet, "the two seconds are over")

    # Of one subsystem, about everybody.
    assert (await manager("log-level irc debug --subsystem core --seconds 60")).status == 0
    juliet.goes_offline()
    await until(lambda: tells(gateway, "juliet"), "juliet's going is logged")


async def tells(transport, word: str) -> bool:
    return any(word in line for line in debugging(transport))


def debugging(transport) -> list[str]:
    """What the daemon has logged for those who look for faults."""
    shown = subprocess.run(["journalctl", "--no-pager", "--output=json", "--priority=7..7", f"--unit={transport.unit}",
                            f"_PID={transport.property('MainPID')}"], capture_output=True, text=True, check=True)
    return shown.stdout.splitlines()
