"""Presence is what logs a user in and out, and what the network is shown."""

from conversation import message, presence


async def test_on_line_means_logged_in_and_off_line_logged_out(xmpp, transport, irc):
    gateway = await transport("irc")
    romeo = await xmpp.login("romeo")
    nurse = await irc.connect("nurse")

    await romeo.logs_in(gateway.jid, username="romeo")
    await nurse.gets_sight_of("romeo")
    await gateway.says_of_itself(", 1 user online")

    romeo.goes_offline()
    await nurse.loses_sight_of("romeo")
    await gateway.says_of_itself(", 0 users online")

    romeo.comes_online()
    await nurse.gets_sight_of("romeo")


async def test_away_is_shown_on_the_network(xmpp, transport, irc):
    gateway = await transport("irc")
    romeo = await xmpp.login("romeo")
    nurse = await irc.connect("nurse")
    await romeo.logs_in(gateway.jid, username="romeo")

    romeo.comes_online(show="away", status="In Mantua, alas")
    await romeo.receives(presence(sender=gateway.jid, show="away"))

    await nurse.finds_away("romeo", "In Mantua, alas")


async def test_the_last_of_several_clients_ends_the_session(xmpp, transport, irc):
    gateway = await transport("irc")
    balcony = await xmpp.login("romeo")
    orchard = await xmpp.login("romeo", resource="orchard")
    nurse = await irc.connect("nurse")
    await balcony.logs_in(gateway.jid, username="romeo")

    balcony.goes_offline()
    await orchard.receives(presence("unavailable", sender=f"{balcony.jid}/balcony"))
    await orchard.pings(gateway.jid)
    assert await nurse.sees("romeo")

    orchard.goes_offline()
    await nurse.loses_sight_of("romeo")


async def test_a_lost_connection_logs_out_as_well(xmpp, transport, irc):
    gateway = await transport("irc")
    romeo = await xmpp.login("romeo")
    nurse = await irc.connect("nurse")
    await romeo.logs_in(gateway.jid, username="romeo")

    await romeo.disconnects()

    await nurse.loses_sight_of("romeo")


async def test_a_wrong_password_is_told_once_with_what_to_do(xmpp, transport, network):
    gateway = await transport("xmpp", service__protocol="prpl-jabber")
    await network.login("romeo")
    romeo = await xmpp.login("romeo")

    await romeo.registers(gateway.jid, username=f"romeo@{network.domain}", password="capulet")

    told = await romeo.receives(message(sender=gateway.jid))
    assert "Register" in told["body"]
    error = told.xml.find("{http://spectrum.im/error}spectrumerror")
    assert error is not None and error.get("error") == "2"
    romeo.has_not_received(message(sender=gateway.jid))

    # What he registers next is tried at once.
    await romeo.logs_in_again(gateway.jid, username=f"romeo@{network.domain}", password="montague")


async def test_users_come_back_after_a_restart_of_the_daemon(xmpp, transport, irc):
    gateway = await transport("irc")
    romeo = await xmpp.login("romeo")
    nurse = await irc.connect("nurse")
    await romeo.logs_in(gateway.jid, username="romeo")

    await gateway.restart()

    await gateway.says_of_itself(", 1 user online")
    nurse.says("romeo", "Are you still there?")
    await romeo.receives(message("Are you still there?", sender=f"nurse@{gateway.jid}"))
