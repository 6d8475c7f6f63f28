"""XEP-0077: the form, registering, changing, giving up, and who may not."""

import pytest

from conversation import message, presence, registration

REGISTER = "{jabber:iq:register}"
DATA = "{jabber:x:data}"


async def test_the_form_says_what_the_admin_wants_it_to_say(xmpp, transport):
    irc = await transport("irc", registration__instructions="Your nick, please.",
                          registration__username_label="Nick")
    romeo = await xmpp.login("romeo")

    form = await romeo.asks(irc.jid, registration())

    assert form.findtext(f"{REGISTER}instructions") == "Your nick, please."
    assert form.find(f"{REGISTER}username") is not None
    assert form.find(f"{REGISTER}registered") is None
    # XEP-0077 §4: clients that know data forms use this one.
    fields = {field.get("var"): field for field in form.iter(f"{DATA}field")}
    assert fields["FORM_TYPE"].findtext(f"{DATA}value") == "jabber:iq:register"
    assert fields["username"].get("label") == "Nick"


async def test_who_is_registered_is_told_so_and_under_which_name(xmpp, transport):
    irc = await transport("irc")
    romeo = await xmpp.login("romeo")
    await romeo.registers(irc.jid, username="romeo")

    form = await romeo.asks(irc.jid, registration())

    assert form.find(f"{REGISTER}registered") is not None
    # The mask that the admin chose has been applied.
    assert form.findtext(f"{REGISTER}username") == "romeo@irc.test"


async def test_a_data_form_registers_as_well(xmpp, transport, irc):
    gateway = await transport("irc")
    romeo = await xmpp.login("romeo")
    await romeo.needs_no_password(gateway.jid)

    await romeo.asks(gateway.jid, """
        <query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>
            <field var='FORM_TYPE'><value>jabber:iq:register</value></field>
            <field var='username'><value>romeo</value></field>
            <field var='password'><value/></field>
        </x></query>""", "set")
    await romeo.receives(presence("subscribe", sender=gateway.jid))
    romeo.accepts(gateway.jid)

    await romeo.receives(presence(sender=gateway.jid))
    await (await irc.connect("nurse")).gets_sight_of("romeo")


async def test_a_new_name_counts_at_once(xmpp, transport, irc):
    gateway = await transport("irc")
    romeo = await xmpp.login("romeo")
    nurse = await irc.connect("nurse")
    await romeo.logs_in(gateway.jid, username="romeo")

    await romeo.asks(gateway.jid, registration(username="balthasar", password=""), "set")

    await nurse.gets_sight_of("balthasar")
    await nurse.loses_sight_of("romeo")


async def test_giving_up_ends_the_session_and_the_friendship(xmpp, transport, irc):
    gateway = await transport("irc")
    romeo = await xmpp.login("romeo")
    nurse = await irc.connect("nurse")
    await romeo.logs_in(gateway.jid, username="romeo")

    await romeo.unregisters(gateway.jid)

    await romeo.receives(presence("unsubscribe", sender=gateway.jid))
    await romeo.receives(presence("unsubscribed", sender=gateway.jid))
    await nurse.loses_sight_of("romeo")
    form = await romeo.asks(gateway.jid, registration())
    assert form.find(f"{REGISTER}registered") is None
    assert await romeo.is_refused(gateway.jid, registration(remove=None), "set") == "registration-required"


@pytest.mark.parametrize("username", ["", "  ", "romeo@{domain}"])
async def test_names_that_cannot_be_are_refused(xmpp, transport, username):
    irc = await transport("irc")
    romeo = await xmpp.login("romeo")
    payload = registration(username=username.format(domain=xmpp.domain), password="")
    assert await romeo.is_refused(irc.jid, payload, "set") == "not-acceptable"


async def test_names_outside_the_admins_pattern_are_refused(xmpp, transport):
    irc = await transport("irc", registration__allowed_usernames="[a-m]+@irc[.]test")
    romeo = await xmpp.login("romeo")
    assert await romeo.is_refused(irc.jid, registration(username="romeo", password=""), "set") == "not-acceptable"
    await romeo.registers(irc.jid, username="abe")


async def test_a_closed_transport_is_open_for_chosen_servers_only(xmpp, transport):
    irc = await transport("irc", registration__enable_public_registration=0,
                          service__allowed_servers=["mantua.test"])
    romeo = await xmpp.login("romeo")
    assert await romeo.is_refused(irc.jid, registration()) == "forbidden"

    irc.options["service.allowed_servers"] = ["mantua.test", xmpp.domain]
    irc.write()
    await irc.restart()
    await romeo.registers(irc.jid, username="romeo")


async def test_the_admin_is_told(xmpp, transport):
    irc = await transport("irc", registration__notify_jid=[f"prince@{xmpp.domain}"])
    prince = await xmpp.login("prince")
    romeo = await xmpp.login("romeo")

    await romeo.registers(irc.jid, username="romeo")
    await prince.receives(message(f"registered: {romeo.jid}", sender=irc.jid))

    await romeo.unregisters(irc.jid)
    await prince.receives(message(f"unregistered: {romeo.jid}", sender=irc.jid))
