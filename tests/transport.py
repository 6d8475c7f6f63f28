"""Transports as an admin sees them: a file, a unit, its status and its journal."""

import asyncio
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Callable

from conversation import XmppServer

# prpl-irc sends a line in two seconds after a burst; the scenarios' IRC server asks for no such patience.
NETWORKS = {
    "prpl-irc": {"registration.username_mask": "$username@irc.test", "identity.type": "irc",
                 "purple.ratelimit-interval": 0, "purple.ratelimit-burst": 100000},
    "prpl-jabber": {"identity.type": "xmpp"},
}

SECRET = "capulet"
"""What the servers' configuration has as the secret of every component."""


class Transport:
    """The transport NAME.DOMAIN of an XMPP server.

    Options are given as section__key=value; a list repeats the key, None leaves an option out.
    """

    def __init__(self, name: str, server: XmppServer, options: dict[str, object]):
        self.name = name
        self.jid = f"{name}.{server.domain}"
        self.unit = f"spectrum2@{name}.service"
        self.backend_unit = f"spectrum2-backend@{name}.service"
        self.socket_unit = f"spectrum2-backend@{name}.socket"
        self.born = time.time()
        self.file = Path(f"/etc/spectrum2/transports/{name}.cfg")
        given = {key.replace("__", ".", 1): value for key, value in options.items()}
        self.vhosts = given.get("vhosts.vhost") or []
        protocol = given.setdefault("service.protocol", "prpl-irc")
        self.options = {
            "service.jid": self.jid,
            "service.server": server.domain,
            "service.port": 5347,
            "service.password": SECRET,
            "service.users_per_backend": 10,
            **NETWORKS.get(protocol, {}),
            **given,
        }

    def write(self) -> None:
        """Puts the transport's file in place."""
        sections: dict[str, list[str]] = {}
        for option, value in self.options.items():
            section, key = option.split(".", 1)
            for each in value if isinstance(value, list) else [] if value is None else [value]:
                sections.setdefault(section, []).append(f"{key} = {each}")
        self.file.touch()
        self.file.chmod(0o640)  # Its directory gives it the daemons' group.
        self.file.write_text("".join(f"[{section}]\n{chr(10).join(lines)}\n\n" for section, lines in sections.items()))

    async def start(self) -> None:
        """Writes the file and starts the unit, which must come up."""
        self.write()
        status, output = await systemctl("start", self.unit)
        assert status == 0, output

    async def fails_to_start(self) -> None:
        """Writes the file and starts the unit, which must fail."""
        self.write()
        status, output = await systemctl("start", self.unit)
        assert status != 0, f"{self.unit} started: {output}"

    async def stop(self) -> None:
        """Stops the unit."""
        status, output = await systemctl("stop", self.unit)
        assert status == 0, output

    async def restart(self) -> None:
        """Restarts the daemon, and nothing else."""
        status, output = await systemctl("restart", self.unit)
        assert status == 0, output

    async def remove(self) -> None:
        """Stops everything and forgets all that the transport kept."""
        await systemctl("stop", self.unit, self.socket_unit, self.backend_unit)
        await systemctl("reset-failed", self.unit, self.socket_unit, self.backend_unit)
        self.file.unlink(missing_ok=True)
        for jid in [self.jid, *self.vhosts]:
            shutil.rmtree(f"/var/lib/spectrum2/{jid}", ignore_errors=True)
        shutil.rmtree(f"/var/lib/spectrum2-backend/{self.name}", ignore_errors=True)

    async def says_of_itself(self, text: str, within: float = 30.0) -> str:
        """Waits until the status line of the unit contains `text`."""
        return await self._becomes("StatusText", self.unit, lambda value: text in value, repr(text), within)

    async def journal_says(self, text: str, within: float = 30.0) -> None:
        """Waits until the daemon or the launcher has written a line that contains `text`."""
        deadline = asyncio.get_running_loop().time() + within
        while text not in self.journal():
            assert asyncio.get_running_loop().time() < deadline, f"nothing about {text!r} in\n{self.journal()}"
            await asyncio.sleep(0.2)

    async def property_is(self, name: str, value: str, *, unit: str | None = None, within: float = 30.0) -> None:
        """Waits until systemd tells this of the daemon's unit, or of another one."""
        await self._becomes(name, unit or self.unit, lambda now: now == value, value, within)

    async def unit_is(self, unit: str, state: str) -> None:
        """Waits until a unit is `active`, `inactive`, …."""
        await self.property_is("ActiveState", state, unit=unit)

    async def backend_is_up(self) -> str:
        """Waits for the launcher, which the daemon's first connection starts; returns its process id."""
        await self.unit_is(self.backend_unit, "active")
        return self.property("MainPID", self.backend_unit)

    async def _becomes(self, name: str, unit: str, fits: Callable[[str], bool], expected: str, within: float) -> str:
        deadline = asyncio.get_running_loop().time() + within
        while not fits(value := self.property(name, unit)):
            assert asyncio.get_running_loop().time() < deadline, f"{name} of {unit} is {value!r}, not {expected}"
            await asyncio.sleep(0.05)  # systemctl can show a property, but not wait for one.
        return value

    def property(self, name: str, unit: str | None = None) -> str:
        """What systemd tells of the daemon's unit, or of another one."""
        return subprocess.run(["systemctl", "show", "--value", "--property", name, unit or self.unit],
                              capture_output=True, text=True, check=True).stdout.strip()

    def backends(self) -> dict[int, int]:
        """The processes that serve users now, as their titles tell: process id to number of users."""
        titles = {pid: title(pid) for pid in descendants(int(self.property("MainPID", self.backend_unit)))}
        told = {pid: re.fullmatch(r"spectrum2 backend .*: (\d+) users?", text) for pid, text in titles.items()}
        return {pid: int(match[1]) for pid, match in told.items() if match and match[1] != "0"}

    async def backend_of_one(self) -> int:
        """The process that serves the only user who is logged in."""
        while len(serving := self.backends()) != 1:
            await asyncio.sleep(0.05)
        return next(iter(serving))

    def journal(self) -> str:
        """All that the daemon and the launcher have written in this scenario."""
        return journal(units=[self.unit, self.backend_unit], since=self.born)


def descendants(pid: int) -> list[int]:
    """The children of a process, and theirs."""
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(each for child in children for each in descendants(child))]


def title(pid: int) -> str:
    """The command line of a process, as ps shows it."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()


async def systemctl(*arguments: str) -> tuple[int, str]:
    """Runs systemctl; returns its status and what it printed."""
    process = await asyncio.create_subprocess_exec("systemctl", *arguments, stdout=subprocess.PIPE,
                                                   stderr=subprocess.STDOUT)
    output, _ = await process.communicate()
    return process.returncode, output.decode()


def journal(*, units: list[str] | None = None, since: float | None = None) -> str:
    """The journal, oldest first: of these units, or of everything, since a moment in seconds since 1970."""
    command = ["journalctl", "--no-pager", "--output=short-precise"]
    command += [f"--unit={unit}" for unit in units or []]
    command += [f"--since=@{since:.6f}"] if since is not None else []
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
