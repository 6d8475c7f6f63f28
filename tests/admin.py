"""Admins, and people who would like to be: what they type, and what they are told."""

import asyncio
import fcntl
import json
import os
import pty
import subprocess
import termios
from dataclasses import dataclass

from transport import Transport

INTERFACE = "im.spectrum.Transport1"
OBJECT = "/im/spectrum/Transport1"


@dataclass
class Run:
    """What a command left: its status, and what it printed."""

    status: int
    out: str
    err: str

    def json(self) -> object:
        """What it printed, read."""
        return json.loads(self.out)


async def run(*command: object, user: str = "root", text: str = "") -> Run:
    """Runs a command as somebody, with `text` to read."""
    words = [str(word) for word in command]
    if user != "root":
        words = ["runuser", "-u", user, "--", *words]
    process = await asyncio.create_subprocess_exec(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                                   stderr=subprocess.PIPE)
    out, err = await process.communicate(text.encode())
    return Run(process.returncode, out.decode(), err.decode())


def make_user(name: str, *options: str) -> str:
    """Makes an account on the machine, if there is none of that name yet; returns the name."""
    if subprocess.run(["getent", "passwd", name], stdout=subprocess.DEVNULL).returncode != 0:
        subprocess.run(["useradd", *options, name], check=True)
    return name


async def manager(line: str, *more: object, user: str = "root", text: str = "") -> Run:
    """Types `spectrum2_manager LINE`; what holds blanks comes after the line."""
    return await run("spectrum2_manager", *line.split(), *more, user=user, text=text)


async def call(transport: Transport, method: str, *arguments: object, user: str = "root") -> Run:
    """Calls a method of a running transport by busctl, with a signature before arguments."""
    return await run("busctl", "--system", "--json=short", "call", f"{INTERFACE}.{transport.name}", OBJECT, INTERFACE,
                     method, *arguments, user=user)


async def report(transport: Transport) -> dict:
    """Everything that the manager knows about a transport."""
    return (await manager(f"--json status {transport.name}")).json()[0]


async def until(holds, told: str, within: float = 15.0):
    """Asks again and again, for what nobody announces, until what comes back is true."""
    deadline = asyncio.get_running_loop().time() + within
    while not (answer := await holds()):
        assert asyncio.get_running_loop().time() < deadline, f"waited {within:g} s in vain: {told}"
        await asyncio.sleep(0.05)
    return answer


class Terminal:
    """Somebody at a terminal, who sees what a command prints and types answers."""

    def __init__(self, *command: str):
        self.seen = ""
        self._master, screen = pty.openpty()
        self._process = subprocess.Popen(
            command, stdin=screen, stdout=screen, stderr=screen, env={**os.environ, "TERM": "xterm"},
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(screen)
        os.set_blocking(self._master, False)

    async def sees(self, text: str, within: float = 15.0) -> None:
        """Waits until the text is on the screen."""
        await until(lambda: self._shows(text), f"{text!r} on the screen", within)

    async def _shows(self, text: str) -> bool:
        try:
            self.seen += os.read(self._master, 65536).decode()
        except BlockingIOError:
            pass
        except OSError:
            # The command is gone, and its terminal with it.
            assert text in self.seen, f"no {text!r} in {self.seen!r}"
        return text in self.seen

    async def answers(self, question: str, answer: str) -> None:
        """Waits for a question, and types the answer."""
        await self.sees(question)
        os.write(self._master, f"{answer}\n".encode())
        self.seen = ""

    async def gives_password(self, question: str, password: str) -> None:
        """Waits for a question and until nothing is shown of what is typed, and types the password. What was typed before
        is thrown away."""
        await self.sees(question)
        await until(self._hides, "the terminal hides what is typed")
        os.write(self._master, f"{password}\n".encode())
        self.seen = ""

    async def _hides(self) -> bool:
        return not termios.tcgetattr(self._master)[3] & termios.ECHO

    async def ends(self) -> int:
        """Waits until the command has ended; returns its status."""
        async def is_over() -> bool:
            await self._shows("")
            return self._process.poll() is not None
        await until(is_over, "the command ends")
        os.close(self._master)
        return self._process.returncode


class Listener:
    """Somebody who listens to signals on the bus, by dbus-monitor."""

    def __init__(self, process: asyncio.subprocess.Process):
        self._process = process
        self.heard = ""

    @classmethod
    async def starts(cls, *matches: str, user: str = "root") -> "Listener":
        """Begins to listen."""
        command = ["dbus-monitor", "--system", *matches]
        if user != "root":
            command = ["runuser", "-u", user, "--", *command]
        listener = cls(await asyncio.create_subprocess_exec(*command, stdin=subprocess.DEVNULL,
                                                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
        # The bus greets it when it is connected.
        await listener.hears("NameAcquired")
        return listener

    async def hears(self, text: str, within: float = 15.0) -> None:
        """Waits until the text was heard."""
        async with asyncio.timeout(within):
            while text not in self.heard:
                chunk = await self._process.stdout.read(4096)
                assert chunk, f"dbus-monitor ended; it heard\n{self.heard}"
                self.heard += chunk.decode()

    async def ends(self) -> None:
        """Stops listening."""
        self._process.terminate()
        await self._process.wait()
