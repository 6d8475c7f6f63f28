"""service.server_mode=1: the transport is the XMPP server, and people log in with their account on the network."""

import asyncio
import base64
import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from slixmpp.stanza import Iq

from conversation import PATIENCE, Expectation, IrcNetwork, XmppServer, XmppUser, befriend, message, presence, roster_push
from transport import Transport, systemctl

DOMAIN = "chat.test"
"""At 127.0.0.5; its certificate is of the authority that the container trusts."""

PORT, TLS_PORT = 5222, 5223
TLS = Path("/etc/test-tls")
OURS = Path("/etc/spectrum2/certificates")


@pytest.fixture
async def xmpp():
    """The legacy network behind prpl-jabber."""
    server = XmppServer("prosody")
    yield server
    await server.close()


@pytest.fixture(autouse=True)
def certificate():
    """chat.test's, where the daemon may read it."""
    OURS.mkdir(mode=0o755)
    install(TLS / "chat.pem", OURS / "chat.pem")
    yield OURS / "chat.pem"
    shutil.rmtree(OURS)


def install(source: Path, target: Path, mode: int = 0o640) -> None:
    """What the administrator does with a new certificate."""
    shutil.copy(source, target)
    shutil.chown(target, group="spectrum")
    target.chmod(mode)


class Server:
    """A transport that is a server, and the clients of it."""

    def __init__(self, transport: Transport):
        self.transport = transport
        self._people: list[XmppUser] = []

    async def login(self, name: str, password: str = "montague", *, resource: str = "orchard", online: bool = True,
                    host: str = DOMAIN, plugins: tuple[str, ...] = ()) -> XmppUser:
        """Somebody with an account on the network, at this server with an encrypted connection, with these of
        slixmpp's plugins."""
        person = XmppUser(name, DOMAIN, resource, password)
        for plugin in plugins:
            person._client.register_plugin(plugin)
        self._people.append(person)
        await person._connect(host, PORT, encrypted=True)
        if online:
            person.comes_online()
        return person

    async def close(self) -> None:
        for person in self._people:
            await person.disconnects()


@pytest.fixture
async def server(transport, certificate):
    """Starts a server: `await server(service__protocol="prpl-jabber")`."""
    started: list[Server] = []

    def prepared(name: str = "chat", **options: object) -> Server:
        started.append(Server(transport.prepared(name, **{
            "service__jid": DOMAIN, "service__server_mode": 1, "service__server": "127.0.0.5", "service__port": PORT,
            "service__tls_port": TLS_PORT, "service__cert": certificate, "service__password": None,
            "service__protocol": "prpl-jabber", "registration__username_mask": None, **options})))
        return started[-1]

    async def start(**options: object) -> Server:
        one = prepared(**options)
        await one.transport.start()
        return one

    start.prepared = prepared
    yield start
    for one in started:
        await one.close()


class Stream:
    """A stream of one's own hand, for what no library does."""

    HEADER = ("<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
              f" to='{DOMAIN}' version='1.0'>")

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls) -> "Stream":
        """An encrypted stream."""
        trusting = ssl.create_default_context()
        stream = cls(*await asyncio.open_connection(DOMAIN, TLS_PORT, ssl=trusting, server_hostname=DOMAIN))
        await stream.begins()
        return stream

    async def begins(self) -> str:
        """Opens a stream, and waits for what it offers."""
        self.says(self.HEADER)
        return await self.hears(r"</stream:features>")

    async def logs_in(self, name: str, password: str = "montague") -> str:
        """Tries to log in, and returns the outcome."""
        plain = base64.b64encode(f"\0{name}\0{password}".encode()).decode()
        self.says(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>")
        return await self.hears(r"<success[^>]*/>|</failure>")

    def says(self, text: str) -> None:
        self._writer.write(text.encode())

    async def hears(self, pattern: str, within: float = PATIENCE) -> str:
        """Reads until this has come, and returns all of it."""
        text = ""

        async def read():
            nonlocal text
            while not re.search(pattern, text):
                chunk = await self._reader.read(4096)
                assert chunk, f"the stream ended before {pattern} came: {text}"
                text += chunk.decode()
        try:
            await asyncio.wait_for(read(), within)
        except asyncio.TimeoutError:
            raise AssertionError(f"{pattern} has not come, but {text}") from None
        return text

    def vanishes(self) -> None:
        """Loses the connection."""
        self._writer.transport.abort()


ROMEO = "romeo%prosody.test"
JULIET = f"juliet\\40prosody.test@{DOMAIN}"


async def acquainted(xmpp: XmppServer, *names: str) -> list[XmppUser]:
    """People of the network who know each other. The first has left, and the others have seen that."""
    people = await xmpp.login_all(names)
    for other in people[1:]:
        await befriend(people[0], other)
    people[0].goes_offline()
    for other in people[1:]:
        await other.receives(presence("unavailable", sender=f"{people[0].jid}/balcony"))
        # What was before that is of no interest.
        other.inbox.unread.clear()
    return people


async def test_a_conversation(server, xmpp):
    """One's contacts of the network are the roster; words go both ways."""
    here = await server()
    _, juliet = await acquainted(xmpp, "romeo", "juliet")
    romeo = await here.login(ROMEO)
    await here.transport.says_of_itself("listening on 127.0.0.5:5222 and 127.0.0.5:5223, 1 user online, 1 backend")
    await romeo.receives(roster_push(JULIET, subscription="both"))
    await romeo.receives(presence(sender=JULIET))
    assert JULIET in await romeo.roster()
    await juliet.receives(presence(sender="romeo@prosody.test"))
    romeo.says(JULIET, "But soft, what light?")
    heard = await juliet.receives(message("But soft, what light?"))
    juliet.says(heard["from"].full, "Ay me!")
    await romeo.receives(message("Ay me!", sender=JULIET))
    romeo.comes_online(show="away", status="in the orchard")
    await juliet.receives(presence(sender="romeo@prosody.test", show="away", status="in the orchard"))
    await romeo.disconnects()
    await juliet.receives(presence("unavailable", sender="romeo@prosody.test"))
    await here.transport.says_of_itself("0 users online")


async def test_a_wrong_password_is_what_the_network_says(server, xmpp):
    here = await server()
    await acquainted(xmpp, "romeo")
    stream = await Stream.open()
    refusal = await stream.logs_in(ROMEO, "capulet")
    assert "<not-authorized" in refusal
    assert re.search(r"<text[^>]*>[^<]*(not authorized|password|Authentication)[^<]*</text>", refusal, re.IGNORECASE), refusal
    # The same connection may try again.
    assert "<success" in await stream.logs_in(ROMEO)
    assert "capulet" not in here.transport.journal() and "montague" not in here.transport.journal()


async def test_two_clients_see_what_each_says(server, xmpp):
    """Message carbons (XEP-0280)."""
    here = await server(service__more_resources=1)
    _, juliet = await acquainted(xmpp, "romeo", "juliet")
    at_home = await here.login(ROMEO, resource="home")
    abroad = await here.login(ROMEO, resource="mantua")
    for client in (at_home, abroad):
        await client.asks(client.jid, "<enable xmlns='urn:xmpp:carbons:2'/>", "set")
    await at_home.receives(presence(sender=JULIET))
    at_home.says(JULIET, "I am at home")
    await juliet.receives(message("I am at home"))
    copy = await abroad.receives(message(where=lambda stanza: stanza.xml.find("{urn:xmpp:carbons:2}sent") is not None))
    assert "I am at home" in str(copy)


async def test_a_second_login_replaces_the_first(server, xmpp):
    here = await server()
    await acquainted(xmpp, "romeo")
    first = await Stream.open()
    assert "<success" in await first.logs_in(ROMEO)
    await first.begins()
    first.says("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
    await first.hears("<jid>")
    await here.login(ROMEO)
    assert "<conflict" in await first.hears("</stream:stream>")


async def test_a_lost_connection_is_resumed(server, xmpp):
    """XEP-0198: what was said meanwhile is not lost."""
    await server()
    _, juliet = await acquainted(xmpp, "romeo", "juliet")
    stream = await Stream.open()
    await stream.logs_in(ROMEO)
    await stream.begins()
    stream.says("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
    await stream.hears("<jid>")
    stream.says("<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence/>")
    enabled = await stream.hears("<enabled[^>]*>")
    token = re.search(r"\bid='([^']*)'", enabled[enabled.index("<enabled"):])[1]
    await juliet.receives(presence(sender="romeo@prosody.test"))
    stream.vanishes()
    juliet.says("romeo@prosody.test", "Wherefore art thou?")
    stream = await Stream.open()
    await stream.logs_in(ROMEO)
    await stream.begins()
    stream.says(f"<resume xmlns='urn:xmpp:sm:3' previd='{token}' h='0'/>")
    assert "<resumed" in await stream.hears("Wherefore art thou\\?")


async def test_a_library_does_what_the_server_offers(server, xmpp):
    """slixmpp's own stream management, capabilities, blocking and personal events."""
    here = await server(service__more_resources=1)
    _, juliet = await acquainted(xmpp, "romeo", "juliet")
    phone = await here.login(ROMEO, resource="phone", online=False,
                             plugins=("xep_0115", "xep_0163", "xep_0191", "xep_0198"))
    client = phone._client
    client["xep_0163"].add_interest("urn:xmpp:bookmarks:1")
    described = asyncio.Event()

    def sent(stanza):
        if isinstance(stanza, Iq) and stanza["id"].startswith("client-info-"):
            described.set()
        return stanza

    client.add_filter("out", sent)
    await client["xep_0115"].update_caps()
    await client["xep_0191"].get_blocked()
    phone.comes_online()
    await juliet.receives(presence(sender="romeo@prosody.test"))
    desk = await here.login(ROMEO, resource="desk")
    # What one client does, the other is told: once the server knows what that wants to hear of.
    bookmark = ("<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:xmpp:bookmarks:1'><item id='{}'>"
                "<conference xmlns='urn:xmpp:bookmarks:1'/></item></publish></pubsub>")
    await asyncio.wait_for(described.wait(), PATIENCE)
    await phone.asks(DOMAIN, "<ping xmlns='urn:xmpp:ping'/>")
    await desk.asks(desk.jid, bookmark.format(f"#verona@{DOMAIN}"), "set")
    await phone.receives(message(where=lambda stanza: "urn:xmpp:bookmarks:1" in str(stanza)))
    await desk.asks(desk.jid, f"<block xmlns='urn:xmpp:blocking'><item jid='tybalt@{DOMAIN}'/></block>", "set")
    await phone.receives(Expectation("a change of the block list", lambda stanza: (
        stanza.xml.find("{urn:xmpp:blocking}block") is not None)))
    # The connection breaks, and the library goes on with the session.
    gone, resumed = asyncio.Event(), asyncio.Event()
    client.add_event_handler("disconnected", lambda _: gone.set())
    client.add_event_handler("session_resumed", lambda _: resumed.set())
    client.transport.abort()
    await asyncio.wait_for(gone.wait(), PATIENCE)
    juliet.says("romeo@prosody.test", "Wherefore art thou?")
    await desk.receives(message("Wherefore art thou?"))
    client.connect((DOMAIN, PORT), force_starttls=True)
    await asyncio.wait_for(resumed.wait(), PATIENCE)
    await phone.receives(message("Wherefore art thou?", sender=JULIET))


@pytest.fixture
async def irc(tmp_path):
    """An IRC network that asks for a password, as one with accounts does: without one, SASL PLAIN has nothing to say."""
    config = Path("/tests/servers/ngircd.conf").read_text()
    config = config.replace("Ports = 6667", "Ports = 6668").replace("[Limits]", "Password = montague\n[Limits]")
    (tmp_path / "ngircd.conf").write_text(config)
    process = subprocess.Popen(["ngircd", "-n", "-f", tmp_path / "ngircd.conf"], stdout=subprocess.DEVNULL)
    network = IrcNetwork(port=6668, password="montague")
    yield network
    await network.close()
    process.terminate()
    process.wait()


async def test_rooms_of_irc(server, irc):
    here = await server(service__protocol="prpl-irc", purple__port=6668)
    nurse = await irc.connect("nurse")
    nurse.sends("JOIN #verona")
    romeo = await here.login("romeo%irc.test")
    room = f"#verona@{DOMAIN}"
    romeo.joins(room, "romeo")
    await romeo.receives(presence(sender=f"{room}/romeo"))
    nurse.says("#verona", "Peter, my fan!")
    await romeo.receives(message("Peter, my fan!", sender=f"{room}/nurse"))
    romeo.says_in(room, "A challenge, on my life.")
    await nurse.hears("A challenge, on my life.", by="romeo")


def s_client(*options: str) -> str:
    """What OpenSSL thinks of a port."""
    ran = subprocess.run(["openssl", "s_client", "-verify_return_error", "-verify_hostname", DOMAIN, "-servername", DOMAIN,
                          *options], input="", capture_output=True, text=True, timeout=PATIENCE)
    return ran.stdout + ran.stderr


async def in_thread(function, *arguments):
    """The event loop goes on meanwhile: clients of this process live there."""
    return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)


STARTTLS = ["-connect", f"127.0.0.5:{PORT}", "-starttls", "xmpp", "-xmpphost", DOMAIN]
DIRECT = ["-connect", f"127.0.0.5:{TLS_PORT}"]


async def test_both_ports_speak_tls_that_is_safe(server):
    await server()
    for way in (STARTTLS, DIRECT):
        for version, name in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
            told = await in_thread(s_client, *way, version)
            assert "Verify return code: 0 (ok)" in told and name in told, told
        # Broken versions are refused by us, whatever OpenSSL itself would do.
        told = await in_thread(s_client, *way, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
        assert "SSL alert number" in told and "New, (NONE)" in told, told
    assert "ALPN protocol: xmpp-client" in await in_thread(s_client, *DIRECT, "-alpn", "xmpp-client")
    assert "alert no application protocol" in await in_thread(s_client, *DIRECT, "-alpn", "h2")


async def test_no_password_without_encryption(server):
    """RFC 6120 §5.3.1: with a certificate, STARTTLS comes first."""
    await server()
    stream = Stream(*await asyncio.open_connection(DOMAIN, PORT))
    features = await stream.begins()
    assert "<required" in features and "mechanism" not in features
    assert "<encryption-required" in await stream.logs_in(ROMEO)


async def test_a_certificate_is_renewed_and_nobody_is_thrown_out(server, xmpp, certificate):
    here = await server()
    _, juliet = await acquainted(xmpp, "romeo", "juliet")
    romeo = await here.login(ROMEO)
    await romeo.receives(presence(sender=JULIET))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "7", "-subj", f"/CN={DOMAIN}", "-addext", f"subjectAltName=DNS:{DOMAIN}",
                    "-keyout", OURS / "key", "-out", OURS / "renewed"], check=True, capture_output=True)
    before = (await in_thread(s_client, *DIRECT)).split("-----BEGIN CERTIFICATE-----")[1].split("-----END")[0]
    certificate.write_text((OURS / "key").read_text() + (OURS / "renewed").read_text())
    assert (await systemctl("reload", here.transport.unit))[0] == 0
    # A week is not long.
    await here.transport.journal_says(f"The certificate in {certificate} expires in ")
    after = (await in_thread(s_client, *DIRECT, "-verify_quiet")).replace("\r", "")
    assert "self-signed" in after, after
    certificate.write_text((OURS / "renewed").read_text())
    # systemd asks before it tells the daemon; who sends the signal himself is told as well.
    assert (await systemctl("reload", here.transport.unit))[0] != 0
    await here.transport.journal_says(f"There is no private key in {certificate}.")
    await systemctl("kill", "--kill-who=main", "--signal=HUP", here.transport.unit)
    await here.transport.journal_says("The former certificate stays in use.")
    assert "self-signed" in await in_thread(s_client, *DIRECT)
    install(TLS / "chat.pem", certificate)
    await systemctl("reload", here.transport.unit)
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while before not in await in_thread(s_client, *DIRECT):
        assert asyncio.get_running_loop().time() < deadline
    juliet.says("romeo@prosody.test", "Dost thou love me?")
    await romeo.receives(message("Dost thou love me?"))


async def test_an_old_pkcs12_file(server):
    """As Spectrum 2's own instructions made them."""
    old = OURS / "old.p12"
    subprocess.run(["openssl", "pkcs12", "-export", "-legacy", "-in", TLS / "chat.crt", "-inkey", TLS / "chat.key",
                    "-passout", "pass:verona", "-out", old], check=True)
    install(old, OURS / "chat.p12")
    await server(service__cert=OURS / "chat.p12", service__cert_password="verona")
    assert "Verify return code: 0 (ok)" in await in_thread(s_client, *STARTTLS)


async def test_certificates_that_cannot_work(server, certificate):
    here = server.prepared().transport
    certificate.chmod(0o600)
    await here.fails_to_start()
    assert here.property("ExecMainStatus") == "77"
    await here.journal_says("The user that the transport runs as must be able to read it")
    install(TLS / "prosody.pem", certificate)
    checked = subprocess.run(["spectrum2", "check", here.file], capture_output=True, text=True)
    assert "certificate: CN=prosody.test, for prosody.test, *.prosody.test" in checked.stdout
    assert f"not for {DOMAIN}: clients warn" in checked.stdout
    by_manager = subprocess.run(["spectrum2_manager", "check", here.file], capture_output=True, text=True)
    assert (by_manager.stdout, by_manager.returncode) == (checked.stdout, checked.returncode), by_manager
    here.options["service.cert_key"] = OURS / "key"
    install(TLS / "ejabberd.key", OURS / "key")
    await here.fails_to_start()
    assert here.property("ExecMainStatus") == "78"
    await here.journal_says("service.cert_key: No certificate in")


@contextlib.asynccontextmanager
async def drop_in(option: str):
    """An option of the service, as `systemctl edit` sets it."""
    directory = Path("/run/systemd/system/spectrum2@chat.service.d")
    directory.mkdir(parents=True)
    (directory / "option.conf").write_text(f"[Service]\n{option}\n")
    await systemctl("daemon-reload")
    try:
        yield
    finally:
        shutil.rmtree(directory)
        await systemctl("daemon-reload")


async def test_credentials_of_systemd(server, certificate):
    """A certificate that is for root alone, as certbot's."""
    certificate.chmod(0o600)
    shutil.chown(certificate, group="root")
    async with drop_in(f"LoadCredential=cert:{certificate}"):
        await server(service__cert=None)
        assert "Verify return code: 0 (ok)" in await in_thread(s_client, *DIRECT)


async def test_a_port_that_is_taken(server):
    # systemd tries again, and nobody wants to wait for that here.
    async with drop_in("RestartSec=100ms"):
        with socket.create_server(("127.0.0.5", PORT)):
            here = server.prepared().transport
            await here.fails_to_start()
            await here.journal_says("status=69/UNAVAILABLE")
            await here.journal_says("Port 5222 of 127.0.0.5 is in use by another program")
        await here.unit_is(here.unit, "active")


async def test_systemd_opens_a_low_port(server):
    """And keeps it open while the daemon restarts."""
    units = {"spectrum2@chat.socket": "[Socket]\nListenStream=127.0.0.5:5222\n",
             "chat-tls.socket": "[Socket]\nListenStream=127.0.0.5:443\nFileDescriptorName=xmpps-client\n"
                                "Service=spectrum2@chat.service\n"}
    for name, text in units.items():
        Path("/run/systemd/system", name).write_text(text)
    await systemctl("daemon-reload")
    here = server.prepared(service__tls_port=None)
    here.transport.write()
    try:
        assert (await systemctl("start", *units))[0] == 0
        # Whoever connects starts it.
        direct = ["-connect", "127.0.0.5:443"]
        assert "Verify return code: 0 (ok)" in await in_thread(s_client, *direct)
        await here.transport.says_of_itself("listening on 127.0.0.5:5222 and 127.0.0.5:443")
        restarting = asyncio.create_task(here.transport.restart())
        assert "Verify return code: 0 (ok)" in await in_thread(s_client, *STARTTLS)
        await restarting
    finally:
        await systemctl("stop", *units)
        for name in units:
            Path("/run/systemd/system", name).unlink()
        await systemctl("daemon-reload")


async def test_a_flood_of_strangers_locks_nobody_out(server, xmpp):
    """Half-open connections are bounded, and the one that waits longest goes."""
    here = await server()
    _, juliet = await acquainted(xmpp, "romeo", "juliet")
    with contextlib.ExitStack() as flood:
        first = flood.enter_context(socket.create_connection((DOMAIN, PORT)))
        for _ in range(1100):
            flood.enter_context(socket.create_connection((DOMAIN, PORT)))
        first.settimeout(PATIENCE)
        assert "<resource-constraint" in await in_thread(lambda: read_all(first))
        descriptors = f"/proc/{here.transport.property('MainPID')}/fd"
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while len(os.listdir(descriptors)) > 1080:
            # Who was shown the door has half a second to go.
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.1)
        romeo = await here.login(ROMEO)
        await romeo.receives(presence(sender=JULIET))


def read_all(connection: socket.socket) -> str:
    """All that comes up to the end."""
    text = b""
    while chunk := connection.recv(4096):
        text += chunk
    return text.decode()


async def test_a_client_that_does_not_read_is_let_go(server, xmpp):
    """And costs the others nothing."""
    here = await server()
    _, juliet = await acquainted(xmpp, "romeo", "juliet")
    slow = await Stream.open()
    await slow.logs_in(ROMEO)
    await slow.begins()
    slow.says("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq><presence/>")
    await slow.hears("<jid>")
    await juliet.receives(presence(sender="romeo@prosody.test"))
    slow._reader._transport.pause_reading()
    # Each is answered with its own length; what the kernel's buffers hold comes on top of the bound.
    ping = f"<iq type='get' id='{'x' * 50_000}' to='{DOMAIN}'><ping xmlns='urn:xmpp:ping'/></iq>"
    with contextlib.suppress(ConnectionError):
        for _ in range(400):
            slow.says(ping)
            await slow._writer.drain()
    await juliet.receives(presence("unavailable", sender="romeo@prosody.test"), within=30)
    await here.transport.says_of_itself("0 users online")


class Terminal:
    """A client for terminals, and somebody in front of it."""

    def __init__(self, name: str, command: str):
        self.name = name
        # A home of its own, and a size at which lines are not broken in odd places.
        self._tmux("new-session", "-d", "-s", name, "-x", "140", "-y", "40", command)

    def _tmux(self, *arguments: str) -> str:
        return subprocess.run(["tmux", "-L", "tests", *arguments], capture_output=True, text=True, check=True).stdout

    def types(self, line: str) -> None:
        self._tmux("send-keys", "-t", self.name, "-l", line)
        self._tmux("send-keys", "-t", self.name, "Enter")

    async def shows(self, text: str, within: float = PATIENCE) -> None:
        """Waits until the screen has this text."""
        deadline = asyncio.get_running_loop().time() + within
        while text not in (screen := self._tmux("capture-pane", "-p", "-t", self.name)):
            assert asyncio.get_running_loop().time() < deadline, f"{self.name} does not show {text!r}:\n{screen}"
            await asyncio.sleep(0.1)  # A screen cannot be waited for.

    def ends(self) -> None:
        subprocess.run(["tmux", "-L", "tests", "kill-session", "-t", self.name], capture_output=True)


async def test_profanity(server, xmpp, tmp_path):
    await server()
    _, juliet = await acquainted(xmpp, "romeo", "juliet")
    profanity = Terminal("profanity", f"env HOME={tmp_path} profanity --log ERROR")
    try:
        await profanity.shows("Type '/help'")
        profanity.types(f"/connect {ROMEO}@{DOMAIN} server 127.0.0.5 port {PORT} tls force")
        await profanity.shows("Enter password")
        profanity.types("montague")
        await juliet.receives(presence(sender="romeo@prosody.test"))
        await profanity.shows("juliet\\40prosody.test")
        profanity.types(f"/msg {JULIET} It is my lady")
        heard = await juliet.receives(message("It is my lady"))
        juliet.says(heard["from"].full, "What man art thou?")
        await profanity.shows("What man art thou?")
    finally:
        profanity.ends()


@pytest.fixture
def dns():
    """chat.test on two machines, of which the second comes first (RFC 2782)."""
    records = [f"--srv-host=_xmpp-client._tcp.{DOMAIN},{host},{PORT},{priority}" for host, priority in
               (("first.test", 20), ("second.test", 10))]
    process = subprocess.Popen(["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--user=root",
                                "--listen-address=127.0.0.1", "--bind-interfaces", "--conf-file=/dev/null", *records,
                                "--address=/first.test/127.0.0.5", "--address=/second.test/127.0.0.6"])
    yield
    process.terminate()
    process.wait()


async def test_two_machines_share_the_users(server, xmpp, dns, tmp_path):
    """Clients find them by SRV; who is on one talks to who is on the other through the network."""
    first = await server()
    second = server.prepared("chat2", service__server="127.0.0.6")
    await second.transport.start()
    await acquainted(xmpp, "romeo", "juliet")
    juliet = await first.login("juliet%prosody.test")
    romeo = f"romeo\\40prosody.test@{DOMAIN}"
    profanity = Terminal("profanity", f"env HOME={tmp_path} profanity --log ERROR")
    try:
        await profanity.shows("Type '/help'")
        profanity.types(f"/connect {ROMEO}@{DOMAIN} tls force")
        await profanity.shows("Enter password")
        profanity.types("montague")
        await juliet.receives(presence(sender=romeo))
        await second.transport.says_of_itself("1 user online")
        await profanity.shows("juliet\\40prosody.test")
        profanity.types(f"/msg {JULIET} Art thou not Romeo?")
        await juliet.receives(message("Art thou not Romeo?", sender=romeo))
    finally:
        profanity.ends()
    # A machine fails: whose client tries the next one is soon back.
    await second.transport.stop()
    await juliet.receives(presence("unavailable", sender=romeo))
    juliet.inbox.unread.clear()
    finch = Terminal("finch", finch_of_romeo(tmp_path))
    try:
        await juliet.receives(presence(sender=romeo))
        await first.transport.says_of_itself("2 users online")
    finally:
        finch.ends()


def finch_of_romeo(home: Path) -> str:
    """The command that starts finch, which logs in by itself."""
    (home / "accounts.xml").write_text(f"""<?xml version='1.0'?><account version='1.0'><account>
        <protocol>prpl-jabber</protocol><name>{ROMEO}@{DOMAIN}/finch</name><password>montague</password>
        <statuses><status type='available' name='Available' active='true'><attributes/></status></statuses>
        <settings><setting name='port' type='int'>{PORT}</setting>
        <setting name='connection_security' type='string'>require_tls</setting></settings>
        <settings ui='gnt-purple'><setting name='auto-login' type='bool'>1</setting></settings>
        </account></account>""")
    return f"finch --config={home}"


async def test_finch(server, xmpp, tmp_path):
    await server()
    _, juliet = await acquainted(xmpp, "romeo", "juliet")
    finch = Terminal("finch", finch_of_romeo(tmp_path))
    try:
        await juliet.receives(presence(sender="romeo@prosody.test"))
        juliet.says("romeo@prosody.test", "Hark!")
        await finch.shows("Hark!")
    finally:
        finch.ends()
