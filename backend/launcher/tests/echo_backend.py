#!/usr/bin/env python3
"""A small backend for tests, started as Spectrum 2 starts one, for a network on which everybody repeats what they hear.

    echo_backend.py --host HOST --port PORT [--service.backend_id=N] [...] CONFIG

Everybody can log in, except with the password "wrong". Contacts answer with what they are told, except:

    !args       the arguments of this process
    !pid        its process id
    !crash      dies by SIGSEGV
    !exit N     exits with status N
    !hang       neither reads nor answers any more
    !error T    is not delivered: RESULT with the text T, or the words "cannot be sent"
    !drop       the network goes away: DISCONNECTED with a temporary error
    !sayN       N messages in a row

Protocol buffers by hand, so that it depends on nothing and checks the wire rather than a library.
"""

import os
import signal
import socket
import struct
import sys
import time

CONNECTED, DISCONNECTED, LOGIN, LOGOUT, BUDDY_CHANGED = 1, 2, 3, 4, 6
CONV_MESSAGE, PING, PONG, JOIN_ROOM, LEAVE_ROOM, PARTICIPANT_CHANGED = 8, 9, 10, 11, 12, 13
VCARD, TYPING, STOPPED_TYPING, TYPED, ATTENTION, STATS, EXIT = 16, 18, 19, 20, 22, 23, 29
BACKEND_CONFIG, EXTENSIONS, RESULT = 30, 200, 201

CONFIG = "[registration]\nneedPassword=1\nneedRegistration=1\n[features]\nmuc=1\nrawxml=0\n[extensions]\nname=ack\n"
INVALID_SETTINGS, AUTHENTICATION_FAILED, OTHER_ERROR = 7, 2, 16
OFFLINE = 5


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytes([number]))


def message(fields):
    """Serialises {number: value}, in the order given; a list is a repeated field, None is absent."""
    out = b""
    for number, value in fields.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, int):
                out += varint(number << 3) + varint(item)
            elif item is not None:
                data = item.encode() if isinstance(item, str) else item
                out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def parse(data):
    """Gives {number: last value}, texts as bytes."""
    fields, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = number()
        if key & 7 == 0:
            fields[key >> 3] = number()
        elif key & 7 == 2:
            length = number()
            fields[key >> 3] = data[at : at + length]
            at += length
        else:
            raise ValueError(f"wire type {key & 7}")
    return fields


class Backend:
    def __init__(self, connection):
        self.connection = connection
        self.introduced = self.acknowledges = False

    def send(self, kind, fields=None):
        payload = None if fields is None else message(fields)
        wrapper = message({1: kind, 2: payload})
        self.connection.sendall(struct.pack(">I", len(wrapper)) + wrapper)

    def run(self):
        """Serves until the daemon says EXIT or closes."""
        stream = self.connection.makefile("rb")
        while True:
            prefix = stream.read(4)
            if len(prefix) < 4:
                return
            wrapper = parse(stream.read(*struct.unpack(">I", prefix)))
            if wrapper[1] == EXIT:
                return
            self.handle(wrapper[1], wrapper.get(2, b""))

    def handle(self, kind, payload):
        if kind == PING:
            if not self.introduced:
                self.introduced = True
                self.send(BACKEND_CONFIG, {1: CONFIG})
            self.send(PONG)
            self.send(STATS, {1: 9000, 2: 9000, 3: 7000, 4: str(os.getpid())})
            return
        fields = parse(payload)
        user = fields.get(1)
        if kind == EXTENSIONS:
            self.acknowledges = user == b"ack"
        elif kind == LOGIN and fields[3] == b"wrong":
            self.send(DISCONNECTED, {1: user, 2: AUTHENTICATION_FAILED, 3: "Wrong password"})
        elif kind == LOGIN:
            self.send(CONNECTED, {1: user})
            self.send(BUDDY_CHANGED, {1: user, 2: "echo", 3: "Echo", 4: ["Test"], 5: 0, 6: "", 7: "", 8: 0})
        elif kind == BUDDY_CHANGED:
            fields = {1: user, 2: fields[2], 3: fields.get(3, b""), 4: fields.get(4), 5: 0, 6: "", 7: "", 8: 0}
            self.send(BUDDY_CHANGED, fields)
        elif kind == CONV_MESSAGE:
            self.hear(user, fields)
        elif kind in (TYPING, TYPED, STOPPED_TYPING):
            self.send(kind, {1: user, 2: fields[2]})
        elif kind == ATTENTION:
            self.send(ATTENTION, {1: user, 2: fields[2], 3: fields[3]})
        elif kind == VCARD and fields[2] and 6 not in fields:
            self.send(VCARD, {1: user, 2: fields[2], 3: fields[3], 4: "Echo of " + fields[2].decode()})
        elif kind == JOIN_ROOM:
            for nickname in (b"echo", fields[2]):
                self.send(PARTICIPANT_CHANGED, {1: user, 2: fields[3], 3: nickname, 4: 0, 5: 0})
        elif kind == LEAVE_ROOM:
            self.send(PARTICIPANT_CHANGED, {1: user, 2: fields[3], 3: "echo", 4: 0, 5: OFFLINE})

    def hear(self, user, fields):
        contact, text, serial = fields[2], fields[3].decode(), fields.get(100)
        room = contact.startswith(b"#")

        def say(answer):
            self.send(CONV_MESSAGE, {1: user, 2: contact, 3: answer, 4: "echo" if room else None})

        word, _, rest = text.partition(" ")
        if word == "!crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif word == "!exit":
            os._exit(int(rest))
        elif word == "!hang":
            while True:
                time.sleep(3600)
        elif word == "!error" and self.acknowledges and serial is not None:
            self.send(RESULT, {1: user, 2: serial, 3: INVALID_SETTINGS, 4: rest})
            return
        if self.acknowledges and serial is not None:
            self.send(RESULT, {1: user, 2: serial})
        if word == "!error":
            say("cannot be sent")
        elif word == "!drop":
            self.send(DISCONNECTED, {1: user, 2: OTHER_ERROR, 3: "The network went away"})
        elif word == "!args":
            say(" ".join(sys.argv))
        elif word == "!pid":
            say(str(os.getpid()))
        elif word.startswith("!say") and word[4:].isdigit():
            for count in range(int(word[4:])):
                say(f"{count + 1}")
        else:
            say(text)


def main(arguments):
    host, port = arguments[arguments.index("--host") + 1], int(arguments[arguments.index("--port") + 1])
    Backend(socket.create_connection((host, port))).run()


if __name__ == "__main__":
    main(sys.argv)
