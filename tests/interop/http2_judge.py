#!/usr/bin/env python3
"""What h2spec asks of a server, asked of the node: RFC 9113 section by section, RFC 7541 where a header block can be wrong.

h2spec itself is in no package source that this tree uses. Here its cases are a table: each opens a connection over TLS, sends
frames that no library would send, and says what must come back: a connection error with that code (GOAWAY, or the connection
just closed), a stream error (RST_STREAM, or a connection error), or an answer. Frames that come back are read by hyperframe and
hpack, and a client that others wrote (h2) fetches pages at last.

  http2_judge.py         every case
  http2_judge.py NAME    those whose name contains NAME
"""

import socket
import ssl
import struct
import sys
import time

import h2.config
import h2.connection
import h2.events
import hpack
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame

from node_under_test import Node, enter_network

HTTPS = ("127.0.0.1", 8443)
PATIENCE = 20
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
NO_ERROR, PROTOCOL, _, FLOW_CONTROL, _, STREAM_CLOSED, FRAME_SIZE, REFUSED, CANCEL, COMPRESSION = range(10)
FRAME_BYTES_MAX = 16_384
STREAMS_MAX = 64
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# What h2spec asks and this does not, and why.
SKIPPED = {
    "5.3.1 a stream that depends on itself": "RFC 9113 §5.3.2 lets a server ignore priorities, and the node does",
    "6.4, 6.6 frames that only a server sends": "a client does not judge itself",
    "6.9.2 a window made negative while an answer is sent": "when that happens depends on when the answer is ready",
    "8.1.2.6 content-length where there is no body to read": "the node answers by the head and reads no body of a GET",
}

# Where the node's HTTP/2 library (h2 0.4) does another thing than the RFC asks, and what. Each still has to do exactly that, so
# that a better library shortens this list. None of them lets a client do what it may not: all but the first end the connection.
GENERAL_CODE = "GOAWAY says PROTOCOL_ERROR where the RFC has a narrower code"
KNOWN = {
    "3.4 no SETTINGS behind the preface": "another frame than SETTINGS may come first",
    "4.3 a header block that is none": GENERAL_CODE,
    "5.4.1 GOAWAY before the end of the connection": GENERAL_CODE,
    "6.3 PRIORITY of four octets": GENERAL_CODE,
    "6.4 RST_STREAM of three octets": GENERAL_CODE,
    "6.5 SETTINGS acknowledgement with a payload": GENERAL_CODE,
    "6.5 SETTINGS of five octets": GENERAL_CODE,
    "6.5.2 INITIAL_WINDOW_SIZE of 2³¹": GENERAL_CODE,
    "6.7 PING of six octets": GENERAL_CODE,
    "6.9 WINDOW_UPDATE of three octets": GENERAL_CODE,
}


class Ended(Exception):
    """The node closed the connection."""


def tls():
    """A context that trusts whatever certificate the node made for itself: not what is judged here."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


CONTEXT = tls()


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """One frame, as wrong as asked for."""
    length = len(payload) if length is None else length
    return struct.pack("!I", length)[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def block(*fields):
    """Literal fields without indexing (RFC 7541 §6.2.2), in whatever order and form."""
    text = lambda octets: hpack.hpack.encode_integer(len(octets), 7) + octets
    return b"".join(b"\x00" + bytes(text(name.encode())) + bytes(text(value.encode())) for name, value in fields)


def request(method="GET", path="/", *more, without=()):
    fields = [(":method", method), (":scheme", "https"), (":path", path), (":authority", "localhost:8443")]
    return block(*[field for field in fields if field[0] not in without], *more)


GET = request()
POST = request("POST", "/whip/judged", ("content-type", "application/sdp"))


def setting(identifier, value):
    return struct.pack("!HI", identifier, value)


class Client:
    """A connection whose prefaces were exchanged, unless it says otherwise."""

    def __init__(self, settings=b"", preface=PREFACE, ready=True):
        raw = socket.create_connection(HTTPS, timeout=PATIENCE)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = CONTEXT.wrap_socket(raw)
        assert self.connection.selected_alpn_protocol() == "h2"
        self.bytes = b""
        self.decoder = hpack.Decoder()
        self.sent(preface + frame(SETTINGS, payload=settings))
        if ready:
            self.until(lambda one: isinstance(one, SettingsFrame) and "ACK" in one.flags)

    def sent(self, *frames):
        try:
            self.connection.sendall(b"".join(frames))
        except OSError:
            pass  # The node may have closed already; what it said is read next.

    def next(self):
        """The node's next frame, as hyperframe reads it."""
        while True:
            if len(self.bytes) >= 9:
                one, length = Frame.parse_frame_header(memoryview(self.bytes[:9]))
                if len(self.bytes) >= 9 + length:
                    one.parse_body(memoryview(self.bytes[9:9 + length]))
                    self.bytes = self.bytes[9 + length:]
                    return one
            try:
                data = self.connection.recv(65_536)
            except (ConnectionResetError, BrokenPipeError, ssl.SSLError) as error:
                raise Ended(repr(error)) from error
            if not data:
                raise Ended("end of the connection")
            self.bytes += data

    def until(self, wanted):
        """The first frame that is wanted. What ends the connection is an error, unless it is wanted."""
        while True:
            one = self.next()
            if wanted(one):
                return one
            if isinstance(one, GoAwayFrame):
                raise AssertionError(f"GOAWAY {one.error_code} {one.additional_data!r}")

    def answer(self, stream):
        """The status of the answer on a stream, whose body is read."""
        fields, one = {}, None
        while one is None or one.stream_id != stream:
            one = self.until(lambda one: one.stream_id == stream or isinstance(one, HeadersFrame))
            assert isinstance(one, HeadersFrame), one
            fields = dict(self.decoder.decode(one.data))
        while "END_STREAM" not in one.flags:
            one = self.until(lambda one: one.stream_id == stream)
            assert not isinstance(one, RstStreamFrame) or one.error_code == NO_ERROR, one
            if isinstance(one, RstStreamFrame):
                break
        return int(fields[":status"])

    def is_served(self, stream=101):
        self.sent(frame(HEADERS, END_STREAM | END_HEADERS, stream, GET))
        assert self.answer(stream) == 200

    def connection_error(self, *codes):
        """GOAWAY with one of these codes, or closed. RFC 9113 §5.4.1 asks for the former with "SHOULD"."""
        try:
            while True:
                one = self.next()
                if isinstance(one, GoAwayFrame) and one.error_code != NO_ERROR:
                    assert one.error_code in codes, f"GOAWAY {one.error_code}, not {codes}"
                    break
            while True:
                self.next()
        except Ended:
            pass

    def stream_error(self, stream, *codes):
        """RST_STREAM with one of these codes, or a connection error with one. An answer of 4xx is one as well (§8.1.1)."""
        try:
            while True:
                one = self.next()
                if isinstance(one, GoAwayFrame) and one.error_code != NO_ERROR:
                    assert one.error_code in codes, f"GOAWAY {one.error_code}, not {codes}"
                    return
                if isinstance(one, RstStreamFrame) and one.stream_id == stream:
                    assert one.error_code in codes, f"RST_STREAM {one.error_code}, not {codes}"
                    self.is_served()
                    return
                if isinstance(one, HeadersFrame):
                    status = dict(self.decoder.decode(one.data))[":status"]
                    assert one.stream_id != stream or status.startswith("4"), f"answered {status}"
                    if one.stream_id == stream:
                        return
        except Ended:
            pass


CASES = []


def case(name, *frames, then, settings=b"", ready=True, preface=PREFACE):
    """A case: what is sent, and what is to be seen `then`."""
    if name in KNOWN:
        then = ends(PROTOCOL) if KNOWN[name] == GENERAL_CODE else served
    CASES.append((name, settings, preface, ready, frames, then))


def ends(*codes):
    return lambda client: client.connection_error(*codes)


def resets(*codes, stream=1):
    return lambda client: client.stream_error(stream, *codes)


def served(client):
    client.is_served()


def answers(*statuses, stream=1):
    def action(client):
        status = client.answer(stream)
        assert status in statuses, status
        client.is_served()
    return action


def pong(client):
    one = client.until(lambda one: isinstance(one, PingFrame))
    assert "ACK" in one.flags and one.opaque_data == b"12345678", one


def opened(stream=1, head=POST):
    """HEADERS of a request whose body is to come."""
    return frame(HEADERS, END_HEADERS, stream, head)


def asked(stream=1, head=GET):
    """A whole request without a body."""
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, head)


def connection():
    case("3.4 preface and SETTINGS", then=served)
    case("3.4 a preface that is none", preface=b"INVALID CONNECTION PREFACE\r\n\r\n", ready=False, then=ends(PROTOCOL))
    case("3.4 no SETTINGS behind the preface", preface=PREFACE + frame(PING, payload=bytes(8)), ready=False, then=ends(PROTOCOL))
    case("4.1 unknown frame type", frame(0xff, payload=b"x" * 8), frame(PING, payload=b"12345678"), then=pong)
    case("4.1 unknown flags", frame(PING, 0x16 & ~ACK, payload=b"12345678"), then=pong)
    case("4.1 reserved bit of the stream", frame(PING, stream=1 << 31, payload=b"12345678"), then=pong)
    case("4.2 DATA of the largest size", opened(), frame(DATA, END_STREAM, 1, bytes(FRAME_BYTES_MAX)), then=answers(400, 406, 422))
    case("4.2 DATA above it", opened(), frame(DATA, END_STREAM, 1, bytes(FRAME_BYTES_MAX + 1)), then=resets(FRAME_SIZE))
    case("4.2 HEADERS above it", frame(HEADERS, END_STREAM | END_HEADERS, 1, GET + bytes(FRAME_BYTES_MAX)), then=ends(FRAME_SIZE))
    case("4.2 SETTINGS above it", frame(SETTINGS, payload=bytes(16_386)), then=ends(FRAME_SIZE))
    case("4.3 a header block that is none", asked(head=b"\x40"), then=ends(COMPRESSION))
    begun = frame(HEADERS, END_STREAM, 1, GET)
    case("4.3 PRIORITY inside a header block", begun, frame(PRIORITY, 0, 1, bytes(4) + b"\x10"), then=ends(PROTOCOL))
    case("4.3 HEADERS of another stream inside it", begun, asked(3), then=ends(PROTOCOL))


def streams():
    for name, one in [
        ("DATA", frame(DATA, END_STREAM, 1, b"x")), ("RST_STREAM", frame(RST_STREAM, 0, 1, bytes(3) + b"\x08")),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 1, bytes(3) + b"\x64")), ("CONTINUATION", frame(CONTINUATION, END_HEADERS, 1, GET)),
    ]:
        case(f"5.1 idle: {name}", one, then=ends(PROTOCOL, STREAM_CLOSED))
    case("5.1 idle: PRIORITY", frame(PRIORITY, 0, 1, bytes(4) + b"\x10"), then=served)
    late = [
        ("DATA", frame(DATA, END_STREAM, 1, b"x"), (STREAM_CLOSED, PROTOCOL)), ("HEADERS", asked(), (STREAM_CLOSED, PROTOCOL)),
        ("CONTINUATION", frame(CONTINUATION, END_HEADERS, 1, GET), (STREAM_CLOSED, PROTOCOL)),
    ]
    half_closed = opened() + frame(DATA, END_STREAM, 1, b"v=0")
    for name, one, codes in late:
        case(f"5.1 half-closed: {name}", half_closed, one, then=lambda client, codes=codes: late_error(client, codes))
        case(f"5.1 closed by RST_STREAM: {name}", opened(), frame(RST_STREAM, 0, 1, bytes(3) + b"\x08"), one,
             then=lambda client, codes=codes: late_error(client, codes))
    case("5.1 closed: WINDOW_UPDATE, RST_STREAM and PRIORITY", asked(), then=closed_and_more)
    case("5.1.1 even stream", asked(2), then=ends(PROTOCOL))
    case("5.1.1 a stream below one that was opened", asked(5), asked(3), then=ends(PROTOCOL, STREAM_CLOSED))
    case("5.1.2 more streams than are allowed", *[opened(1 + 2 * at) for at in range(STREAMS_MAX + 1)], then=refused)
    case("5.4.1 GOAWAY before the end of the connection", frame(PING, payload=bytes(6)), then=ends(FRAME_SIZE))
    case("5.5 unknown frame inside a header block", frame(HEADERS, END_STREAM, 1, GET), frame(0xff, payload=b"x"), then=ends(PROTOCOL))
    case("5.5 unknown frame on a stream", opened(), frame(0xff, 0, 1, b"x"), then=served)


def late_error(client, codes):
    """An error of the stream or of the connection; the stream's own answer may come before it, and frames that were on their
    way when the client gave the stream up may be ignored for a while (RFC 9113 §5.1)."""
    client.sent(frame(PING, payload=b"12345678"))
    try:
        while True:
            one = client.next()
            if isinstance(one, (GoAwayFrame, RstStreamFrame)) and one.error_code != NO_ERROR:
                assert one.error_code in codes, f"{one}, not {codes}"
                return
            if isinstance(one, PingFrame):
                return
    except Ended:
        pass


def closed_and_more(client):
    assert client.answer(1) == 200
    client.sent(frame(WINDOW_UPDATE, 0, 1, bytes(3) + b"\x01"), frame(RST_STREAM, 0, 1, bytes(3) + b"\x08"))
    client.sent(frame(PRIORITY, 0, 1, bytes(4) + b"\x10"))
    client.is_served()


def refused(client):
    last = 1 + 2 * STREAMS_MAX
    one = client.until(lambda one: isinstance(one, RstStreamFrame) and one.stream_id == last)
    assert one.error_code in (REFUSED, PROTOCOL), one


def definitions():
    case("6.1 DATA without a stream", frame(DATA, 0, 0, b"x"), then=ends(PROTOCOL))
    case("6.1 padded DATA", opened(), frame(DATA, END_STREAM | PADDED, 1, b"\x06v=0" + bytes(6)), then=answers(400, 406, 422))
    case("6.1 DATA with more padding than payload", opened(), frame(DATA, END_STREAM | PADDED, 1, b"\x06v=0"), then=ends(PROTOCOL))
    case("6.2 HEADERS without a stream", frame(HEADERS, END_STREAM | END_HEADERS, 0, GET), then=ends(PROTOCOL))
    case("6.2 padded HEADERS", frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, b"\x02" + GET + bytes(2)), then=answers(200))
    case("6.2 HEADERS with priority", frame(HEADERS, END_STREAM | END_HEADERS | 0x20, 1, bytes(4) + b"\x10" + GET), then=answers(200))
    long_pad = frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, b"\xff" + GET[:50])
    case("6.2 HEADERS with more padding than payload", long_pad, then=ends(PROTOCOL))
    case("6.3 PRIORITY without a stream", frame(PRIORITY, 0, 0, bytes(4) + b"\x10"), then=ends(PROTOCOL))
    case("6.3 PRIORITY of four octets", opened(), frame(PRIORITY, 0, 1, bytes(4)), then=resets(FRAME_SIZE))
    case("6.4 RST_STREAM without a stream", frame(RST_STREAM, 0, 0, bytes(4)), then=ends(PROTOCOL))
    case("6.4 RST_STREAM of three octets", opened(), frame(RST_STREAM, 0, 1, bytes(3)), then=ends(FRAME_SIZE))
    case("6.5 SETTINGS acknowledgement with a payload", frame(SETTINGS, ACK, 0, setting(3, 100)), then=ends(FRAME_SIZE))
    case("6.5 SETTINGS on a stream", frame(SETTINGS, 0, 1, setting(3, 100)), then=ends(PROTOCOL))
    case("6.5 SETTINGS of five octets", frame(SETTINGS, payload=setting(3, 100)[:5]), then=ends(FRAME_SIZE))
    case("6.5.2 ENABLE_PUSH of 2", frame(SETTINGS, payload=setting(2, 2)), then=ends(PROTOCOL))
    case("6.5.2 INITIAL_WINDOW_SIZE of 2³¹", frame(SETTINGS, payload=setting(4, 1 << 31)), then=ends(FLOW_CONTROL))
    case("6.5.2 MAX_FRAME_SIZE below 2¹⁴", frame(SETTINGS, payload=setting(5, 16_383)), then=ends(PROTOCOL))
    case("6.5.2 MAX_FRAME_SIZE of 2²⁴", frame(SETTINGS, payload=setting(5, 1 << 24)), then=ends(PROTOCOL))
    case("6.5.2 unknown setting", frame(SETTINGS, payload=setting(0xff, 1)), then=served)
    case("6.5.3 SETTINGS are acknowledged", frame(SETTINGS, payload=setting(1, 0)), then=acknowledged)
    case("6.6 PUSH_PROMISE of a client", opened(), frame(PUSH_PROMISE, END_HEADERS, 1, bytes(3) + b"\x02" + GET), then=ends(PROTOCOL))
    case("6.7 PING", frame(PING, payload=b"12345678"), then=pong)
    case("6.7 PING that is an answer", frame(PING, ACK, payload=b"87654321"), frame(PING, payload=b"12345678"), then=pong)
    case("6.7 PING on a stream", frame(PING, 0, 1, bytes(8)), then=ends(PROTOCOL))
    case("6.7 PING of six octets", frame(PING, payload=bytes(6)), then=ends(FRAME_SIZE))
    case("6.8 GOAWAY on a stream", frame(GOAWAY, 0, 1, bytes(8)), then=ends(PROTOCOL))
    case("6.9 WINDOW_UPDATE of nothing", frame(WINDOW_UPDATE, payload=bytes(4)), then=ends(PROTOCOL))
    case("6.9 WINDOW_UPDATE of nothing on a stream", opened(), frame(WINDOW_UPDATE, 0, 1, bytes(4)), then=resets(PROTOCOL))
    case("6.9 WINDOW_UPDATE of three octets", frame(WINDOW_UPDATE, payload=bytes(3)), then=ends(FRAME_SIZE))
    largest = struct.pack("!I", (1 << 31) - 1)
    case("6.9.1 a connection's window above 2³¹−1", frame(WINDOW_UPDATE, payload=largest), frame(WINDOW_UPDATE, payload=largest),
         then=ends(FLOW_CONTROL))
    case("6.9.1 a stream's window above 2³¹−1", opened(), frame(WINDOW_UPDATE, 0, 1, largest), frame(WINDOW_UPDATE, 0, 1, largest),
         then=resets(FLOW_CONTROL))
    case("6.9.1 no more than the window is sent", asked(), settings=setting(4, 1), then=one_octet)
    case("6.9.2 a window that grows by SETTINGS", asked(), settings=setting(4, 0), then=grown)
    first, rest = GET[:10], GET[10:]
    begun = frame(HEADERS, END_STREAM, 1, first)
    case("6.10 CONTINUATION", begun, frame(CONTINUATION, 0, 1, rest[:5]), frame(CONTINUATION, END_HEADERS, 1, rest[5:]), then=answers(200))
    case("6.10 another frame before the last CONTINUATION", begun, frame(CONTINUATION, 0, 1, rest), frame(DATA, 0, 1, b"x"), then=ends(PROTOCOL))
    case("6.10 CONTINUATION without a stream", begun, frame(CONTINUATION, END_HEADERS, 0, rest), then=ends(PROTOCOL))
    case("6.10 CONTINUATION of another stream", begun, frame(CONTINUATION, END_HEADERS, 3, rest), then=ends(PROTOCOL))
    case("6.10 CONTINUATION behind a whole block", asked(), frame(CONTINUATION, END_HEADERS, 1, rest), then=ends(PROTOCOL, STREAM_CLOSED))
    case("6.10 CONTINUATION behind DATA", opened(), frame(DATA, 0, 1, b"x"), frame(CONTINUATION, END_HEADERS, 1, rest), then=ends(PROTOCOL))
    case("7 GOAWAY with an unknown code", frame(GOAWAY, payload=bytes(4) + b"\x00\x00\x00\xff"), then=quiet)
    case("7 RST_STREAM with an unknown code", opened(), frame(RST_STREAM, 0, 1, b"\x00\x00\x00\xff"), then=served)


def acknowledged(client):
    client.until(lambda one: isinstance(one, SettingsFrame) and "ACK" in one.flags)
    client.is_served()


def one_octet(client):
    client.until(lambda one: isinstance(one, HeadersFrame))
    data = client.until(lambda one: one.stream_id == 1)
    assert len(data.data) == 1 and "END_STREAM" not in data.flags, data


def grown(client):
    client.until(lambda one: isinstance(one, HeadersFrame))
    client.sent(frame(PING, payload=b"12345678"))
    waiting = client.until(lambda one: isinstance(one, PingFrame) or one.stream_id == 1)
    assert isinstance(waiting, PingFrame), f"sent without a window: {waiting}"
    client.sent(frame(SETTINGS, payload=setting(4, 1)))
    data = client.until(lambda one: one.stream_id == 1)
    assert len(data.data) == 1, data


def quiet(client):
    """The client takes its leave; the node may close, and says nothing wrong."""
    client.sent(frame(PING, payload=b"12345678"))
    try:
        while not isinstance(client.next(), PingFrame):
            pass
    except Ended:
        pass


def messages():
    case("8.1 HEAD", asked(head=request("HEAD")), then=answers(200))
    case("8.1 POST with a body", opened(), frame(DATA, END_STREAM, 1, b"v=0"), then=answers(400, 406, 422))
    trailers = frame(HEADERS, END_STREAM | END_HEADERS, 1, block(("x-trailer", "1")))
    case("8.1 POST with trailers", opened(), frame(DATA, 0, 1, b"v=0"), trailers, then=answers(400, 406, 422))
    case("8.1 a second HEADERS that ends nothing", opened(), opened(head=block(("x", "1"))), then=resets(PROTOCOL))
    case("8.1 pseudo-headers in trailers", opened(), frame(DATA, 0, 1, b"v"), asked(head=block((":method", "GET"))), then=resets(PROTOCOL))
    wrong = {
        "8.2 upper case in a name": request("GET", "/", ("X-Test", "1")),
        "8.2.2 connection": request("GET", "/", ("connection", "keep-alive")),
        "8.2.2 transfer-encoding": request("GET", "/", ("transfer-encoding", "chunked")),
        "8.2.2 te that is not trailers": request("GET", "/", ("te", "trailers, deflate")),
        "8.3 unknown pseudo-header": request("GET", "/", (":test", "1")),
        "8.3 a response's pseudo-header": request("GET", "/", (":status", "200")),
        "8.3 pseudo-header behind a field": block(("x", "1")) + GET,
        "8.3.1 empty :path": request("GET", ""),
        "8.3.1 :method missing": request(without=(":method",)),
        "8.3.1 :scheme missing": request(without=(":scheme",)),
        "8.3.1 :path missing": request(without=(":path",)),
        "8.3.1 :method twice": block((":method", "GET")) + GET,
        "8.3.1 :scheme twice": block((":scheme", "https")) + GET,
        "8.3.1 :path twice": block((":path", "/")) + GET,
    }
    for name, head in wrong.items():
        case(name, asked(head=head), then=resets(PROTOCOL))
    head = request("POST", "/whip/judged", ("content-type", "application/sdp"), ("content-length", "1"))
    case("8.1.1 content-length of less than comes", opened(head=head), frame(DATA, END_STREAM, 1, b"v=0"), then=resets(PROTOCOL))
    parts = [frame(DATA, 0, 1, b"v"), frame(DATA, END_STREAM, 1, b"=")]
    case("8.1.1 content-length of less than comes in two", opened(head=head), *parts, then=resets(PROTOCOL))


def header_blocks():
    wrong = {
        "RFC 7541 2.3.3 an index beyond both tables": b"\xff\xff\x7f",
        "RFC 7541 6.1 index 0": b"\x80",
        "RFC 7541 4.2 a table's size behind a field": b"\x82\x20",
        "RFC 7541 6.3 a table larger than allowed": b"\x3f\xe1\xff\x03",
        "RFC 7541 5.2 padding longer than 7 bits": b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff",
        "RFC 7541 5.2 padding that is no EOS": b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90",
        "RFC 7541 5.2 EOS inside a text": b"\x00\x85\xf2\xb2\x4a\x87\xff\xff\xff\xfa\x8d\xff\xff\xff\xff",
        "RFC 7541 5.1 an integer without end": b"\x7f" + b"\xff" * 12,
        "RFC 7541 5.2 a text longer than its block": b"\x00\x7f\x00ab",
    }
    for name, octets in wrong.items():
        case(name, asked(head=GET + octets), then=ends(COMPRESSION, PROTOCOL))
    indexed = b"\x82\x87\x84\x41\x0elocalhost:8443"
    case("RFC 7541 2 static, literal and dynamic fields", asked(head=indexed), asked(3, b"\x82\x87\x84\xbe"), then=answers(200, stream=3))
    huffman = b"\x82\x87\x84\x41\x86" + hpack.Encoder().huffman_coder.encode(b"localhost")[:6]
    case("RFC 7541 5.2 Huffman's code", asked(head=huffman), then=answers(200))


def by_h2():
    """A client that others wrote: forty pages over one connection, each whole."""
    connection = CONTEXT.wrap_socket(socket.create_connection(HTTPS, timeout=PATIENCE))
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    for at in range(40):
        fields = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost:8443"), (":path", "/")]
        client.send_headers(1 + 2 * at, fields, end_stream=True)
    ended, octets = 0, {}
    while ended < 40:
        connection.sendall(client.data_to_send())
        for event in client.receive_data(connection.recv(65_536)):
            if isinstance(event, h2.events.DataReceived):
                octets[event.stream_id] = octets.get(event.stream_id, 0) + len(event.data)
                client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            ended += isinstance(event, h2.events.StreamEnded)
            assert not isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)), event
    assert len(set(octets.values())) == 1, octets
    connection.close()


def judge(only):
    failures = []
    began = time.monotonic()
    run = [one for one in CASES if only in one[0]]
    for name, settings, preface, ready, frames, then in run:
        try:
            client = Client(settings, preface, ready)
            client.sent(*frames)
            then(client)
            client.connection.close()
        except Exception as error:  # pylint: disable=broad-except
            failures.append(name)
            print(f"FAIL {name}: {type(error).__name__}: {error}")
    by_h2()
    # The judge itself: what is answered is no error.
    client = Client()
    client.sent(asked())
    try:
        client.stream_error(1, PROTOCOL)
        failures.append("the judge")
    except AssertionError:
        client.is_served()
    for name, why in {**SKIPPED, **KNOWN}.items():
        print(f"{'known' if name in KNOWN else 'skipped'}: {name}: {why}")
    took = time.monotonic() - began
    print(f"{'failed: ' + ', '.join(failures) if failures else f'all {len(run)} cases passed'} ({took:.1f} s)")
    return 1 if failures else 0


def main():
    enter_network()
    for group in (connection, streams, definitions, messages, header_blocks):
        group()
    with Node("http2"):
        return judge(sys.argv[1] if len(sys.argv) > 1 else "")


if __name__ == "__main__":
    sys.exit(main())
