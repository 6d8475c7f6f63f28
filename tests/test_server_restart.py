"""The XMPP server goes and comes back; the transport waits for it, and its users need do nothing."""

from conversation import message
from transport import systemctl


async def test_a_restarted_server_finds_its_transport_again(xmpp, transport, irc):
    gateway = await transport("irc")
    nurse = await irc.connect("nurse")
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username="romeo")

    await systemctl("restart", xmpp.unit)

    await gateway.says_of_itself(f"connected to {xmpp.domain}", within=60)
    romeo = await xmpp.login("romeo")
    await gateway.says_of_itself(", 1 user online")
    await nurse.gets_sight_of("romeo")
    nurse.says("romeo", "Where have you been?")
    await romeo.receives(message("Where have you been?", sender=f"nurse@{gateway.jid}"))


async def test_the_status_says_that_the_server_is_away(xmpp, transport):
    gateway = await transport("irc")
    await systemctl("stop", xmpp.unit)
    try:
        status = await gateway.says_of_itself("lost")
        assert xmpp.domain in status and "again" in status
        assert gateway.property("ActiveState") == "active"
    finally:
        await systemctl("start", xmpp.unit)
    await gateway.says_of_itself(f"connected to {xmpp.domain}", within=60)
