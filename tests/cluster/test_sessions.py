"""Sessions that are asked for at another node than the one that has them.

    test_sessions.py [PART OF A CASE'S NAME]
"""

import asyncio
import json
import signal
import time
import urllib.parse

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from nodes import Engine, Node, offer, require, run, until
# Found by way of nodes.
import node_under_test
from aiortc_client import CONNECTED_SECONDS, DataPlayer, Publisher

FRAGMENT = "application/trickle-ice-sdpfrag"
CANDIDATE = "a=candidate:1 1 UDP 1 10.0.0.1 1 typ host\r\n"
# A node that does not answer is given up after five seconds, and its names are free when its lease has ended.
SILENT_SECONDS, GONE_SECONDS = 8, 30


def fragment(ufrag, password):
    return f"a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"


def open_at(node, kind, stream, sdp):
    """The path of a new session's URL, and its entity tag."""
    status, headers, body = node.ask("POST", f"/{kind}/{stream}", sdp, Content_Type="application/sdp")
    require(status == 201, f"{status} {body}")
    return headers["Location"], headers["ETag"]


async def known(*nodes):
    await until("all know of all", lambda: all(len(node.cluster()["nodes"]) == len(nodes) for node in nodes))


async def anywhere():
    with Engine() as etcd, Node(1, etcd) as a, Node(2, etcd) as b:
        await known(a, b)
        sdp = await offer()
        path, tag = open_at(a, "whip", "s", sdp)
        require(path.startswith("/whip/s/n1~") and "Link" not in path, path)
        # The same answers at both nodes, in an order that would show a difference.
        for node, other in ((b, a), (a, b)):
            status, _, body = node.ask("PATCH", path, CANDIDATE, Content_Type=FRAGMENT)
            require((status, json.loads(body)["code"]) == (428, "if_match_missing"), f"{status} {body}")
            status, headers, body = node.ask("PATCH", path, "nonsense", Content_Type="text/plain", If_Match=tag)
            require(status == 415 and headers["Accept-Patch"] == FRAGMENT, f"{status} {body}")
            status, headers, body = node.ask("PATCH", path, fragment("abcd", "p" * 24), Content_Type=FRAGMENT, If_Match='"other"')
            require((status, json.loads(body)["code"]) == (412, "stale_etag"), f"{status} {body}")
            status, headers, body = node.ask("PATCH", path, fragment(f"new{node.name}", "p" * 24), Content_Type=FRAGMENT, If_Match="*")
            require(status == 200 and "a=ice-ufrag:" in body and headers["Content-Type"] == FRAGMENT, f"{status} {body}")
            require(headers["ETag"] != tag, "it has another tag")
            tag = headers["ETag"]
            trickled = fragment(f"new{node.name}", "p" * 24) + CANDIDATE
            status, _, body = node.ask("PATCH", path, trickled, Content_Type=FRAGMENT, If_Match=tag)
            require(status == 204, f"{status} {body}")
            status, _, body = node.ask("GET", path)
            require(status == 405, f"{status} {body}")
            status, headers, _ = node.ask("OPTIONS", path)
            require(status == 204 and "PATCH" in headers["Allow"], f"{status}")
        # The URL proves whose the session is, whole.
        other_nodes = [path.replace("n1~", node) for node in ("n2~", "n9~", "~", "", "n1~n1~", "x" * 3_000 + "~")]
        for wrong in (path[:-1], path.replace("/s/", "/t/"), path.replace("whip", "whep"), *other_nodes):
            status, _, body = b.ask("DELETE", wrong)
            require((status, json.loads(body)["code"]) == (404, "no_such_session"), f"{wrong}: {status} {body}")
        require(a.ask("PATCH", path, "x", Content_Type="text/plain", If_Match="*")[0] == 415, "it is still there")
        # Some libraries encode what need not be encoded.
        status, _, _ = b.ask("PATCH", path.replace("~", "%7E"), CANDIDATE, Content_Type=FRAGMENT)
        require(status == 428, f"{status}")
        status, _, body = b.ask("DELETE", path)
        require(status == 200, f"{status} {body}")
        for node in (a, b):
            require(node.ask("DELETE", path)[0] == 200, "one that has ended has ended")
            status, _, body = node.ask("PATCH", path, fragment("abcd", "p" * 24), Content_Type=FRAGMENT, If_Match="*")
            require((status, json.loads(body)["code"]) == (404, "no_such_session"), f"{status} {body}")
        channel = b.cluster()["channel"]
        require(channel["dialled"] == 1 and not b.cluster()["refused"], f"{channel}")
        waits = []
        path, _ = open_at(a, "whip", "s", sdp)
        for node in (a, b) * 10:
            began = time.monotonic()
            require(node.ask("PATCH", path, "x", Content_Type="text/plain", If_Match="*")[0] == 415, "it answers")
            waits.append((node.name, time.monotonic() - began))
        median = {name: sorted(took for of, took in waits if of == name)[5] for name in ("n1", "n2")}
        print(f"    answered in {1_000 * median['n1']:.1f} ms where the session is, in {1_000 * median['n2']:.1f} ms elsewhere")


async def media():
    """A viewer that plays at one node and is told, changed and ended at another one."""
    with Engine() as etcd, Node(1, etcd) as a, Node(2, etcd) as b:
        await known(a, b)
        node_under_test.HTTP = a.http
        publisher = await Publisher.start("s", "VP8")
        viewer = await DataPlayer.start("s")
        path = urllib.parse.urlparse(viewer.session).path
        require(path.startswith("/whep/s/n1~"), path)
        status, headers, body = b.ask("POST", path + "/events", json.dumps(["layers"]), Content_Type="application/json")
        require(status == 201 and headers["Location"] == path + "/events", f"{status} {headers['Location']} {body}")
        status, headers, body = b.ask("GET", path + "/events", Accept="text/event-stream")
        require(status == 200 and headers["Content-Type"] == "text/event-stream" and "event: layers" in body, f"{status} {body}")
        number = next(line.split(": ")[1] for line in body.splitlines() if line.startswith("id: "))
        began = time.monotonic()
        status, _, body = b.ask("GET", path + "/events", Last_Event_ID=number)
        require(status == 200 and (": nothing new" in body or "event: layers" in body), f"{status} {body}")
        waited = time.monotonic() - began
        status, _, body = b.ask("DELETE", path + "/events")
        require(status == 200, f"{status} {body}")
        # Other keys, by a second connection that is made through another node.
        second = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        second.addTransceiver("video", direction="recvonly")
        second.createDataChannel("corecast", negotiated=True, id=0)
        await second.setLocalDescription(await second.createOffer())
        status, headers, body = await asyncio.to_thread(b.ask, "POST", path, second.localDescription.sdp, Content_Type="application/sdp")
        require(status == 201 and headers["Location"] == path + "/new", f"{status} {headers.get('Location')} {body}")
        await second.setRemoteDescription(RTCSessionDescription(body, "answer"))
        await until("it is connected", lambda: second.connectionState == "connected", CONNECTED_SECONDS)
        status, _, body = await asyncio.to_thread(b.ask, "DELETE", path + "/old")
        require(status == 200, f"{status} {body}")
        require(len([one for one in a.sessions() if one["direction"] == "play"]) == 1, "it is one session")
        for ended in (path, urllib.parse.urlparse(publisher.session).path):
            status, _, body = await asyncio.to_thread(b.ask, "DELETE", ended)
            require(status == 200, f"{status} {body}")
        await until("both have ended", lambda: not a.sessions())
        await second.close()
        await viewer.pc.close()
        await publisher.pc.close()
        print(f"    events were waited for at another node for {waited:.1f} s")


async def silent():
    with Engine() as etcd, Node(1, etcd) as a, Node(2, etcd) as b, Node(3, etcd) as c:
        await known(a, b, c)
        sdp = await offer()
        path, _ = open_at(a, "whip", "s", sdp)
        require(b.ask("PATCH", path, "x", Content_Type="text/plain", If_Match="*")[0] == 415, "it answers")
        took = {}

        def refused(node, what):
            began = time.monotonic()
            status, headers, body = node.ask("DELETE", path)
            took[what] = round(time.monotonic() - began, 1)
            require((status, json.loads(body)["code"]) == (503, "node_silent"), f"{what}: {status} {body}")
            require("is on n1," in body and headers["Retry-After"], f"{what}: {headers} {body}")
            require(took[what] < SILENT_SECONDS, f"{what}: {took[what]} s")

        # One has a connection to it, the other has none.
        a.process.send_signal(signal.SIGSTOP)
        refused(b, "frozen")
        refused(c, "frozen, and not dialled before")
        a.process.send_signal(signal.SIGCONT)
        # The session may have ended meanwhile: nobody has connected.
        await until("it answers again", lambda: b.ask("PATCH", path, "x", Content_Type="text/plain", If_Match="*")[0] in (415, 404))
        a.kill()
        refused(b, "killed")
        refused(c, "killed, and not dialled before")

        def is_forgotten(node):
            status, _, body = node.ask("DELETE", path)
            return (status, json.loads(body)["code"]) == (404, "no_such_session")

        gone = await until("it is forgotten", lambda: is_forgotten(b) and is_forgotten(c), GONE_SECONDS)
        print(f"    answered 503 after {took} s, and 404 when its lease had ended, {gone:.1f} s later")


CASES = {
    "a session's URL works at every node": anywhere,
    "a viewer that plays is told, given other keys and ended through another node": media,
    "a node that does not answer is named, and one that has left has no sessions": silent,
}

if __name__ == "__main__":
    run(CASES)
