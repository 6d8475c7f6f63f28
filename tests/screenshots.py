#!/usr/bin/python3
"""`make screenshots` (as root): pictures of Dino at work with a transport in server mode, for the manual.

Everything is real: ngircd, the daemon, and Dino on a screen that nobody sees. All of it runs in a network of its own, where
chat.example.org is this machine and the authority of its certificate is trusted, so that nothing outside is changed or
asked.
"""

import argparse
import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from conversation import PATIENCE, Expectation, IrcNetwork, XmppUser, presence
from demo import Ended, Stage

DOMAIN = "chat.example.org"
NETWORK = "irc.example.org"
ROMEO = f"romeo%{NETWORK}"
ROOM = "#verona"
PASSWORD = "montague"
PORT = 5222
# Of the screen that nobody sees.
DISPLAY = ":77"
SIZE = "960x480"

# Where things are in Dino's window.
MAXIMIZE, SECOND_CHAT, ENTRY = ("870", "73"), ("170", "140"), ("500", "442")

# Accounts of an IRC network are those that its server's password lets in.
NGIRCD = """
[Global]
Name = irc.example.org
Info = IRC server
Listen = 127.0.0.1
Ports = 6667
Password = {password}
[Limits]
MaxPenaltyTime = 0
[Options]
DNS = no
Ident = no
PAM = no
"""

TRANSPORT = """
[service]
jid = {domain}
server_mode = 1
server = 127.0.0.1
port = {port}
tls_port = 0
cert = {directory}/certificate.pem
cert_key = {directory}/key.pem
protocol = prpl-irc
working_dir = {directory}/spectrum2
pidfile = {directory}/spectrum2.pid

[database]
database = {directory}/spectrum2/database.sql
"""

# Dino fills the screen, without a frame.
OPENBOX = """<?xml version="1.0"?>
<openbox_config xmlns="http://openbox.org/3.4/rc">
<applications><application class="*"><decor>no</decor><maximized>yes</maximized></application></applications>
</openbox_config>
"""

BOOKMARK = ("<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:xmpp:bookmarks:1'>"
            f"<item id='{ROOM}@{DOMAIN}'><conference xmlns='urn:xmpp:bookmarks:1' name='{ROOM}' autojoin='true'>"
            "<nick>romeo</nick></conference></item></publish></pubsub>")


class ServerStage(Stage):
    """An IRC server, the transport that is an XMPP server, and a screen."""

    async def open(self) -> None:
        values = {"directory": self.directory, "domain": DOMAIN, "port": PORT, "password": PASSWORD}
        for name, text in (("ngircd.conf", NGIRCD), ("irc.cfg", TRANSPORT)):
            (self.directory / name).write_text(text.format(**values))
        (self.directory / "rc.xml").write_text(OPENBOX)
        self.start("ngircd", "--nodaemon", "--config", self.directory / "ngircd.conf")
        self.start("Xvfb", DISPLAY, "-screen", "0", f"{SIZE}x24", "-nolisten", "tcp")
        await self.listening(6667)
        await until(lambda: Path(f"/tmp/.X11-unix/X{DISPLAY[1:]}").exists())
        self.start("dbus-daemon", "--session", "--nofork", "--address", f"unix:path={self.directory}/bus")
        self.start("openbox", "--config-file", self.directory / "rc.xml", DISPLAY=DISPLAY)
        await self.transport_ready()


class Dino:
    """The client, with a home of its own."""

    def __init__(self, stage: Stage):
        self._stage = stage
        self._home = stage.directory / "home"
        self._home.mkdir()
        (self._home / "run").mkdir(mode=0o700)
        self._environment = {
            "HOME": str(self._home), "XDG_RUNTIME_DIR": str(self._home / "run"), "DISPLAY": DISPLAY, "LANG": "C.UTF-8",
            "GDK_BACKEND": "x11", "GSK_RENDERER": "cairo", "GTK_A11Y": "none", "GSETTINGS_BACKEND": "memory",
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={stage.directory}/bus",
        }

    async def opens(self) -> None:
        """Starts it. It makes its database at its first start, and finds an account there at the second."""
        database = self._home / ".local/share/dino/dino.db"
        self._start()
        await until(lambda: database.exists() and "account" in tables(database))
        await asyncio.sleep(1)
        self._stop()
        with sqlite3.connect(database) as connection:
            connection.execute("INSERT INTO account (bare_jid, resourcepart, password, alias, enabled) VALUES (?, ?, ?, ?, 1)",
                               (f"{ROMEO}@{DOMAIN}", "orchard", PASSWORD, "romeo"))
        self._start()

    def _start(self) -> None:
        self._stage.start("dino-im", **self._environment)

    def _stop(self) -> None:
        program = self._stage.running.pop()
        program.terminate()
        program.wait(PATIENCE)

    def _does(self, *command: str) -> None:
        subprocess.run(["xdotool", *command], check=True, env={**os.environ, "DISPLAY": DISPLAY})

    def clicks(self, place: tuple[str, str]) -> None:
        self._does("mousemove", *place, "click", "1")

    def types(self, text: str) -> None:
        self._does("type", "--delay", "20", text)
        self._does("key", "Return")

    async def settles(self) -> None:
        """A screen cannot be waited for."""
        await asyncio.sleep(2)
        self._stage.check()

    async def takes_picture(self, file: Path) -> None:
        self.clicks(ENTRY)
        await self.settles()
        whole = self._stage.directory / file.name
        subprocess.run(["import", "-window", "root", "-strip", whole], check=True, env={**os.environ, "DISPLAY": DISPLAY})
        subprocess.run(["pngquant", "--force", "--strip", "--output", file, "64", whole], check=True)
        print(f"{file}: {file.stat().st_size // 1000} kB")


def tables(database: Path) -> list[str]:
    with sqlite3.connect(database) as connection:
        return [name for name, in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


async def until(holds) -> None:
    """Waits for what tells nobody."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not holds():
        if asyncio.get_running_loop().time() > deadline:
            raise Ended("Something did not come up.")
        await asyncio.sleep(0.1)


async def play(stage: ServerStage, pictures: Path) -> None:
    await stage.open()
    irc = IrcNetwork(NETWORK, password=PASSWORD)
    nurse, mercutio = await irc.connect("nurse"), await irc.connect("mercutio")
    for person in (nurse, mercutio):
        person.sends(f"JOIN {ROOM}")
    nurse.sends(f"TOPIC {ROOM} :Verona. A public place.")

    # Another client of his has remembered the room.
    before = XmppUser(ROMEO, DOMAIN, "closet", PASSWORD)
    await before._connect(DOMAIN, PORT, encrypted=True)
    await before.asks(before.jid, BOOKMARK, "set")
    # And befriended the nurse.
    before.comes_online()
    before.subscribes_to(f"nurse@{DOMAIN}")
    await before.receives(presence(sender=f"nurse@{DOMAIN}"))
    await before.disconnects()
    await nurse.loses_sight_of("romeo")

    dino = Dino(stage)
    await dino.opens()
    await mercutio.notices(Expectation("Romeo in the room", lambda line: line.command == "JOIN" and line.sender == "romeo"))
    dino.clicks(MAXIMIZE)
    mercutio.says(ROOM, "Nay, gentle Romeo, we must have you dance.")
    await dino.settles()
    for words in ("Not I, believe me: you have dancing shoes", "With nimble soles: I have a soul of lead"):
        dino.types(words)
        await mercutio.hears(words, by="romeo")
    mercutio.says(ROOM, "You are a lover; borrow Cupid's wings, and soar with them above a common bound.")
    nurse.says("romeo", "Sir, my mistress is the sweetest lady ♥")
    # Whoever spoke last is above the others.
    await dino.settles()
    nurse.says(ROOM, "Peter, my fan!")
    await dino.takes_picture(pictures / "dino-room.png")
    dino.clicks(SECOND_CHAT)
    await dino.settles()
    dino.types("Commend me to thy lady.")
    await nurse.notices(Expectation("words for her alone", lambda line: (
        line.command == "PRIVMSG" and line.parameters == ["nurse", "Commend me to thy lady."])))
    nurse.says("romeo", "Ay, a thousand times.")
    await dino.takes_picture(pictures / "dino-chat.png")
    await irc.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Takes pictures of a client of a transport in server mode.")
    parser.add_argument("daemon", type=Path, help="the program spectrum2; the others must be beside it or installed")
    parser.add_argument("pictures", type=Path, help="the directory to put them in")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.inside:
        with tempfile.TemporaryDirectory(prefix="spectrum2-screenshots-") as directory:
            os.chmod(directory, 0o755)
            return subprocess.run(["unshare", "--net", "--mount", sys.executable, "-B", *sys.argv, "--inside",
                                   directory]).returncode
    prepare(arguments.inside)
    stage = ServerStage(arguments.daemon.resolve(), arguments.inside)
    try:
        asyncio.run(play(stage, arguments.pictures))
    except (Ended, AssertionError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        stage.close()
    return 0


def prepare(directory: Path) -> None:
    """The network, its names, and the certificate; what is mounted over files of /etc goes with the namespace."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={DOMAIN}",
                    "-addext", f"subjectAltName=DNS:{DOMAIN}", "-keyout", directory / "key.pem", "-out",
                    directory / "certificate.pem"], check=True, capture_output=True)
    # Some client would otherwise think that it is off line; who is asked for a name says at once that he is not there.
    for command in ("ip link set lo up", "ip address add 192.0.2.1 dev lo", "ip route add default dev lo"):
        subprocess.run(command.split(), check=True)
    (directory / "hosts").write_text(f"127.0.0.1 localhost {DOMAIN} {NETWORK}\n")
    (directory / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    for name, target in (("hosts", "/etc/hosts"), ("resolv.conf", "/etc/resolv.conf"),
                         ("certificate.pem", "/etc/ssl/certs/ca-certificates.crt")):
        subprocess.run(["mount", "--bind", directory / name, target], check=True)


if __name__ == "__main__":
    sys.exit(main())
