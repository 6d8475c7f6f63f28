#!/usr/bin/python3
"""`make run`: a transport between an XMPP server and an IRC server, all on loopback, a conversation over it, and an
invitation to join in. Everything lives in one temporary directory and ends with this program.
"""

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from conversation import IrcNetwork, XmppServer, message

HOST = "127.0.0.1"
DOMAIN = "localhost"
GATEWAY = "irc.localhost"
# Such as are seldom taken; another one is used if it is.
CLIENT_PORT, COMPONENT_PORT, IRC_PORT = 15222, 15347, 16667

PROSODY = """
pidfile = "{directory}/prosody.pid"
data_path = "{directory}/prosody"
log = {{ warn = "{directory}/prosody.log" }}
run_as_root = true
interfaces = {{ "{host}" }}
c2s_ports = {{ {client} }}
component_interfaces = {{ "{host}" }}
component_ports = {{ {component} }}
modules_enabled = {{ "roster", "saslauth", "tls", "disco", "pep", "vcard_legacy", "register", "ping" }}
modules_disabled = {{ "s2s" }}
authentication = "internal_plain"
allow_registration = true
allow_unencrypted_plain_auth = true
c2s_require_encryption = false
ssl = {{ key = "{directory}/key.pem", certificate = "{directory}/certificate.pem" }}
VirtualHost "{domain}"
Component "{gateway}"
    component_secret = "capulet"
"""

NGIRCD = """
[Global]
Name = irc.localhost
Info = IRC server of make run
Listen = {host}
Ports = {irc}
[Limits]
MaxConnectionsIP = 0
MaxPenaltyTime = 0
[Options]
DNS = no
Ident = no
PAM = no
"""

TRANSPORT = """
[service]
jid = {gateway}
server = {host}
port = {component}
password = capulet
protocol = prpl-irc
working_dir = {directory}/spectrum2
pidfile = {directory}/spectrum2.pid

[database]
database = {directory}/spectrum2/database.sql

[identity]
name = IRC
type = irc

[registration]
instructions = Choose a nick.
username_label = Nick
username_mask = $username@{host}

[purple]
port = {irc}
"""


class Ended(Exception):
    """One of the programs ended, or did not come up."""


class Stage:
    """The three programs, in a directory of their own."""

    def __init__(self, daemon: Path, directory: Path):
        self.daemon = daemon
        self.directory = directory
        self.running: list[subprocess.Popen] = []
        self.ports = {"client": free_port(CLIENT_PORT), "component": free_port(COMPONENT_PORT),
                      "irc": free_port(IRC_PORT)}

    async def open(self) -> None:
        """Starts everything, and returns when the transport is connected."""
        for name, text in (("prosody.cfg.lua", PROSODY), ("ngircd.conf", NGIRCD), ("irc.cfg", TRANSPORT)):
            (self.directory / name).write_text(text.format(directory=self.directory, host=HOST, domain=DOMAIN,
                                                           gateway=GATEWAY, **self.ports))
        # It holds the secret, and others get through this directory.
        (self.directory / "irc.cfg").chmod(0o600)
        (self.directory / "prosody").mkdir()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj",
                        f"/CN={DOMAIN}", "-keyout", self.directory / "key.pem", "-out",
                        self.directory / "certificate.pem"], check=True, capture_output=True)
        self.start("prosody", "-F", "--config", self.directory / "prosody.cfg.lua")
        self.start("ngircd", "--nodaemon", "--config", self.directory / "ngircd.conf")
        for port in self.ports.values():
            await self.listening(port)
        await self.transport_ready()

    def start(self, *command: str | Path, **environment: str) -> None:
        """Starts a program that ends with this one, whatever becomes of it."""
        log = open(self.directory / f"{Path(command[0]).name}.out", "wb")
        self.running.append(subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *command], stdin=subprocess.DEVNULL,
                                             stdout=log, stderr=log, env={**os.environ, **environment}))

    async def listening(self, port: int) -> None:
        """Waits until somebody listens on a port."""
        for _ in range(200):
            self.check()
            try:
                _, writer = await asyncio.open_connection(HOST, port)
                writer.close()
                return
            except OSError:
                await asyncio.sleep(0.05)
        raise Ended(f"Nothing listens on port {port}.")

    async def transport_ready(self) -> None:
        """Starts the daemon and waits for what it would tell systemd."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(str(self.directory / "notify"))
            listener.setblocking(False)
            self.start(self.daemon, "-n", self.directory / "irc.cfg", NOTIFY_SOCKET=str(self.directory / "notify"))
            said = ""
            while "READY=1" not in said.splitlines():
                try:
                    said = (await asyncio.wait_for(asyncio.get_running_loop().sock_recv(listener, 4096), 1)).decode()
                except asyncio.TimeoutError:
                    self.check()

    def check(self) -> None:
        """Raises when a program has ended."""
        for program in self.running:
            if program.poll() is not None:
                name = Path(program.args[3]).name
                words = (self.directory / f"{name}.out").read_text(errors="replace").strip()
                raise Ended(f"{name} ended with status {program.returncode}:\n{words}")

    def close(self) -> None:
        """Ends everything, the transport first."""
        for program in reversed(self.running):
            program.terminate()
            try:
                program.wait(5)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()


def free_port(wanted: int) -> int:
    """The wanted port, or any other that is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError:
            probe.bind((HOST, 0))
        return probe.getsockname()[1]


async def converse(stage: Stage) -> None:
    """Romeo, on XMPP, and the nurse, on IRC, talk; every line is printed as it arrives on the other side."""
    xmpp = XmppServer("prosody", DOMAIN, HOST, stage.ports["client"])
    irc = IrcNetwork(HOST, stage.ports["irc"])
    nurse = await irc.connect("nurse")
    romeo = await xmpp.login("romeo")
    print(f"{romeo.jid} is on line, and registers with {GATEWAY} as 'romeo'.")
    await romeo.logs_in(GATEWAY, username="romeo")
    print("IRC knows him now.\n")

    for speaker, words in [
        ("romeo", "Good morrow, nurse. How doth my lady?"),
        ("nurse", "Sir, my mistress is the sweetest lady ♥"),
        ("romeo", "Commend me to thy lady."),
        ("nurse", "Ay, a thousand times."),
    ]:
        if speaker == "romeo":
            romeo.says(f"nurse@{GATEWAY}", words)
            await nurse.hears(words, by="romeo")
            print(f"  romeo (XMPP) → nurse (IRC)   {words}")
        else:
            nurse.says("romeo", words)
            await romeo.receives(message(words, sender=f"nurse@{GATEWAY}"))
            print(f"  nurse (IRC)  → romeo (XMPP)  {words}")
    await irc.close()
    await xmpp.close()
    await (await xmpp.login("you", online=False)).disconnects()


def invite(stage: Stage) -> None:
    """How to join in."""
    print(f"""
Join in with your own client:
  XMPP  server {HOST}, port {stage.ports['client']} (its certificate is its own, accept it), JID you@{DOMAIN}, password montague;
        find {GATEWAY} in its list of services and register there with a nick, and no password
  IRC   server {HOST}, port {stage.ports['irc']}, any nick; /msg the nick that you registered
  From XMPP an IRC user is NICK@{GATEWAY}.
Files and logs: {stage.directory}
Ctrl-C ends all of it.""", flush=True)


async def play(stage: Stage, once: bool) -> None:
    """The whole performance."""
    print("Starting Prosody, ngircd and the transport.", flush=True)
    await stage.open()
    await converse(stage)
    if once:
        return
    invite(stage)
    while True:
        await asyncio.sleep(1)
        stage.check()


def main() -> int:
    parser = argparse.ArgumentParser(description="Shows a transport at work on this machine.")
    parser.add_argument("daemon", type=Path, help="the program spectrum2; the others must be beside it or installed")
    parser.add_argument("--once", action="store_true", help="end after the conversation")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.stdout.reconfigure(line_buffering=True)
    with tempfile.TemporaryDirectory(prefix="spectrum2-run-") as directory:
        # Backends may run as somebody else.
        os.chmod(directory, 0o755)
        stage = Stage(arguments.daemon.resolve(), Path(directory))
        try:
            asyncio.run(play(stage, arguments.once))
        except (Ended, AssertionError) as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nThe end.")
        finally:
            stage.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
