"""The admin interface over XMPP: words to the gateway, ad-hoc commands (XEP-0050) of XEP-0133, and users' own settings.

slixmpp's plugins for both are the independent client.
"""

import asyncio

import pytest
import slixmpp

from admin import manager, until
from conversation import PATIENCE, XmppUser, message

# The gateway answers by itself, whatever the server.
pytestmark = pytest.mark.prosody

ADMIN = "http://jabber.org/protocol/admin"
COMMANDS = "{http://jabber.org/protocol/commands}"


class Operator:
    """Somebody whose client knows ad-hoc commands."""

    def __init__(self, person: XmppUser, gateway: str):
        self.gateway = gateway
        self._client = person._client
        self._client.register_plugin("xep_0133")

    async def sees(self) -> set[str]:
        """Nodes of the commands that the gateway shows."""
        shown = await self._client["xep_0050"].get_commands(self.gateway, timeout=PATIENCE)
        return {node.removeprefix(f"{ADMIN}#") for _, node, _ in shown["disco_items"]["items"]}

    async def fills_in(self, command: str, **values: object) -> tuple[dict, list]:
        """Runs a command of XEP-0133 to its end; gives the values of the result and the notes."""
        begun = asyncio.get_running_loop().create_future()
        session = {"next": lambda iq, _: begun.set_result(iq),
                   "error": lambda iq, _: begun.set_exception(slixmpp.exceptions.IqError(iq))}
        getattr(self._client["xep_0133"], command.replace("-", "_"))(jid=self.gateway, session=session)
        iq = await asyncio.wait_for(begun, PATIENCE)
        form = iq["command"]["form"]
        if iq["command"]["status"] == "executing":
            unknown = values.keys() - form.get_fields().keys()
            assert not unknown, f"there is no {unknown} in {iq}"
            assert form.get_values()["FORM_TYPE"] == [ADMIN], iq
            form.reply()
            form.set_values(values)
            # The plugin tells nobody of an error from here on.
            iq = await self.sends(f"{ADMIN}#{command}", action="complete", payload=form,
                                  sessionid=iq["command"]["sessionid"])
            form = iq["command"]["form"]
        assert iq["command"]["status"] == "completed", iq
        return form.get_values(), iq["command"]["notes"]

    async def sends(self, node: str, **step: object) -> slixmpp.Iq:
        """One step of a command, as it is."""
        return await self._client["xep_0050"].send_command(self.gateway, node, timeout=PATIENCE, **step)

    async def is_refused(self, node: str, **step: object) -> tuple[str, str]:
        """One step that must fail: the condition, and that of XEP-0050 §4.5."""
        with pytest.raises(slixmpp.exceptions.IqError) as refused:
            await self.sends(node, **step)
        iq = refused.value.iq
        own = [child.tag.removeprefix(COMMANDS) for child in iq.xml.iter() if child.tag.startswith(COMMANDS)]
        return iq["error"]["condition"], own[-1] if own and own[-1] != "command" else ""


async def test_an_admin_manages_users_by_commands(xmpp, transport, irc):
    admins = ["prince@mantua.test", f"escalus@{xmpp.domain}"]
    gateway = await transport("irc", service__admin_jid=admins)
    await irc.connect("nurse")
    romeo, escalus = await xmpp.login("romeo"), await xmpp.login("escalus")
    await romeo.logs_in(gateway.jid, username="romeo")
    prince, subject = Operator(escalus, gateway.jid), Operator(romeo, gateway.jid)
    assert await subject.sees() == {"settings"}
    assert await prince.sees() == {
        "add-user", "delete-user", "end-user-session", "get-registered-users-num", "get-online-users-num",
        "get-registered-users-list", "get-online-users-list"}
    assert await subject.is_refused(f"{ADMIN}#delete-user") == ("forbidden", "")

    juliet = f"juliet@{xmpp.domain}"
    _, notes = await prince.fills_in("add-user", accountjid=juliet, legacy_name="juliet")
    assert notes == [("info", "Done.")]
    _, notes = await prince.fills_in("add-user", accountjid=juliet, legacy_name="juliet")
    assert notes == [("error", f"{juliet} is already registered with this transport.")]
    values, _ = await prince.fills_in("get-registered-users-num")
    assert (values["FORM_TYPE"], values["registeredusersnum"]) == ([ADMIN], "2")
    values, notes = await prince.fills_in("get-registered-users-list", max_items="none")
    assert (values["registereduserjids"], notes) == ([juliet, romeo.jid], [])

    async def counts() -> str:
        return (await prince.fills_in("get-online-users-num"))[0]["onlineusersnum"]
    assert await counts() == "1"
    values, _ = await prince.fills_in("get-online-users-list", max_items="25")
    assert values["onlineuserjids"] == [romeo.jid]
    _, notes = await prince.fills_in("end-user-session", accountjids=[f"{romeo.jid}/balcony"])
    assert notes == [("info", "Done.")] and await counts() == "0"
    _, notes = await prince.fills_in("delete-user", accountjids=[juliet, f"tybalt@{xmpp.domain}", romeo.jid])
    assert notes == [("error", f"tybalt@{xmpp.domain} is not registered with this transport.")]
    assert (await manager("--json users irc")).json() == []


async def test_settings_are_those_of_the_user_and_outlive_a_restart(xmpp, transport, irc):
    gateway = await transport("irc")
    await irc.connect("nurse")
    romeo = await xmpp.login("romeo")
    settings = Operator(romeo, gateway.jid)
    assert await settings.is_refused("settings") == ("registration-required", "")
    await romeo.logs_in(gateway.jid, username="romeo")

    first, second = [await settings.sends("settings") for _ in range(2)]
    sessions = [begun["command"]["sessionid"] for begun in (first, second)]
    assert sessions[0] != sessions[1]
    form = first["command"]["form"]
    assert form.get_values() == {"enable_transport": True, "send_headlines": False, "stay_connected": False}
    assert await settings.is_refused("settings", action="prev", sessionid=sessions[0]) == ("bad-request", "bad-action")
    assert await settings.is_refused("settings", action="complete", sessionid=sessions[0]) \
        == ("bad-request", "bad-payload")
    assert await settings.is_refused("settings", action="complete", sessionid="verona") \
        == ("bad-request", "bad-sessionid")
    assert await settings.is_refused("settings", action="dance") == ("bad-request", "malformed-action")
    assert await settings.is_refused("nonsense") == ("item-not-found", "")
    given_up = await settings.sends("settings", action="cancel", sessionid=sessions[1])
    assert given_up["command"]["status"] == "canceled"
    form.reply()
    form.set_values({"stay_connected": True})
    done = await settings.sends("settings", action="complete", sessionid=sessions[0], payload=form)
    assert done["command"]["status"] == "completed"
    for session in sessions:
        assert await settings.is_refused("settings", action="complete", sessionid=session, payload=form) \
            == ("not-allowed", "session-expired")

    await gateway.restart()
    await gateway.says_of_itself("connected to")

    async def shows() -> dict:
        return (await settings.sends("settings"))["command"]["form"].get_values()
    assert await shows() == {"enable_transport": True, "send_headlines": False, "stay_connected": True}


async def test_an_admin_writes_to_the_gateway(xmpp, transport):
    gateway = await transport("irc", service__admin_jid=["prince@mantua.test", f"escalus@{xmpp.domain}"])
    escalus, romeo = await xmpp.login("escalus"), await xmpp.login("romeo")

    async def told(line: str) -> str:
        escalus.says(gateway.jid, line)
        return await escalus.hears_from(gateway.jid)
    assert await until(lambda: is_ready(told), "a backend is there")
    assert await told("online_users_count") == "0"
    romeos = romeo.jid
    assert await told(f"register {romeos} romeo") == "Error: Argument is missing."
    assert await told(f"register {romeos} romeo wherefore") == "User registered"
    assert await told(f"register {romeos} romeo wherefore") == "Error: User is already registered"
    assert await told(f"has_online_user {romeos}") == "0"
    assert await told(f"unregister {romeos}") == f"User '{romeos}' unregistered."
    assert await told("unregister") == "Error: No username given."
    assert await told("get reload") == "Error: This variable cannot be get."
    assert await told("set status on") == "Error: This variable cannot be set."
    assert await told("reload") == "Config reloaded"
    assert await told("dance") == "Error: Unknown variable or command"
    # What is typed at the manager is answered in the same words.
    for line in ("help", "commands", "args register", "online_users_count"):
        assert (await manager(f"irc {line}")).out.strip() == (await told(line)).strip()
    assert "wherefore" not in gateway.journal()

    romeo.says(gateway.jid, "online_users")
    await romeo.receives(message(sender=gateway.jid, error="service-unavailable"))


async def is_ready(told) -> bool:
    return await told("status") == "Running (0 users connected using 1 backends)"
