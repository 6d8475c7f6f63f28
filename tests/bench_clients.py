#!/usr/bin/python3
"""`make bench-clients`: how much memory an idle client costs the daemon in server mode, TLS included.

Everybody logs in over STARTTLS with a password that the echo backend takes, binds a resource, fetches the roster and
comes on line; then nobody says anything, and the daemon is measured.
"""

import argparse
import asyncio
import base64
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

AIM = 20
"""Kilobytes that a client may cost."""

ECHO = Path(__file__).resolve().parents[1] / "backend/launcher/tests/echo_backend.py"
CERTIFICATE = Path(__file__).resolve().parents[1] / "daemon/tests/fixtures/certificates/default.p12"
PORT = 20522

TRANSPORT = """
[service]
jid = chat.example.org
server_mode = 1
server = 127.0.0.1
port = {port}
cert = {certificate}
cert_password = verona
backend = {echo}
users_per_backend = 100000
max_users = 100000
working_dir = {directory}
pidfile = {directory}/spectrum2.pid
"""

HEADER = (b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
          b"to='chat.example.org' version='1.0'>")


# What the daemon sends has neither blanks between pieces nor an element within one of the same name.
PIECE = re.compile(r"[^<]*<(\w+)\b(?:[^>]*/>|[^>]*>.*?</\1>)", re.DOTALL)
INFO = ("<query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' type='pc'/>"
        "<feature var='urn:xmpp:receipts'/></query>")


async def log_in(number: int, turn: asyncio.Semaphore, tls: ssl.SSLContext, silent: bool):
    """One client, from its connection to its presence; returns what goes on from there."""
    async with turn:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)

        async def says(text: bytes, until: bytes):
            writer.write(text)
            await asyncio.wait_for(reader.readuntil(until), 60)

        await says(HEADER, b"</stream:features>")
        await says(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        await writer.start_tls(tls)
        await says(HEADER, b"</stream:features>")
        plain = base64.b64encode(f"\0user{number}\0secret".encode())
        await says(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + plain + b"</auth>",
                   b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
        await says(HEADER, b"</stream:features>")
        await says(b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", b"</iq>")
        await says(b"<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>", b"</iq>")
        await says(b"<enable xmlns='urn:xmpp:sm:3' resume='true'/>", b"/>")
        writer.write(b"<presence/>")
        idle = asyncio.create_task(read(reader) if silent else stay(reader, writer))
        return idle


async def stay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Does what a client that is left alone does: acknowledges what comes (XEP-0198), and answers what it is asked."""
    text, count = "", 0
    while chunk := await reader.read(4096):
        text += chunk.decode()
        while found := PIECE.match(text):
            text = text[found.end():]
            piece, name = found[0], found[1]
            count += name in ("iq", "message", "presence")
            if name == "r":
                writer.write(f"<a xmlns='urn:xmpp:sm:3' h='{count}'/>".encode())
            elif name == "iq" and "type='result'" not in piece:
                payload = INFO if "disco#info" in piece else ""
                identity = re.search(r"\bid='([^']*)'", piece)[1]
                writer.write(f"<iq type='result' id='{identity}' to='chat.example.org'>{payload}</iq>".encode())


async def read(reader: asyncio.StreamReader) -> None:
    """Does what a client may do at worst, short of not reading."""
    while await reader.read(4096):
        pass


def memory(pid: int) -> int:
    """Proportional set size of a process, in kilobytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1])


async def measure(clients: int, pid: int, silent: bool) -> None:
    tls = ssl.create_default_context()
    # The certificate is that of the unit tests.
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    turn = asyncio.Semaphore(100)
    first = await log_in(0, turn, tls, silent)
    before, began = memory(pid), time.monotonic()
    others = await asyncio.gather(*(log_in(number + 1, turn, tls, silent) for number in range(clients)))
    took = time.monotonic() - began
    # For what the daemon does after it has answered.
    await asyncio.sleep(5)
    gone = sum(client.done() for client in [first, *others])
    if gone:
        raise SystemExit(f"{gone} clients were thrown out: they have no memory to be measured.")
    each = (memory(pid) - before) / clients
    kind = "idle client that acknowledges nothing" if silent else "idle client"
    print(f"{clients} clients logged in within {took:.0f} s; the daemon had {before} kB before, and has {memory(pid)} kB now.\n"
          f"An {kind} costs {each:.1f} kB (aim: {AIM} kB).")
    for client in [first, *others]:
        client.cancel()


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures the memory of idle clients in server mode.")
    parser.add_argument("daemon", type=Path, help="the program spectrum2")
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--silent", action="store_true", help="clients that acknowledge and answer nothing")
    arguments = parser.parse_args()
    descriptors = arguments.clients * 2 + 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, max(descriptors, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    with tempfile.TemporaryDirectory(prefix="spectrum2-bench-") as directory:
        config = Path(directory, "bench.cfg")
        config.write_text(TRANSPORT.format(directory=directory, port=PORT, certificate=CERTIFICATE, echo=ECHO))
        with open(Path(directory, "log"), "w+") as log:
            daemon = subprocess.Popen([arguments.daemon.resolve(), "-n", config], stdout=log, stderr=log)
            try:
                wait_for_port(daemon)
                asyncio.run(measure(arguments.clients, daemon.pid, arguments.silent))
            except BaseException:
                log.seek(0)
                print(log.read()[-3000:], file=sys.stderr)
                raise
            finally:
                daemon.send_signal(signal.SIGTERM)
                daemon.wait()
    return 0


def wait_for_port(daemon: subprocess.Popen) -> None:
    while daemon.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", PORT)).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("The daemon ended; its words are above.")


if __name__ == "__main__":
    sys.exit(main())
