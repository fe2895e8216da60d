#!/usr/bin/env python3
"""A WebSocket implementation written by others (wsproto) judges the node's: RFC 6455, frame by frame, over TLS.

Each case opens a socket, sends bytes that wsproto would never send, and holds what comes back against the RFC: wsproto
reads every byte the node sends and refuses what is wrong. The cases follow the numbering of the Autobahn test suite
(1 framing, 2 pings, 3 reserved bits, 4 opcodes, 5 fragmentation, 6 UTF-8, 7 closing, 9 limits and floods), then random bytes,
then clients that say hello too slowly.

  websocket_judge.py               every case; some seconds, and ten more for the slow ones
  websocket_judge.py --idle 5000   opens so many sockets and prints what each costs the node in memory
"""

import json
import random
import resource
import socket
import ssl
import struct
import sys
import time
import urllib.request

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection, CloseConnection, Pong, Request, TextMessage,
)

from node_under_test import ADMIN, Node, enter_network

HTTPS = ("127.0.0.1", 8443)
HTTP = ("127.0.0.1", 8080)
MESSAGE_BYTES_MAX = 65_536
HELLO_SECONDS = 10
TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
PATIENCE = 20
failures = []


class Ended(Exception):
    """The node closed the connection."""


def tls():
    """A context that trusts whatever certificate the node made for itself: not what is judged here."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


CONTEXT = tls()


class Client:
    """A socket: wsproto reads, this writes."""

    def __init__(self, hello=True, secure=True, patience=PATIENCE):
        raw = socket.create_connection(HTTPS if secure else HTTP, timeout=patience)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = CONTEXT.wrap_socket(raw) if secure else raw
        self.judge = WSConnection(ConnectionType.CLIENT)
        self.text = ""
        self.waiting = []
        self.connection.sendall(self.judge.send(Request(host="localhost:8443", target="/ws", subprotocols=["corecast.v1"])))
        accepted = self.event()
        assert isinstance(accepted, AcceptConnection), accepted
        assert accepted.subprotocol == "corecast.v1" and not accepted.extensions, accepted
        if hello:
            self.message({"type": "hello", "id": 1, "version": 1})
            assert self.answer()["type"] == "welcome"

    def event(self):
        """The next event. wsproto raises when the node breaks the protocol."""
        while not self.waiting:
            try:
                data = self.connection.recv(65_536)
            except (ConnectionResetError, BrokenPipeError, ssl.SSLError) as error:
                raise Ended(repr(error)) from error
            if not data:
                raise Ended("end of the connection")
            self.judge.receive_data(data)
            for event in self.judge.events():
                if isinstance(event, TextMessage):
                    self.text += event.data
                    if event.message_finished:
                        self.waiting.append(json.loads(self.text))
                        self.text = ""
                else:
                    self.waiting.append(event)
        return self.waiting.pop(0)

    def answer(self):
        event = self.event()
        assert isinstance(event, dict), event
        return event

    def frame(self, opcode, payload=b"", fin=True, reserved=0, mask=True, length=None):
        """One frame, as wrong as asked for."""
        first = (0x80 if fin else 0) | reserved << 4 | opcode
        masked = 0x80 if mask else 0
        size = len(payload) if length is None else length
        if size < 126:
            head = struct.pack("!BB", first, masked | size)
        elif size < 65_536:
            head = struct.pack("!BBH", first, masked | 126, size)
        else:
            head = struct.pack("!BBQ", first, masked | 127, size)
        if mask:
            key = random.randbytes(4)
            payload = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
            head += key
        self.raw(head + payload)

    def raw(self, data):
        try:
            self.connection.sendall(data)
        except OSError:
            pass  # The node may have closed already; what it said is read next.

    def message(self, value):
        self.frame(TEXT, json.dumps(value, ensure_ascii=False).encode())

    def expect_pong(self):
        """It is served: a request is answered."""
        self.message({"type": "ping", "id": 77})
        while True:
            event = self.event()
            if isinstance(event, dict):
                assert event == {"type": "pong", "id": 77}, event
                return

    def expect_close(self, *codes):
        """The node closes with one of these, and then the connection."""
        while True:
            event = self.event()
            if isinstance(event, CloseConnection):
                assert event.code in codes, f"closed with {event.code} {event.reason!r}, not {codes}"
                break
        # RFC 6455 §7.1.1: the server closes TCP first, after the client has answered or a while.
        self.frame(CLOSE, struct.pack("!H", int(event.code)) if event.code != 1005 else b"")
        try:
            extra = self.event()
        except Ended:
            return
        raise AssertionError(f"{extra} after the close frame")

    def is_told(self):
        """Whether the node has said something, which stays to be read."""
        self.connection.settimeout(0.01)
        try:
            self.waiting.append(self.event())
        except TimeoutError:
            return False
        except Ended:
            pass
        return True

    def drop(self):
        self.connection.close()


def case(name, action, hello=True):
    """Runs one case on a socket of its own."""
    try:
        client = Client(hello=hello)
        try:
            action(client)
        finally:
            client.drop()
    except Exception as error:  # pylint: disable=broad-except
        failures.append(name)
        print(f"FAIL {name}: {type(error).__name__}: {error}")


def padded(size):
    """A ping message of exactly so many bytes."""
    empty = json.dumps({"type": "ping", "id": 5, "x": ""})
    return json.dumps({"type": "ping", "id": 5, "x": "x" * (size - len(empty))}).encode()


def frames():
    def of_size(size, parts=1):
        def action(client):
            data = padded(size)
            step = -(-len(data) // parts)
            chunks = [data[at:at + step] for at in range(0, len(data), step)]
            for at, chunk in enumerate(chunks):
                client.frame(TEXT if at == 0 else CONTINUATION, chunk, fin=at == len(chunks) - 1)
            assert client.answer() == {"type": "pong", "id": 5}
            client.expect_pong()
        return action

    for size in (40, 125, 126, 127, 128, 65_535, MESSAGE_BYTES_MAX):
        case(f"1 text of {size} bytes", of_size(size))
    for parts in (2, 7, 1_000):
        case(f"1 text in {parts} frames", of_size(60_000, parts))

    def byte_by_byte(client):
        key = b"\x01\x02\x03\x04"
        data = padded(60)
        masked = bytes(byte ^ key[at % 4] for at, byte in enumerate(data))
        for byte in b"\x81" + bytes([0x80 | len(data)]) + key + masked:
            client.raw(bytes([byte]))
        assert client.answer() == {"type": "pong", "id": 5}
    case("1 text byte by byte", byte_by_byte)

    def ping_of(payload):
        def action(client):
            client.frame(PING, payload)
            pong = client.event()
            assert isinstance(pong, Pong) and bytes(pong.payload) == payload, pong
            client.expect_pong()
        return action

    for payload in (b"", b"hello", bytes(range(125)), b"\x00\xff\xfe" * 41):
        case(f"2 ping of {len(payload)} bytes", ping_of(payload))

    def many_pings(client):
        for number in range(10):
            client.frame(PING, b"ping %d" % number)
        last = None
        while last != b"ping 9":  # RFC 6455 §5.5.3: only the newest must be answered.
            pong = client.event()
            assert isinstance(pong, Pong), pong
            last = bytes(pong.payload)
        client.expect_pong()
    case("2 ten pings", many_pings)

    def unsolicited(client):
        client.frame(PONG, b"nobody asked")
        client.expect_pong()
    case("2 unsolicited pong", unsolicited)


def breaches():
    def closes(code, *sent):
        def action(client):
            for arguments in sent:
                client.frame(**arguments)
            client.expect_close(code)
        return action

    whole = padded(60)
    case("2 ping of 126 bytes", closes(1002, {"opcode": PING, "payload": bytes(126)}))
    for reserved in range(1, 8):
        for opcode in (TEXT, PING):
            case(f"3 reserved bits {reserved} on {opcode}", closes(1002, {"opcode": opcode, "payload": whole, "reserved": reserved}))
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        case(f"4 opcode {opcode}", closes(1002, {"opcode": opcode, "payload": b"x"}))
    case("4 unmasked text", closes(1002, {"opcode": TEXT, "payload": whole, "mask": False}))
    case("4 unmasked ping", closes(1002, {"opcode": PING, "mask": False}))
    case("4 binary", closes(1003, {"opcode": BINARY, "payload": whole}))
    for opcode in (PING, PONG, CLOSE):
        case(f"5 fragmented control {opcode}", closes(1002, {"opcode": opcode, "fin": False}))
    for fin in (True, False):
        case(f"5 continuation of nothing, fin {fin}", closes(1002, {"opcode": CONTINUATION, "payload": b"x", "fin": fin}))
    case("5 text inside a text", closes(1002, {"opcode": TEXT, "payload": b"{", "fin": False}, {"opcode": TEXT, "payload": b"}"}))
    case("9 one byte too many", closes(1009, {"opcode": TEXT, "payload": padded(MESSAGE_BYTES_MAX + 1)}))
    case("9 too many in frames", closes(1009, *[
        {"opcode": TEXT if at == 0 else CONTINUATION, "payload": b" " * 1_000, "fin": False} for at in range(70)
    ]))
    case("9 a length that is a claim", closes(1009, {"opcode": TEXT, "length": 1 << 40}))

    def negative_length(client):
        client.frame(TEXT, length=(1 << 63) + 5)
        client.expect_close(1002, 1009)  # RFC 6455 §5.2: the most significant bit must be 0.
    case("9 a length with its highest bit set", negative_length)

    def interleaved(client):
        client.frame(TEXT, whole[:10], fin=False)
        client.frame(PING, b"between")
        client.frame(CONTINUATION, b"", fin=False)
        client.frame(CONTINUATION, whole[10:])
        assert isinstance(client.event(), Pong)
        assert client.answer() == {"type": "pong", "id": 5}
    case("5 ping between fragments", interleaved)


def texts():
    def wrap(data):
        return b'{"type":"ping","id":5,"x":"' + data + b'"}'

    valid = ["κόσμε", "\u0080", "\u07ff", "\u0800", "\uffff", "\U00010000", "\U0010ffff", "\ufdd0", "\ufffe", "\ud7ff", "\ue000"]
    for text in valid:
        for parts in (1, 100):
            def action(client, data=wrap(text.encode()), parts=parts):
                step = -(-len(data) // parts)
                chunks = [data[at:at + step] for at in range(0, len(data), step)]
                for at, chunk in enumerate(chunks):
                    client.frame(TEXT if at == 0 else CONTINUATION, chunk, fin=at == len(chunks) - 1)
                assert client.answer() == {"type": "pong", "id": 5}
            case(f"6 valid {text.encode().hex()} in {parts}", action)
    invalid = [
        "80", "bf", "8080", "fe", "ff", "c0", "c080", "c1bf", "c2", "e080af", "e0", "e09f80", "eda080", "edbfbf", "edad80edb080",
        "f08080af", "f0808080", "f4908080", "f5808080", "f888808080", "fc8480808080", "cebae1bdb9cf83cebcceb5eda080656469746564",
        "cebae1bdb9cf83cebcceb5f4908080656469746564",
    ]
    for data in invalid:
        for parts in (1, 100):
            def action(client, data=wrap(bytes.fromhex(data)), parts=parts):
                step = -(-len(data) // parts)
                chunks = [data[at:at + step] for at in range(0, len(data), step)]
                for at, chunk in enumerate(chunks):
                    client.frame(TEXT if at == 0 else CONTINUATION, chunk, fin=at == len(chunks) - 1)
                client.expect_close(1007)
            case(f"6 invalid {data} in {parts}", action)


def closings():
    def closing(payload, *codes):
        def action(client):
            client.frame(CLOSE, payload)
            client.expect_close(*codes)
        return action

    case("7 close without a code", closing(b"", 1005))
    case("7 close with half a code", closing(b"\x03", 1002))
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
        case(f"7 close {code}", closing(struct.pack("!H", code), code))
        case(f"7 close {code} with a reason", closing(struct.pack("!H", code) + b"r" * 123, code))
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535):
        case(f"7 close {code}", closing(struct.pack("!H", code), 1002))
    case("7 close with a long reason", closing(struct.pack("!H", 1000) + b"r" * 124, 1002))
    case("7 close with a reason that is no text", closing(struct.pack("!H", 1000) + b"\xff\xfe", 1007))

    def after_close(client):
        client.frame(CLOSE, struct.pack("!H", 1000))
        client.message({"type": "ping", "id": 9})
        client.frame(PING)
        client.frame(CLOSE, struct.pack("!H", 1001))
        client.expect_close(1000)
    case("7 nothing is done after a close", after_close)

    def before_close(client):
        client.message({"type": "ping", "id": 9})
        client.frame(CLOSE, struct.pack("!H", 1000))
        client.expect_close(1000)  # RFC 6455 §5.5.1: the answer may come before it, and need not.
    case("7 a close right behind a request", before_close)


def floods():
    """More of the same than anybody needs, as fast as it goes. Each is closed, and who comes beside it is served."""
    def flood(code, *frames, first=b""):
        # Masked with zeros. More than the node reads of it: what it has not read when it closes, it throws away.
        again = b"".join(struct.pack("!BB", fin << 7 | opcode, 0x80 | len(payload)) + bytes(4) + payload for opcode, payload, fin in frames)
        again *= 32_768 // len(again) + 1

        def action(client):
            other = Client()
            client.connection.settimeout(PATIENCE)
            client.raw(first)
            for _ in range(20):
                client.raw(again)
            other.expect_pong()
            client.expect_close(code)
            other.expect_pong()
            other.drop()
        return action

    open_text = struct.pack("!BB", TEXT, 0x80) + bytes(4)
    case("9 pings without end", flood(4002, (PING, b"", 1)))
    case("9 pings of 125 bytes without end", flood(4002, (PING, bytes(125), 1)))
    case("9 pongs without end", flood(4002, (PONG, b"x", 1)))
    case("9 pings inside a text without end", flood(4002, (PING, b"", 1), first=open_text))
    case("9 empty fragments without end", flood(1009, (CONTINUATION, b"", 0), first=open_text))
    case("9 fragments of a byte without end", flood(1009, (CONTINUATION, b" ", 0), first=open_text))
    case("9 empty texts without end", flood(4004, (TEXT, b"", 1)))
    case("9 requests without end", flood(4002, (TEXT, b'{"type":"ping","id":5}', 1)))


def noise(seeds):
    """Whatever comes, the node answers with correct frames or closes with a correct code, and serves the next client."""
    allowed = {1002, 1003, 1005, 1007, 1009, 4000, 4002, 4004, *range(1000, 1015), *range(3000, 5000)}
    for seed in range(seeds):
        source = random.Random(seed)

        def action(client, source=source):
            client.connection.settimeout(0.02)
            for _ in range(source.randrange(1, 40)):
                kind = source.randrange(4)
                if kind == 0:
                    client.raw(source.randbytes(source.randrange(1, 300)))
                elif kind == 1:
                    client.frame(
                        source.choice([0, 1, 2, 8, 9, 10, source.randrange(16)]), source.randbytes(source.randrange(200)),
                        fin=source.random() < 0.7, reserved=0 if source.random() < 0.9 else source.randrange(8),
                        mask=source.random() < 0.95,
                    )
                elif kind == 2:
                    text = bytearray(json.dumps({"type": "subscribe", "id": 3, "stream": "a", "sdp": "v=0"}).encode())
                    text[source.randrange(len(text))] = source.randrange(256)
                    client.frame(TEXT, bytes(text))
                else:
                    client.message({"type": source.choice(["hello", "close", "ping", "x"]), "id": source.choice([1, "1", None, -1, 1e99])})
            while True:
                try:
                    event = client.event()
                except (TimeoutError, Ended):
                    return
                if isinstance(event, CloseConnection):
                    assert int(event.code) in allowed, event
        case(f"noise {seed}", action)


def slow_clients():
    """Those who said nothing, or said it a byte at a time, are closed when the time for hello is over."""
    began = time.monotonic()
    clients = [Client(hello=False) for _ in range(20)]
    half = {"type": "hello", "id": 1, "version": 1}
    text = json.dumps(half).encode()
    for at, client in enumerate(clients):
        if at % 2:
            client.frame(TEXT, text[:-1], fin=False)
    # One that is closed stops: it would write into a connection that is gone. What goes on only because it is fed never stops.
    fed = clients[1::2]
    while fed and time.monotonic() < began + HELLO_SECONDS + PATIENCE:
        fed = [client for client in fed if not client.is_told()]
        for client in fed:
            client.frame(CONTINUATION, b"", fin=False)
        time.sleep(0.2)
    for at, client in enumerate(clients):
        try:
            assert client not in fed, f"served for {HELLO_SECONDS + PATIENCE} s because it goes on"
            client.connection.settimeout(PATIENCE)
            client.expect_close(4000)
        except Exception as error:  # pylint: disable=broad-except
            failures.append(f"slow {at}")
            print(f"FAIL slow {at}: {type(error).__name__}: {error}")


def resident_bytes():
    with urllib.request.urlopen(ADMIN + "/metrics", timeout=PATIENCE) as answer:
        lines = answer.read().decode().splitlines()
    figure = lambda name: int(next(line for line in lines if line.startswith(name + " ")).split()[1])
    return figure("corecast_resident_memory_bytes"), figure("corecast_sockets")


def idle(count):
    """Opens sockets and leaves them open: what does one cost?"""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 200
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    for secure in (True, False):
        with Node(f"websocket-idle-{'tls' if secure else 'plain'}"):
            # What the first connections make the process allocate once is not theirs.
            warm = [Client(secure=secure) for _ in range(50)]
            [client.drop() for client in warm]
            time.sleep(2)
            before, _ = resident_bytes()
            began = time.monotonic()
            clients, said = [], began
            for _ in range(count):
                clients.append(Client(secure=secure, patience=60))
                if time.monotonic() > said + 15:  # Nobody reads the node's pings: show that all live.
                    said = time.monotonic()
                    [client.frame(PONG) for client in clients]
            took = time.monotonic() - began
            time.sleep(3)
            after, open_now = resident_bytes()
            clients[-1].expect_pong()
            each = (after - before) / count / 1024
            print(
                f"{'wss' if secure else 'ws '}: {open_now} sockets open, {each:.1f} KiB of resident memory each "
                f"({before / 2**20:.0f} → {after / 2**20:.0f} MiB), opened in {took:.0f} s"
            )
            for client in clients:
                client.drop()
            if open_now != count:
                failures.append("idle")


def main():
    enter_network()
    if sys.argv[1:2] == ["--idle"]:
        idle(int(sys.argv[2]))
        return 1 if failures else 0
    with Node("websocket"):
        began = time.monotonic()
        for group in (frames, breaches, texts, closings, floods):
            group()
        noise(100)
        took = time.monotonic() - began
        slow_clients()
        client = Client()
        client.expect_pong()
        client.drop()
    print(f"{'failed: ' + ', '.join(failures) if failures else 'every case passed'} ({took:.1f} s without the slow ones)")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
