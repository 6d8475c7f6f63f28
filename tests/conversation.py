"""People for the scenarios: XMPP users, IRC users, and what they expect to be told.

    romeo = await xmpp.login("romeo")
    nurse = await irc.connect("nurse")
    await romeo.registers("irc.prosody.test", username="romeo")
    romeo.says("nurse@irc.prosody.test", "Good morrow!")
    await nurse.hears("Good morrow!", by="romeo")

Whatever reaches a person is kept until the scenario asks for it, so nobody has to listen at the right moment, and
the order of unrelated events does not matter. Who waits in vain says what was expected and what came instead.
"""

import asyncio
import logging
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Callable, Iterable

import slixmpp
from slixmpp.stanza import Iq, Message, Presence

PATIENCE = 15.0
"""Seconds that a person waits for something that the scenario says must happen."""

logging.getLogger("slixmpp").setLevel(logging.CRITICAL)


@dataclass
class Expectation:
    """What somebody waits for, in words and as a test."""

    words: str
    holds: Callable[[object], bool]


class Inbox:
    """Everything that reached one person and has not been asked for yet."""

    def __init__(self, owner: str):
        self.owner = owner
        self.unread: list = []
        self._news = asyncio.Event()

    def put(self, item: object) -> None:
        self.unread.append(item)
        self._news.set()

    def take(self, expected: Expectation) -> object | None:
        """The oldest item that fits, or nothing."""
        for item in self.unread:
            if expected.holds(item):
                self.unread.remove(item)
                return item
        return None

    async def wait(self, expected: Expectation, within: float) -> object:
        """The oldest item that fits, as soon as there is one."""
        deadline = asyncio.get_running_loop().time() + within
        while (item := self.take(expected)) is None:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), deadline - asyncio.get_running_loop().time())
            except asyncio.TimeoutError:
                others = "\n".join(f"  {item}" for item in self.unread) or "  nothing"
                raise AssertionError(f"{self.owner} waited {within:g} s for {expected.words}; unread is\n{others}") from None
        return item


def message(body: str | None = None, *, sender: str | None = None, error: str | None = None,
            where: Callable[[Message], bool] = lambda stanza: True) -> Expectation:
    """A message with this body, from this JID (bare, or full when a resource is given). With `error`, a message that
    came back with that condition; else none that came back fits."""
    def fits(stanza: object) -> bool:
        return (isinstance(stanza, Message)
                and (stanza["type"] == "error") == (error is not None)
                and (error is None or stanza["error"]["condition"] == error)
                and (body is None or stanza["body"] == body)
                and is_from(stanza, sender) and where(stanza))
    return Expectation(words("a message", body=body, sender=sender, error=error), fits)


def presence(kind: str = "available", *, sender: str | None = None, show: str | None = None,
             status: str | None = None, where: Callable[[Presence], bool] = lambda stanza: True) -> Expectation:
    """A presence of this kind: `available`, or a value of its type attribute."""
    def fits(stanza: object) -> bool:
        return (isinstance(stanza, Presence)
                and (stanza.xml.get("type") or "available") == kind
                and (show is None or (stanza["show"] or "") == show)
                and (status is None or stanza["status"] == status)
                and is_from(stanza, sender) and where(stanza))
    return Expectation(words(f"a presence '{kind}'", sender=sender, show=show, status=status), fits)


def roster_push(jid: str, **expected: str) -> Expectation:
    """A change of one's own roster that concerns `jid`, with these attributes of the item."""
    def fits(stanza: object) -> bool:
        if not isinstance(stanza, Iq) or stanza["type"] != "set":
            return False
        item = stanza.xml.find("{jabber:iq:roster}query/{jabber:iq:roster}item")
        return (item is not None and item.get("jid") == jid
                and all(item.get(name) == value for name, value in expected.items()))
    return Expectation(words("a roster push", jid=jid, **expected), fits)


def either(one: Expectation, other: Expectation) -> Expectation:
    """What fits one of two expectations."""
    return Expectation(f"{one.words} or {other.words}", lambda item: one.holds(item) or other.holds(item))


def is_from(stanza: slixmpp.stanza.rootstanza.RootStanza, sender: str | None) -> bool:
    """Whether the sender is this JID; a bare one stands for all its resources."""
    return sender is None or sender in (stanza["from"].full, stanza["from"].bare)


def words(what: str, **details: str | None) -> str:
    """Names the details that were asked for."""
    return " ".join([what, *(f"{name}={short(value)!r}" for name, value in details.items() if value is not None)])


def short(text: str) -> str:
    """The text, or the beginning of a long one."""
    return text if len(text) <= 80 else f"{text[:77]}…"


MAM = "{urn:xmpp:mam:2}"


@dataclass
class Archived:
    """A message in an archive: its id, who said what, and when."""

    id: str
    sender: str
    body: str | None
    stamp: str


class XmppUser:
    """Somebody with an XMPP client that is on line."""

    def __init__(self, name: str, domain: str, resource: str, password: str = "montague"):
        self.jid = f"{name}@{domain}"
        self.password = password
        self.inbox = Inbox(f"{self.jid}/{resource}")
        self._client = slixmpp.ClientXMPP(f"{self.jid}/{resource}", self.password, plugin_config={
            "feature_mechanisms": {"unencrypted_plain": True, "use_mech": "PLAIN"},
        })
        self._client.register_plugin("xep_0030")
        # What the server and the transport ask is for the scenario to answer.
        self._client.auto_authorize = None
        self._client.auto_subscribe = False
        self._client.add_filter("in", self._note)

    def _note(self, stanza):
        if isinstance(stanza, (Message, Presence)) or (isinstance(stanza, Iq) and stanza["type"] in ("get", "set")):
            self.inbox.put(stanza)
        return stanza

    async def _connect(self, host: str, port: int, *, encrypted: bool = False) -> None:
        ready = asyncio.get_running_loop().create_future()
        self._client.add_event_handler("session_start", lambda _: ready.done() or ready.set_result(None))
        self._client.add_event_handler("failed_all_auth", lambda _: ready.done() or ready.set_exception(
            AssertionError(f"{self.jid} cannot log in at {host}")))
        # A certificate must be good for the domain.
        self._client.ca_certs = "/etc/ssl/certs/ca-certificates.crt" if encrypted else None
        self._client.connect((host, port), disable_starttls=not encrypted, force_starttls=encrypted)
        await asyncio.wait_for(ready, PATIENCE)
        await self._client.get_roster()

    @property
    def connected(self) -> bool:
        """Whether the session with the server is alive."""
        return self._client.transport is not None

    def comes_online(self, show: str | None = None, status: str | None = None, to: str | None = None) -> None:
        """Sends available presence, to everybody or to one."""
        self._client.send_presence(pshow=show, pstatus=status, pto=to)

    def goes_offline(self, to: str | None = None) -> None:
        """Sends unavailable presence and stays connected, so that what follows can be seen."""
        self._client.send_presence(ptype="unavailable", pto=to)

    async def disconnects(self) -> None:
        """Ends the session."""
        await self._client.disconnect(wait=1.0)
        if self._client._run_out_filters:
            self._client._run_out_filters.cancel()

    async def gives_up_account(self) -> None:
        """XEP-0077 §3.2: removes the account and all that the server keeps with it; the server ends the session."""
        gone = asyncio.get_running_loop().create_future()
        self._client.add_event_handler("disconnected", lambda _: gone.done() or gone.set_result(None))
        request = self._client.make_iq(itype="set")
        request.append(ET.fromstring(registration(remove=None)))
        request.send(callback=lambda _: gone.done() or gone.set_result(None))
        await asyncio.wait_for(gone, PATIENCE)

    def subscribes_to(self, jid: str) -> None:
        """Adds a contact."""
        self._client.send_presence_subscription(pto=jid, ptype="subscribe")

    def accepts(self, jid: str) -> None:
        """Lets somebody see one's presence."""
        self._client.send_presence_subscription(pto=jid, ptype="subscribed")

    def refuses(self, jid: str) -> None:
        """Denies somebody, or takes back the permission, to see one's presence."""
        self._client.send_presence_subscription(pto=jid, ptype="unsubscribed")

    def unsubscribes_from(self, jid: str) -> None:
        """Removes a contact."""
        self._client.send_presence_subscription(pto=jid, ptype="unsubscribe")

    def says(self, to: str, body: str, *extra: str) -> str:
        """Sends a chat message, with further elements in XML where given, and returns its id."""
        return self.sends_to(to, *extra, body=body)

    def sends_to(self, to: str, *extra: str, body: str | None = None) -> str:
        """Sends a chat message of these elements, in XML, and returns its id."""
        stanza = self._client.make_message(mto=to, mbody=body, mtype="chat")
        stanza["id"] = self._client.new_id()
        for element in extra:
            stanza.append(ET.fromstring(element))
        stanza.send()
        return stanza["id"]

    def joins(self, room: str, nick: str, *inside: str) -> None:
        """XEP-0045 §7.2: asks to be let into a room, with further elements in XML where given."""
        stanza = self._client.make_presence(pto=f"{room}/{nick}")
        x = ET.SubElement(stanza.xml, "{http://jabber.org/protocol/muc}x")
        for element in inside:
            x.append(ET.fromstring(element))
        stanza.send()

    def says_in(self, room: str, body: str | None = None, subject: str | None = None) -> str:
        """Speaks in a room, or sets its subject, and returns the message's id."""
        stanza = self._client.make_message(mto=room, mbody=body, msubject=subject, mtype="groupchat")
        stanza["id"] = self._client.new_id()
        stanza.send()
        return stanza["id"]

    def takes_nick(self, room: str, nick: str) -> None:
        """XEP-0045 §7.6: asks for another nick."""
        self._client.send_presence(pto=f"{room}/{nick}")

    def leaves(self, room: str, nick: str) -> None:
        """XEP-0045 §7.14."""
        self._client.send_presence(pto=f"{room}/{nick}", ptype="unavailable")

    async def reads_archive(self, archive: str, page: int = 50, **wanted: object) -> list[Archived]:
        """All that an archive has of what is wanted, page by page, as slixmpp understands XEP-0313."""
        self._client.register_plugin("xep_0313")
        pages = self._client["xep_0313"].retrieve(slixmpp.JID(archive), iterator=True, rsm={"max": page}, **wanted)
        found = []
        async for answer in pages:
            for stanza in answer["mam"]["results"]:
                result = stanza.xml.find(f"{MAM}result")
                forwarded = result.find("{urn:xmpp:forward:0}forwarded")
                sent = forwarded.find("{jabber:client}message")
                found.append(Archived(result.get("id"), sent.get("from"), sent.findtext("{jabber:client}body"),
                                      forwarded.find("{urn:xmpp:delay}delay").get("stamp")))
        return found

    async def receives(self, expected: Expectation, within: float = PATIENCE):
        """Waits for something that reached this person, and returns it."""
        return await self.inbox.wait(expected, within)

    async def hears_from(self, sender: str) -> str:
        """Waits for the next words of somebody."""
        return (await self.receives(message(sender=sender, where=lambda stanza: bool(stanza["body"]))))["body"]

    def has_received(self, expected: Expectation) -> list:
        """Everything unread that fits; it stays unread."""
        return [item for item in self.inbox.unread if expected.holds(item)]

    def has_not_received(self, unexpected: Expectation) -> None:
        """Nothing of the kind has come up to now. Only of use after something that would have come later."""
        assert not self.has_received(unexpected), f"{self.inbox.owner} got {unexpected.words}"

    async def receives_payload(self, tag: str, *, sender: str) -> ET.Element:
        """Waits for a request or message with this payload, and returns the payload; requests are answered."""
        stanza = await self.receives(Expectation(words(f"something with {tag}", sender=sender), lambda stanza: (
            stanza.xml.find(tag) is not None and is_from(stanza, sender))))
        if isinstance(stanza, Iq):
            stanza.reply(clear=True).send()
        return stanza.xml.find(tag)

    def knows(self, feature: str) -> None:
        """Announces a protocol as known to the client (XEP-0030)."""
        self._client["xep_0030"].add_feature(feature)

    async def asks(self, to: str, payload: str, kind: str = "get") -> ET.Element | None:
        """Sends a request and returns the payload of the result; an error is raised as slixmpp.exceptions.IqError."""
        request = self._client.make_iq(ito=to, itype=kind)
        request.append(ET.fromstring(payload))
        answer = await request.send(timeout=PATIENCE)
        # RFC 6120 §8.1.2.1: only one's own account may answer without saying who it is.
        assert answer["from"].bare in (to.split("/")[0], "" if to == self.jid else None), \
            f"{to} was asked, {answer['from']} answered"
        return next(iter(answer.xml), None)

    async def roster(self) -> dict[str, ET.Element]:
        """One's contacts: JID to item."""
        query = await self.asks(self.jid, "<query xmlns='jabber:iq:roster'/>")
        return {item.get("jid"): item for item in query}

    async def empties_roster(self) -> None:
        """COMPAT(Prosody): a roster that was read while its owner was away outlives his account in a cache."""
        for jid in await self.roster():
            await self.asks(self.jid, f"<query xmlns='jabber:iq:roster'><item jid='{jid}' subscription='remove'/></query>",
                            "set")

    async def is_refused(self, to: str, payload: str, kind: str = "get") -> str:
        """Sends a request that must fail, and returns the condition of the error."""
        try:
            answer = await self.asks(to, payload, kind)
        except slixmpp.exceptions.IqError as error:
            return error.condition
        raise AssertionError(f"{to} answered {ET.tostring(answer) if answer is not None else 'a result'} to {payload}")

    async def registers(self, gateway: str, username: str, password: str = "") -> None:
        """Registers with a transport and befriends it, as a client does. Being on line, one is then logged in."""
        if not password:
            await self.needs_no_password(gateway)
        await self.asks(gateway, registration(username=username, password=password), "set")
        asked, entered = presence("subscribe", sender=gateway), roster_push(gateway, subscription="both")
        if isinstance(await self.receives(either(asked, entered)), Presence):
            self.accepts(gateway)
            self.subscribes_to(gateway)
            await self.receives(presence("subscribed", sender=gateway))

    async def needs_no_password(self, gateway: str) -> None:
        """Waits until the form says so: a transport that has just started learns it from its first backend."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        required = "{jabber:x:data}x/{jabber:x:data}field[@var='password']/{jabber:x:data}required"
        while (await self.asks(gateway, registration())).find(required) is not None:
            assert asyncio.get_running_loop().time() < deadline, f"{gateway} wants a password"
            await asyncio.sleep(0.05)

    async def logs_in(self, gateway: str, username: str, password: str = "") -> None:
        """Registers with a transport, and waits until the network has let one in."""
        await self.registers(gateway, username, password)
        await self.receives(presence(sender=gateway))

    async def logs_in_again(self, gateway: str, username: str, password: str = "") -> None:
        """Changes one's registration, and waits until the network has let one in."""
        await self.asks(gateway, registration(username=username, password=password), "set")
        await self.receives(presence(sender=gateway))

    async def unregisters(self, gateway: str) -> None:
        """Gives up the registration with a transport."""
        await self.asks(gateway, registration(remove=None), "set")

    async def pings(self, jid: str) -> None:
        """Waits until `jid` has dealt with everything that was sent to it before."""
        await self.asks(jid, "<ping xmlns='urn:xmpp:ping'/>")


def registration(**fields: str | None) -> str:
    """XEP-0077 §3.1: the payload of a registration, or with remove=None of its cancellation."""
    query = ET.Element("{jabber:iq:register}query")
    for name, value in fields.items():
        ET.SubElement(query, f"{{jabber:iq:register}}{name}").text = value
    return ET.tostring(query, encoding="unicode")


async def befriend(one: XmppUser, other: XmppUser) -> None:
    """Two people see each other's presence from now on."""
    for asking, asked in ((one, other), (other, one)):
        asking.subscribes_to(asked.jid)
        await asked.receives(presence("subscribe", sender=asking.jid))
        asked.accepts(asking.jid)
        await asking.receives(presence(sender=asked.jid))


class XmppServer:
    """An XMPP server, and the people who logged in there. The test container has `prosody` and `ejabberd`."""

    def __init__(self, name: str, domain: str | None = None, host: str | None = None, port: int = 5222):
        self.name = name
        self.unit = f"{name}.service"
        self.domain = domain or f"{name}.test"
        self.host = host or self.domain
        self.port = port
        self._accounts: set[str] = set()
        self._people: list[XmppUser] = []

    async def login(self, name: str, *, resource: str = "balcony", online: bool = True) -> XmppUser:
        """Somebody at this server, connected and, unless told otherwise, on line. The account is made when needed."""
        new = name not in self._accounts
        if new:
            await self._account(name, registration(username=name, password="montague"))
            self._accounts.add(name)
        person = XmppUser(name, self.domain, resource)
        await person._connect(self.host, self.port)
        self._people.append(person)
        if new:
            await person.empties_roster()
        if online:
            person.comes_online()
            await person.receives(presence(sender=f"{person.jid}/{resource}"))
        return person

    async def login_all(self, names: Iterable[str]) -> list[XmppUser]:
        """Several people at once."""
        return list(await asyncio.gather(*(self.login(name) for name in names)))

    async def listens(self) -> bool:
        """Whether people can connect."""
        try:
            _, writer = await asyncio.open_connection(self.host, self.port)
        except ConnectionRefusedError:
            return False
        writer.close()
        return True

    async def close(self) -> None:
        """Everybody leaves, and their accounts with all that the server kept for them."""
        for person in self._people:
            name = person.jid.split("@")[0]
            if name in self._accounts and person.connected:
                await person.gives_up_account()
                self._accounts.remove(name)
            await person.disconnects()
        self._people.clear()

    async def _account(self, name: str, payload: str) -> None:
        """XEP-0077 §3.1: makes an account before authentication; one that is there already is fine."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(f"<stream:stream to='{self.domain}' version='1.0' xmlns='jabber:client' "
                         "xmlns:stream='http://etherx.jabber.org/streams'>".encode())
            await asyncio.wait_for(reader.readuntil(b"</stream:features>"), PATIENCE)
            writer.write(f"<iq type='set' id='account'>{payload}</iq>".encode())
            answer = b""
            while b"</iq>" not in answer and b"/>" not in answer:
                answer += await asyncio.wait_for(reader.read(4096), PATIENCE)
            if b"result" not in answer and b"conflict" not in answer:
                raise AssertionError(f"{self.domain} makes no account for {name}: {answer.decode()}")
        finally:
            writer.close()


@dataclass
class IrcLine:
    """A line that an IRC server sent."""

    sender: str
    command: str
    parameters: list[str]

    @classmethod
    def parse(cls, text: str) -> "IrcLine":
        """RFC 2812 §2.3.1: prefix, command, parameters; the last one may hold blanks."""
        prefix = ""
        if text.startswith(":"):
            prefix, _, text = text[1:].partition(" ")
        text, colon, last = text.partition(" :")
        command, *parameters = text.split()
        return cls(prefix.partition("!")[0], command, parameters + ([last] if colon else []))

    def __str__(self) -> str:
        return f"{self.sender} {self.command} {short(' '.join(self.parameters))}"


class IrcUser:
    """Somebody with an IRC client, on a plain socket."""

    def __init__(self, nick: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.nick = nick
        self.inbox = Inbox(f"{nick} on IRC")
        self._reader = reader
        self._writer = writer
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while line := await self._reader.readline():
            heard = IrcLine.parse(line.decode("utf-8", "replace").rstrip("\r\n"))
            if heard.command == "PING":
                self.sends(f"PONG :{heard.parameters[-1]}")
            else:
                self.inbox.put(heard)

    def sends(self, line: str) -> None:
        """Sends one line."""
        self._writer.write(f"{line}\r\n".encode())

    def says(self, to: str, text: str) -> None:
        """Speaks to a nick or a channel."""
        self.sends(f"PRIVMSG {to} :{text}")

    async def hears(self, text: str, *, by: str | None = None, within: float = PATIENCE) -> IrcLine:
        """Waits for these words."""
        return await self.notices(Expectation(words("the words", text=text, by=by), lambda line: (
            line.command == "PRIVMSG" and line.parameters[-1] == text and by in (None, line.sender))), within)

    async def hears_something(self, *, by: str, within: float = PATIENCE) -> str:
        """Waits for the next words of somebody."""
        line = await self.notices(Expectation(f"words by {by!r}", lambda line: (
            line.command == "PRIVMSG" and line.sender == by)), within)
        return line.parameters[-1]

    async def notices(self, expected: Expectation, within: float = PATIENCE) -> IrcLine:
        """Waits for a line."""
        return await self.inbox.wait(expected, within)

    async def replied(self, command: str, *numerics: str) -> IrcLine:
        """Sends a command and waits for one of the server's numeric replies."""
        self.sends(command)
        return await self.notices(Expectation(f"a reply {' or '.join(numerics)} to {command!r}",
                                              lambda line: line.command in numerics))

    async def sees(self, nick: str) -> bool:
        """Whether somebody is on the network now."""
        return nick in (await self.replied(f"ISON {nick}", "303")).parameters[-1].split()

    async def gets_sight_of(self, nick: str, within: float = PATIENCE) -> None:
        """Waits until somebody is on the network."""
        await self._watches(nick, True, within)

    async def loses_sight_of(self, nick: str, within: float = PATIENCE) -> None:
        """Waits until somebody is no longer on the network."""
        await self._watches(nick, False, within)

    async def _watches(self, nick: str, there: bool, within: float) -> None:
        deadline = asyncio.get_running_loop().time() + within
        while await self.sees(nick) != there:
            assert asyncio.get_running_loop().time() < deadline, f"{nick} is {'not ' if there else ''}on IRC"
            await asyncio.sleep(0.05)  # IRC does not tell of people in no common channel.

    async def finds_away(self, nick: str, why: str, within: float = PATIENCE) -> None:
        """Waits until somebody is marked as away, with these words."""
        # RFC 2812 §5.1: 301 is an absence, 318 the end of what WHOIS tells.
        absence = Expectation("an absence", lambda line: line.command == "301" and line.parameters[-1] == why)
        deadline = asyncio.get_running_loop().time() + within
        while await self.replied(f"WHOIS {nick}", "318") and not self.inbox.take(absence):
            assert asyncio.get_running_loop().time() < deadline, f"{nick} is not away"
            await asyncio.sleep(0.05)

    async def leaves(self) -> None:
        """Quits."""
        self._listening.cancel()
        self._writer.close()


class IrcNetwork:
    """An IRC server, unless told otherwise the container's, and the people who are connected to it."""

    def __init__(self, host: str = "irc.test", port: int = 6667, password: str | None = None):
        self.host = host
        self.port = port
        self.password = password
        self._people: list[IrcUser] = []

    async def connect(self, nick: str) -> IrcUser:
        """Somebody on this network."""
        person = IrcUser(nick, *await asyncio.open_connection(self.host, self.port))
        self._people.append(person)
        if self.password:
            person.sends(f"PASS {self.password}")
        person.sends(f"NICK {nick}")
        person.sends(f"USER {nick} 0 * :{nick}")
        # RFC 2812 §5.1: 001 ends the registration; 422 or 376 ends what the server tells by itself after it.
        await person.notices(Expectation("the end of the greeting", lambda line: line.command in ("376", "422")))
        return person

    async def close(self) -> None:
        """Everybody leaves."""
        for person in self._people:
            await person.leaves()
        self._people.clear()
