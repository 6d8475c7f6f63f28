"""How contacts of the network get into the roster: by the server, by the client, or by asking the user."""

import pytest

from conversation import befriend, message, presence, roster_push

ROSTERX = "{http://jabber.org/protocol/rosterx}"


@pytest.fixture
async def nurse(network):
    """The nurse, whom romeo has as a contact on the network already."""
    nurse = await network.login("nurse")
    romeo = await network.login("romeo")
    await befriend(romeo, nurse)
    romeo.goes_offline()
    await romeo.disconnects()
    return nurse


async def test_asking_the_user_for_each_contact(xmpp, transport, network, nurse):
    gateway = await transport("xmpp", service__protocol="prpl-jabber")
    contact = f"nurse\\40{network.domain}@{gateway.jid}"
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username=f"romeo@{network.domain}", password="montague")

    await romeo.receives(presence("subscribe", sender=contact))
    romeo.accepts(contact)
    romeo.subscribes_to(contact)

    await romeo.receives(presence("subscribed", sender=contact))
    await romeo.receives(presence(sender=contact))
    nurse.comes_online(show="dnd", status="Busy with the washing")
    await romeo.receives(presence(sender=contact, show="dnd", status="Busy with the washing"))
    nurse.goes_offline()
    await romeo.receives(presence("unavailable", sender=contact))


async def test_who_said_no_is_not_asked_again(xmpp, transport, network, nurse):
    gateway = await transport("xmpp", service__protocol="prpl-jabber")
    contact = f"nurse\\40{network.domain}@{gateway.jid}"
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username=f"romeo@{network.domain}", password="montague")
    await romeo.receives(presence("subscribe", sender=contact))
    romeo.refuses(contact)
    await romeo.pings(gateway.jid)

    romeo.goes_offline()
    await gateway.says_of_itself(", 0 users online")
    romeo.comes_online()
    await romeo.receives(presence(sender=gateway.jid))
    # By the time the nurse's words arrive, her name has long come with the contacts.
    nurse.says(f"romeo@{network.domain}", "Well?")
    await romeo.receives(message("Well?", sender=contact))
    romeo.has_not_received(presence("subscribe", sender=contact))


@pytest.mark.parametrize("xmpp", ["prosody"], indirect=True)
async def test_the_server_lets_the_gateway_do_it_xep_0356(xmpp, transport, network, nurse):
    gateway = await transport("trusted", service__protocol="prpl-jabber")
    contact = f"nurse\\40{network.domain}@{gateway.jid}"
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username=f"romeo@{network.domain}", password="montague")

    await romeo.receives(roster_push(contact, subscription="both"))
    await romeo.receives(presence(sender=contact))
    assert (await romeo.roster())[contact].get("subscription") == "both"
    romeo.has_not_received(presence("subscribe", sender=contact))


@pytest.mark.parametrize("xmpp", ["ejabberd"], indirect=True)
async def test_a_server_that_breaks_its_promise(xmpp, transport, network, nurse):
    """ejabberd before 23.10 grants access to rosters, shows them, and fails to change them: users are asked then."""
    gateway = await transport("trusted", service__protocol="prpl-jabber")
    contact = f"nurse\\40{network.domain}@{gateway.jid}"
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username=f"romeo@{network.domain}", password="montague")

    await romeo.receives(presence("subscribe", sender=contact))


async def test_a_client_that_can_exchange_does_it(xmpp, transport, network, nurse):
    gateway = await transport("xmpp", service__protocol="prpl-jabber")
    contact = f"nurse\\40{network.domain}@{gateway.jid}"
    romeo = await xmpp.login("romeo")
    romeo.knows("http://jabber.org/protocol/rosterx")
    await romeo.logs_in(gateway.jid, username=f"romeo@{network.domain}", password="montague")

    suggested = await romeo.receives_payload(f"{ROSTERX}x", sender=gateway.jid)
    items = {item.get("jid"): item.get("action", "add") for item in suggested.iter(f"{ROSTERX}item")}
    assert items == {contact: "add"}
    romeo.has_not_received(presence("subscribe", sender=contact))


async def test_a_new_contact_is_asked_on_the_network(xmpp, transport, network):
    gateway = await transport("xmpp", service__protocol="prpl-jabber")
    await network.login("romeo", online=False)
    tybalt = await network.login("tybalt")
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username=f"romeo@{network.domain}", password="montague")
    contact = f"tybalt\\40{network.domain}@{gateway.jid}"

    romeo.subscribes_to(contact)
    await tybalt.receives(presence("subscribe", sender=f"romeo@{network.domain}"))
    tybalt.accepts(f"romeo@{network.domain}")
    await romeo.receives(presence(sender=contact))


async def test_somebody_on_the_network_asks(xmpp, transport, network):
    gateway = await transport("xmpp", service__protocol="prpl-jabber")
    await network.login("romeo", online=False)
    paris = await network.login("paris")
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username=f"romeo@{network.domain}", password="montague")
    contact = f"paris\\40{network.domain}@{gateway.jid}"

    paris.subscribes_to(f"romeo@{network.domain}")
    await romeo.receives(presence("subscribe", sender=contact))
    romeo.accepts(contact)
    await paris.receives(presence("subscribed", sender=f"romeo@{network.domain}"))
