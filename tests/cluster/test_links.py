"""One stream over many nodes: what viewers at the edges see, and what faults of nodes, links and engine cost them.

    test_links.py [--only PART OF A CASE'S NAME] [--whole] [--without-links]

Every case prints what it measured; all of it is in the artifacts too (cluster-links.json). `--whole`: longer watching, an engine
that is away for ten minutes. `--without-links`: the cases that need no link between nodes, which are the harness's own test.
"""

import argparse
import contextlib
import json
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import h2.config
import h2.connection
import h2.events

from machines import Machines, enter

from clients import Browsers, Ffmpeg, added, together, watch
from cluster import ARTIFACTS, BINARY, CLUSTER, LINK_PORT, Cluster, require, until

# What a link on one host may add to the way from glass to glass.
LINK_P95_MS = 15
# Edges of one origin.
EDGES = 20
# A viewer's picture after whatever was mended is mended.
BACK_SECONDS = 2
LEASE_SECONDS = 10
# A claim waits for six seconds; then the answer is on its way.
REFUSED_SECONDS = 9
LINGERS_SECONDS = 30
WHOLE_P99_MS = 150
ATTEMPTS = 2
# A browser's frames at 30 a second on a machine that is busy: no freeze that a person sees.
STEADY_MS = 300


class World:
    """The cluster and its clients, which all cases share, and the figures of the case that runs."""

    def __init__(self, cluster, studio, home, is_whole):
        self.cluster, self.machines, self.studio, self.home, self.is_whole = cluster, cluster.machines, studio, home, is_whole
        self.figures = {}
        self.number = 0

    def stream(self):
        """A name that nobody had before."""
        self.number += 1
        return f"s{self.number}"

    def seconds(self, short, whole):
        return whole if self.is_whole else short

    def note(self, **figures):
        self.figures |= figures
        for name, value in figures.items():
            print(f"    {name}: {json.dumps(value) if isinstance(value, dict) else value}", flush=True)

    def note_seen(self, all_seen):
        for seen, figures in all_seen:
            self.note(**{seen.name: figures})

    def watched(self, *wanted):
        """Viewers as `(node, stream)` or with `kind` and `way`, all of whom have a picture."""
        def begin(node, stream, how=None):
            return self.home.watch(node, stream, **(how or {}))

        viewers = together(*[lambda each=each: begin(*each) for each in wanted])
        first = together(*[viewer.first_frame_ms for viewer in viewers])
        self.note(first_frame_ms={viewer.name: ms for viewer, ms in zip(viewers, first)})
        # A join begins behind the live edge, and decoders that start fill jitter buffers.
        time.sleep(2)
        return viewers

    def settle(self):
        """Whatever a case has left is as it was."""
        self.machines.heal()
        for name in list(self.machines.all):
            self.machines.hasten(name)
        together(self.home.leave, self.studio.leave)
        etcd = self.cluster.etcd
        if any(process is None or process.poll() is not None for process in etcd.processes):
            for member in range(etcd.MEMBERS):
                if etcd.processes[member] is None or etcd.processes[member].poll() is not None:
                    etcd.start(member)
            etcd.wait()
        if self.cluster.takeover != "any":
            self.cluster.restart(takeover="any")
        for node in self.cluster.nodes.values():
            if node.process is None or node.process.poll() is not None or node.clock_s:
                node.clock_s = 0
                node.stop()
                node.start()
        self.cluster.wait()


class Fault(threading.Thread):
    """Does something in the background and keeps what it gave, or raised, until `result()`."""

    def __init__(self, function):
        super().__init__(daemon=True)
        self.function, self.value, self.error = function, None, None
        self.start()

    def run(self):
        try:
            self.value = self.function()
        except Exception as error:  # raised again where it is asked for
            self.error = error

    def result(self):
        self.join()
        if self.error:
            raise self.error
        return self.value


def longest(figures):
    require(figures["longest_gap_ms"] is not None, "no picture at all")
    return figures["longest_gap_ms"]


def require_steady(all_seen, at_most=STEADY_MS):
    for seen, figures in all_seen:
        require(longest(figures) <= at_most, f"{seen.name}: a gap of {longest(figures)} ms")
        require(seen.backwards == 0, f"{seen.name}: {seen.backwards} frames back")
        require(seen.unreadable <= 0.01 * len(seen.shown), f"{seen.name}: {seen.unreadable} broken pictures")


def require_as_many(seen, beside):
    """A viewer has seen as much as another one; browsers that are short of time show fewer, each by itself."""
    missed = added(seen, beside)["missed"]
    of = len(beside.numbers)
    require(seen.numbers and missed <= 0.05 * of, f"{seen.name}: {missed} of {of} frames that {beside.name} saw are missing")


OFFER = """v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=rtcp-mux
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=fingerprint:sha-256 """ + ":".join(["AB"] * 32) + """
a=setup:actpass
a=mid:0
a={direction}
a=rtpmap:96 VP8/90000
"""


def offer(direction="sendonly"):
    """An offer of nobody: enough for a name to be claimed or refused."""
    return OFFER.format(direction=direction).replace("\n", "\r\n")


# --- without links ---


def all_know(world):
    """Who publishes where is known everywhere, and a node's clock does not matter."""
    cluster, stream, other = world.cluster, world.stream(), world.stream()
    nodes = list(cluster.nodes.values())
    for name, seconds in (("e1", 5), ("e2", -5)):
        cluster[name].clock_s = seconds
        cluster[name].restart()
    cluster.wait()
    publisher = world.studio.publish("o1", stream)
    known = until("all know", lambda: all(node.owner(stream) == "o1" for node in nodes))
    with Ffmpeg(cluster, "e1", other):
        until("all know the other", lambda: all(node.owner(other) == "e1" for node in nodes))
        known_there = [(one["name"], one["node"]) for one in cluster["e3"].status()["streams"]]
        require(sorted(known_there) == sorted([(stream, "o1"), (other, "e1")]), f"cluster status: {known_there}")
        # In the whole form for longer than a lease lives.
        time.sleep(world.seconds(3, LEASE_SECONDS + 3))
        require(all(node.owner(stream) == "o1" and node.owner(other) == "e1" for node in nodes), "they are known still")
        require({one["name"] for one in cluster["o1"].known()["nodes"]} == set(cluster.nodes), "all nodes are there still")
    publisher.leave()
    freed = until("the name is free", lambda: all(node.owner(stream) is None for node in nodes))
    world.note(known_after_s=round(known, 2), free_after_s=round(freed, 2))


def engine_faults_beside_media(world):
    """A viewer on the publisher's own node notices nothing of the engine."""
    cluster, stream = world.cluster, world.stream()
    publisher = world.studio.publish("o1", stream)
    viewers = world.watched(("o1", stream), ("o1", stream, {"way": "websocket"}), ("o1", stream, {"kind": "firefox"}))

    def fault():
        leader = cluster.etcd.leader()
        cluster.etcd.stop(leader)
        status, _, headers, took = cluster.post("o2", "whip", f"{stream}-beside", offer())
        require(status == 201, f"a new name without the leader: {status}")
        cluster.delete("o2", headers["Location"])
        cluster.etcd.start(leader)
        cluster.etcd.wait()
        # A node that the engine cannot hear, for longer than its lease.
        for member in ("k1", "k2", "k3"):
            world.machines.cut("o1", member)
        gone = until("its lease is over", lambda: cluster["o2"].owner(stream) is None, LEASE_SECONDS + 10)
        world.machines.heal()
        back = until("it claims again", lambda: cluster["o2"].owner(stream) == "o1", 40)
        world.note(new_name_without_leader_s=round(took, 1), names_gone_after_s=round(gone, 1),
                   claimed_again_after_s=round(back, 1))

    began = time.monotonic()
    running = Fault(fault)
    seen = watch(publisher, viewers, 5, running.join)
    running.result()
    world.note(watched_s=round(time.monotonic() - began))
    world.note_seen(seen)
    require_steady(seen)
    require(cluster["o1"].publishes(stream), "its publisher is the one it was")


def racing(world):
    """Publishers at all nodes race for names: each has one winner, by the engine's own history."""
    cluster = world.cluster
    cluster.restart(takeover="same_subject")
    nodes, won, slowest = list(cluster.nodes), {}, 0
    for _ in range(world.seconds(20, 200)):
        name = world.stream()
        answers = together(*[lambda node=node: cluster.post(node, "whip", name, offer()) for node in nodes])
        winners = [(node, headers["Location"]) for node, (status, _, headers, _) in zip(nodes, answers) if status == 201]
        require(len(winners) == 1, f"{name}: {[answer[:2] for answer in answers]}")
        refused = [(status, json.loads(body)["code"]) for status, body, *_ in answers if status != 201]
        require(all(each == (409, "name_taken") for each in refused), f"{name}: {refused}")
        won[name] = winners[0][0]
        slowest = max(slowest, *[took for *_, took in answers])
        cluster.delete(*winners[0])
    until("all are free", lambda: not any(cluster["e3"].owner(name) for name in won))
    owners = {}
    for _, key, stream in cluster.etcd.history(f"/corecast/1/{CLUSTER}/streams/"):
        owners.setdefault(key.rsplit("/", 1)[1], []).append(stream and stream["node"])
    for name, winner in won.items():
        require(owners[name] == [winner, None], f"{name}, won by {winner}: {owners[name]}")
    wins = list(won.values())
    world.note(names=len(won), winners={node: wins.count(node) for node in nodes}, slowest_answer_ms=round(1000 * slowest))


def unreadable_offer(world):
    """An offer that cannot be read, at another node, takes nobody's name."""
    cluster, stream = world.cluster, world.stream()
    with Ffmpeg(cluster, "o1", stream):
        until("it is known", lambda: cluster["o2"].owner(stream) == "o1")
        before = cluster["o2"].stream(stream)
        for node in ("o1", "o2"):
            status, body, *_ = cluster.post(node, "whip", stream, "nothing")
            require(status == 400, f"{node}: {status} {body}")
            time.sleep(1)
            is_kept = cluster["o2"].stream(stream) == before and cluster["o1"].publishes(stream)
            require(is_kept, f"the name is taken by what {node} refused")


# --- with links ---


def everybody_sees(world):
    """Chromium publishes at one node, Chromium and Firefox watch through all by WSS and WHEP; what the link adds."""
    cluster, stream, seconds = world.cluster, world.stream(), world.seconds(6, 60)
    publisher = world.studio.publish("o1", stream)
    viewers = world.watched(("o1", stream), ("e1", stream), ("e2", stream), ("e3", stream),
                            ("e2", stream, {"kind": "firefox", "way": "websocket"}), ("e3", stream, {"kind": "firefox"}))
    world.home.ends[-1].screenshot("cluster-firefox.png")
    seen = watch(publisher, viewers, seconds)
    world.note_seen(seen)
    require_steady(seen)
    for each, _ in seen:
        require_as_many(each, seen[0][0])
    world.home.leave()
    # By a way that tells when packets came: glass to glass differs by what each page's jitter buffer has settled on.
    nodes = ("o1", "e1", "e2", "e3")
    viewers = world.watched(*[(node, stream, {"way": "websocket"}) for node in nodes])
    seen = watch(publisher, viewers, seconds)
    world.note(glass_to_glass_ms={node: figures["latency_ms"] for node, (_, figures) in zip(nodes, seen)})
    later = {node: added(each, seen[0][0]) for node, (each, _) in zip(nodes[1:], seen[1:])}
    world.note(added_by_the_link_ms=later)
    for node, each in later.items():
        require(each["common"] > 0 and each["p95"] <= LINK_P95_MS, f"the link to {node} adds {each['p95']} ms")
    beside = seen[0][1]["latency_ms"]["p95"]
    p95 = {node: figures["latency_ms"]["p95"] - beside for node, (_, figures) in zip(nodes[1:], seen[1:])}
    world.note(glass_to_glass_p95_added_ms=p95)
    world.note(cpu_s={name: round(node.cpu_seconds(), 1) for name, node in cluster.nodes.items()})
    world.note(status=next(one for one in cluster.status("e1")["streams"] if one["name"] == stream))


def rate(read, seconds=2.0):
    """Bits a second of a meter."""
    before, began = read(), time.monotonic()
    time.sleep(seconds)
    return 8 * (read() - before) / (time.monotonic() - began)


def two_viewers_one_link(world):
    """Two viewers at an edge cost the origin one link; and the last one leaves for what is judged later."""
    stream = world.stream()
    publisher = Ffmpeg(world.cluster, "o2", stream)
    publisher.__enter__()
    try:
        read, back = world.machines.meter("o2", "e3"), world.machines.meter("e3", "o2")
        before = rate(read)
        [one] = world.watched(("e3", stream))
        alone = rate(read)
        [other] = world.watched(("e3", stream))
        both = rate(read)
        one.leave()
        left = rate(read)
        figures = {"nobody": before, "one": alone, "two": both, "one again": left}
        world.note(kbits={name: round(each / 1000) for name, each in figures.items()}, kbits_back=round(rate(back) / 1000))
        require(alone > before + 200_000, "a viewer brings the stream to the edge")
        require(both < 1.3 * alone, "the second one costs nothing")
        require(left > 0.7 * alone, "the stream stays while somebody watches")
        other.leave()

        def gone():
            began = time.monotonic()
            while rate(read, 1) > before + 0.2 * (alone - before):
                require(time.monotonic() - began < 2 * LINGERS_SECONDS, "the edge is still sent it")
            silent = time.monotonic() - began
            while any(link["stream"] == stream for link in world.cluster.status("e3")["links"]):
                require(time.monotonic() - began < 2 * LINGERS_SECONDS, "the edge does not let go")
                time.sleep(0.5)
            return silent, time.monotonic() - began

        world.leaving = (publisher, Fault(gone))
    except BaseException:
        publisher.__exit__()
        raise


def edge_lets_go(world):
    """What the last viewer left is sent no more at once, and its link is let go half a minute later."""
    if not hasattr(world, "leaving"):
        two_viewers_one_link(world)
    publisher, running = world.leaving
    del world.leaving
    try:
        silent, took = running.result()
    finally:
        publisher.__exit__()
    world.note(sent_no_more_after_s=round(silent, 1), let_go_after_s=round(took, 1))
    require(silent <= 3, f"what nobody watches is sent for {silent:.1f} s")
    require(LINGERS_SECONDS - 5 <= took <= LINGERS_SECONDS + 10, f"let go after {took:.1f} s")


def publisher_moves(world):
    """The publisher ends its session and comes back at another node: viewers at the edges go on."""
    stream = world.stream()
    publisher = world.studio.publish("o1", stream)
    viewers = world.watched(("e1", stream), ("e2", stream, {"way": "websocket"}), ("o1", stream))

    def moves():
        publisher.leave()
        began = time.monotonic()
        moved = world.studio.publish("o2", stream)
        world.note(published_again_after_ms=round(1000 * (time.monotonic() - began)))
        return moved

    running = Fault(moves)
    seen = watch(None, viewers, world.seconds(8, 30), running.join)
    running.result()
    goes_on(world, viewers, seen, 2 * BACK_SECONDS)


def goes_on(world, viewers, seen, at_most_s):
    """Viewers have pictures now, in the sessions that they had, and had to wait for so long at most."""
    world.note_seen(seen)
    world.note(longest_gap_ms={each.name: figures["longest_gap_ms"] for each, figures in seen})
    for each, figures in seen:
        require(longest(figures) <= 1000 * at_most_s, f"{each.name}: a gap of {longest(figures)} ms")
    for each, figures in watch(None, viewers, 2):
        require(len(each.shown) > 40, f"{each.name}: {len(each.shown)} pictures in 2 s afterwards")
    for viewer in viewers:
        require(viewer.stats()["state"] == "connected", f"{viewer.name}: {viewer.stats()['state']}")


def origin_killed(world):
    """The origin is killed, and its publisher comes back at another node."""
    cluster, stream = world.cluster, world.stream()
    publisher = world.studio.publish("o1", stream)
    viewers = world.watched(("e1", stream), ("e2", stream, {"way": "websocket"}))

    def dies():
        cluster["o1"].kill()
        began = time.monotonic()
        publisher.vanish()
        # As an encoder does: again until it is let in. Nobody can ask the dead node whether it minds.
        until("published at o2", lambda: world.studio.publish("o2", stream), LEASE_SECONDS + 10, every=0.5)
        world.note(published_again_after_ms=round(1000 * (time.monotonic() - began)))

    running = Fault(dies)
    seen = watch(None, viewers, world.seconds(6, 20), running.join)
    running.result()
    goes_on(world, viewers, seen, LEASE_SECONDS + 5)


def link_cut(world):
    """The way between edge and origin is cut for a second, and for five."""
    stream = world.stream()
    publisher = world.studio.publish("o1", stream)
    viewers = world.watched(("e1", stream), ("e1", stream, {"way": "websocket"}), ("o1", stream))
    for seconds in (1, 5):
        def cut(seconds=seconds):
            world.machines.cut("e1", "o1")
            time.sleep(seconds)
            world.machines.heal()

        seen = watch(publisher, viewers, seconds + world.seconds(4, 20), cut)
        world.note(**{f"cut_for_{seconds}_s": {each.name: figures["longest_gap_ms"] for each, figures in seen}})
        goes_on(world, viewers, seen[:2], seconds + BACK_SECONDS)
        require_steady(seen[2:])


def link_lossy(world):
    """A link of 25 ms each way loses 3 % each way: every frame is whole, in time."""
    stream, seconds = world.stream(), world.seconds(12, 120)
    publisher = world.studio.publish("o1", stream, width=640, height=360, maxBitrate=1_500_000)
    world.machines.delay("e1", 25, 25, other="o1")
    world.machines.lose(3, "e1", "o1")
    by_sdk = {"way": "websocket"}
    viewers = world.watched(("o1", stream), ("e1", stream), ("o1", stream, by_sdk), ("e1", stream, by_sdk))
    before = together(*[viewer.stats for viewer in viewers])
    seen = watch(publisher, viewers, seconds)
    after = together(*[viewer.stats for viewer in viewers])
    world.note_seen(seen)
    asked = [then["pli"] - first["pli"] for first, then in zip(before, after)]
    late = added(seen[3][0], seen[2][0])
    world.note(links={node: [{**link, "counts": {key: count for key, count in link["counts"].items() if count}}
                             for link in world.cluster.status(node)["links"]] for node in ("o1", "e1")})
    missed = added(seen[1][0], seen[0][0])["missed"]
    world.note(lost_on_the_link=world.machines.dropped(), key_frames_asked_for=asked, until_whole_ms=late,
               shown_at_origin_but_not_at_edge=missed)
    require(world.machines.dropped() > 10, "the link loses something")
    # Chromium's framesReceived is no judge: of frames whose packets came in another order it counts fewer than it shows.
    require(missed == 0, f"{missed} frames were shown at the origin and not at the edge")
    require(asked[1] == asked[3] == 0, "no viewer at the edge wants a key frame")
    require(late["common"] > 0 and late["p99"] <= WHOLE_P99_MS, f"99 % of frames are whole after {late['p99']} ms")


def engine_away(world):
    """All members are stopped: media is untouched, a known stream is joined at an edge without it, a new name refused in time."""
    cluster, stream, seconds = world.cluster, world.stream(), world.seconds(LEASE_SECONDS + 4, 600)
    publisher = world.studio.publish("o1", stream)
    viewers = world.watched(("e1", stream), ("e1", stream, {"way": "websocket"}))

    def away():
        cluster.stop_engine()
        began = time.monotonic()
        status, body, headers, took = cluster.post("o2", "whip", f"{stream}-new", offer())
        require(status == 503 and headers["Retry-After"], f"a new name: {status} {body}")
        require(took <= REFUSED_SECONDS, f"refused after {took:.1f} s")
        # For longer than leases live.
        time.sleep(max(0, seconds - (time.monotonic() - began)))
        joined = world.home.watch("e2", stream)
        first = joined.first_frame_ms(10)
        world.note(new_name_refused_after_s=round(took, 1), join_at_another_edge_first_frame_ms=first)
        joined.leave()
        cluster.start_engine()
        nodes = cluster.nodes.values()
        taken = until("new names are taken", lambda: cluster.post("o2", "whip", world.stream(), offer())[0] == 201, 40)
        owned = until("the stream is its publisher's", lambda: all(node.owner(stream) == "o1" for node in nodes), 40)
        world.note(new_name_taken_after_s=round(taken, 1), owner_known_after_s=round(owned, 1))

    running = Fault(away)
    seen = watch(publisher, viewers, seconds, running.join)
    running.result()
    world.note_seen(seen)
    require_steady(seen)
    require(cluster["o1"].publishes(stream), "its publisher is the one it was")


def leader_killed(world):
    """The engine's leader is killed: viewers at edges notice nothing, new names wait for seconds."""
    cluster, stream = world.cluster, world.stream()
    publisher = world.studio.publish("o1", stream)
    viewers = world.watched(("e1", stream), ("e3", stream))

    def dies():
        cluster.etcd.stop(cluster.etcd.leader())
        status, _, headers, took = cluster.post("o2", "whip", f"{stream}-new", offer())
        require(status == 201, f"a new name: {status}")
        world.note(new_name_s=round(took, 1))
        joined = world.home.watch("e2", stream)
        world.note(join_at_another_edge_first_frame_ms=joined.first_frame_ms(10))
        joined.leave()
        cluster.delete("o2", headers["Location"])

    running = Fault(dies)
    seen = watch(publisher, viewers, world.seconds(6, 30), running.join)
    running.result()
    world.note_seen(seen)
    require_steady(seen)


def stale_origin(world):
    """An origin that the engine cannot hear goes on while another has its name: edges take the newer one, and never go back."""
    cluster, stream, apart = world.cluster, world.stream(), 1_000_000
    old = world.studio.publish("o1", stream)
    viewers = world.watched(("e1", stream), ("e2", stream, {"way": "websocket"}))
    before = cluster["e1"].stream(stream)["epoch"]
    for member in ("k1", "k2", "k3"):
        world.machines.cut("o1", member)
    until("published at o2", lambda: world.studio.publish(
        "o2", stream, firstFrame=(int(time.time() * 30) + apart) % 2**24), LEASE_SECONDS + 10, every=0.5)
    after = until_known(cluster["e1"], stream, "o2")
    require(after["epoch"] > before, f"epoch {before} became {after['epoch']}")
    time.sleep(1.5)
    require(cluster["o1"].publishes(stream), "the old one goes on, and does not know")
    joined = world.home.watch("e3", stream)
    joined.first_frame_ms()
    seen = watch(None, [*viewers, joined], world.seconds(5, 30))
    world.note_seen(seen)
    now = int(time.time() * 30)
    for each, _ in seen:
        of_old = [number for number, *_ in each.shown if min((number - now) % 2**24, (now - number) % 2**24) < apart // 2]
        require(each.shown and not of_old, f"{each.name}: {len(of_old)} of {len(each.shown)} pictures are of the old one")
    world.machines.heal()
    ended = until("the old one is ended", lambda: not cluster["o1"].publishes(stream), 40)
    world.note(old_one_ended_after_s=round(ended, 1), epochs=[before, after["epoch"]])
    seen = watch(None, viewers, 3)
    require_steady(seen)
    old.vanish()


def until_known(node, stream, owner, within=20):
    until(f"{node.name} knows {owner}", lambda: node.owner(stream) == owner, within)
    return node.stream(stream)


def clocks_differ(world):
    """An edge's clock is 5 s ahead, another's 5 s behind: pictures are as they are elsewhere."""
    cluster, stream = world.cluster, world.stream()
    for name, seconds in (("e1", 5), ("e2", -5)):
        cluster[name].clock_s = seconds
        cluster[name].restart()
    cluster.wait()
    publisher = world.studio.publish("o1", stream)
    viewers = world.watched(("o1", stream), ("e1", stream), ("e2", stream))
    seen = watch(publisher, viewers, world.seconds(4, 60))
    world.note_seen(seen)
    require_steady(seen)
    for each, _ in seen[1:]:
        require_as_many(each, seen[0][0])


# How the nodes name what is wrong (`refused` in `cluster status --json`). One that dials cannot be told from one of another name.
WRONG = {
    "another authority": {"other_authority"}, "expired": {"expired"}, "not yet valid": {"not_yet_valid"},
    "another node": {"another_node", "not_in_the_cluster"}, "another region": {"another_region", "not_in_the_cluster"},
    "another cluster": {"another_cluster"}, "no name of a node": {"no_corecast_name"}, "for servers only": {"wrong_use"},
    "a node that was removed": {"not_in_the_cluster"}, "none": {"no_certificate"},
}


def knock(machine, address, files):
    """Shows a certificate, and asks who is there over HTTP/2; gives how that ended, and after how many seconds."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if files:
        context.load_cert_chain(files.cert, files.key)

    def ask():
        began = time.monotonic()
        with socket.create_connection((address, LINK_PORT), timeout=5) as plain:
            try:
                with context.wrap_socket(plain, server_hostname="node") as stream:
                    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
                    client.initiate_connection()
                    client.send_headers(1, [(":method", "GET"), (":scheme", "https"), (":authority", "node"), (":path", "/hello")],
                                        end_stream=True)
                    stream.sendall(client.data_to_send())
                    how = "closed"
                    while how == "closed" and (received := stream.recv(4096)):
                        for event in client.receive_data(received):
                            if isinstance(event, h2.events.ResponseReceived):
                                status = dict(event.headers)[b":status"]
                                how = "open" if status == b"200" else status.decode()
                        stream.sendall(client.data_to_send())
            except TimeoutError:
                how = "nothing is said"
            except (ssl.SSLError, ConnectionError) as error:
                how = getattr(error, "reason", None) or type(error).__name__
        return how, time.monotonic() - began

    return machine.call(ask)


def wrong_certificates(world):
    """Who shows a wrong certificate is refused, and named, at both ends."""
    cluster, home = world.cluster, world.machines["home"]
    origin = cluster["o1"]
    wrong = cluster.authority.wrong(cluster.other, CLUSTER, "b", "e3", [home.address])
    wrong["a node that was removed"] = cluster.authority.of_node(CLUSTER, "a", "gone", [home.address])
    wrong["none"] = None
    require(set(wrong) == set(WRONG), "every kind has its name")

    def times(kinds):
        ours = [one for one in origin.status()["refused"] if one["address"].startswith(f"{home.address}:")]
        return sum(one["times"] for one in ours if one["kind"] in kinds)

    for why, kinds in WRONG.items():
        before = times(kinds)
        how, took = knock(home, origin.machine.address, wrong[why])
        require(how != "open", f"{why}: not refused in {took:.1f} s")
        until(f"{why} is named {' or '.join(kinds)}", lambda: times(kinds) > before, 5)
        world.note(**{why: how})
    how, _ = knock(home, origin.machine.address, cluster.authority.of_node(CLUSTER, "b", "e3", [home.address]))
    require(how == "open", f"a right one is let in: {how}")
    # A node that is itself wrong: by its name, which the engine does not look at.
    node = cluster["e3"]
    right = node.files
    try:
        for why in ("another node", "another cluster"):
            node.files = wrong[why]
            node.stop()
            node.start(wait=False)
            kinds = WRONG[why] | {"another_node"}

            def has_ended():
                return node.process.poll() is not None

            def is_named():
                return any(one["kind"] in kinds for name in ("o1", "e3") for one in cluster[name].status()["refused"])

            until(f"{why}: it does not start or is refused", lambda: has_ended() or is_named(), 15)
            world.note(**{f"a node with the certificate of {why}": "does not start" if has_ended() else "is refused"})
    finally:
        node.files = right
        node.stop()
        node.start()


def parent_killed(world):
    """Of two edges of a region one takes the stream from the other, which is killed: the viewers see no gap."""
    cluster, stream = world.cluster, world.stream()
    if "e4" not in cluster.nodes:
        cluster.add("e4", "b", "10.78.2.2").start()
        cluster.wait()
    publisher = world.studio.publish("o1", stream)
    meters = {name: world.machines.meter("o1", name) for name in ("e3", "e4")}
    viewers = dict(zip(meters, world.watched(("e3", stream), ("e4", stream))))
    rates = dict(zip(meters, together(*[lambda read=read: rate(read) for read in meters.values()])))
    parent = max(rates, key=rates.get)
    child = next(name for name in meters if name != parent)
    world.note(kbits_from_the_origin={name: round(each / 1000) for name, each in rates.items()}, parent=parent)
    require(rates[child] < 0.5 * rates[parent], "one takes it from the other")
    seen = watch(publisher, [viewers[child]], 4, cluster[parent].kill)
    world.note_seen(seen)
    world.note(key_frames=viewers[child].stats()["keyFrames"])
    require_steady(seen, 300)


def many_edges(world):
    """One stream to twenty edges of one origin, a viewer each, beside as many viewers of the origin; then to many viewers of two."""
    cluster, home, seconds = world.cluster, world.machines["home"], world.seconds(15, 30)
    tester = BINARY.parent / "corecast-loadtest"
    require(tester.exists(), f"{tester} is missing: cargo build --workspace --bins")
    names = [f"x{number}" for number in range(1, EDGES + 1)]
    for number, name in enumerate(names):
        if name not in cluster.nodes:
            cluster.add(name, "a", f"10.78.4.{number + 1}").start(wait=False)
    for name in names:
        cluster[name].wait()
    cluster.wait()

    def watched(what, edges, viewers):
        stream, origin = world.stream(), cluster["o1"]
        whep = [word for edge in edges for word in ("--whep", f"{cluster[edge].url}/whep/{stream}")]
        before = {name: cluster[name].cpu_seconds() for name in {"o1", *edges}}
        with tempfile.TemporaryDirectory() as directory:
            # What fails by its own lines is judged here; a report there is all the same.
            subprocess.run(home.inside(tester, "run", "--whip", f"{origin.url}/whip/{stream}", *whep, "--viewers", viewers, "--ramp", "50/s",
                                       "--seconds", seconds, "--bitrate", "1M", "--insecure", "--report", directory),
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            report = json.loads((Path(directory) / "report.json").read_text())
        late = report["distributions"]["video_latency"]
        cpu = {name: round(cluster[name].cpu_seconds() - began, 2) for name, began in before.items()}
        connected, lost = report["viewers_connected"], report["accounts"]["lost"]
        world.note(**{what: {"connected": connected, "packets_per_second": round(report["packets_per_second"]), "lost": lost,
                             "latency_ms": {name: round(late[name] / 1000, 1) for name in ("p50", "p99") if name in late},
                             "cpu_s_origin": cpu["o1"], "cpu_s_edges": round(sum(cpu.values()) - cpu["o1"], 2)}})
        return connected, lost

    watched("viewers of the origin", ["o1"], EDGES)
    connected, lost = watched("an edge each", names, EDGES)
    require(connected == EDGES and lost == 0, f"{connected} connected, {lost} packets lost")
    watched("many viewers of two edges", ["e1", "e2"], world.seconds(200, 2_000))


PLAIN, LINKS, WHOLE = "needs no link", "needs links", "needs links, and is of the whole form only"
CASES = {
    "who publishes where is known everywhere, whatever the clocks say": (all_know, PLAIN),
    "publishers at all nodes race": (racing, PLAIN),
    "the engine's faults beside media": (engine_faults_beside_media, PLAIN),
    "an offer that cannot be read": (unreadable_offer, LINKS),
    "two viewers at an edge cost one link": (two_viewers_one_link, LINKS),
    "everybody sees, and what the link adds": (everybody_sees, LINKS),
    "the publisher moves to another node": (publisher_moves, LINKS),
    "the origin is killed, the publisher comes back elsewhere": (origin_killed, LINKS),
    "the link is cut": (link_cut, LINKS),
    "the link is lossy and long": (link_lossy, LINKS),
    "the edge lets go": (edge_lets_go, LINKS),
    "the engine is away": (engine_away, LINKS),
    "the engine's leader is killed": (leader_killed, LINKS),
    "a stale origin": (stale_origin, LINKS),
    "clocks differ": (clocks_differ, WHOLE),
    "many edges": (many_edges, WHOLE),
    "wrong certificates": (wrong_certificates, LINKS),
    # Last: it adds a node.
    "a parent is killed": (parent_killed, LINKS),
}


def waited():
    """For how many seconds some program has waited for a core, since the machine has run."""
    with contextlib.suppress(OSError), open("/proc/pressure/cpu") as file:
        return int(file.readline().split("total=")[1]) / 1e6
    return 0


def attempt(world, case):
    """What failed, or nothing."""
    world.figures = {}
    why, before, began = None, waited(), time.monotonic()
    try:
        case(world)
    except Exception as error:  # a case's failure must not end the others
        why = "".join(traceback.format_tb(error.__traceback__)[-2:]) + f"{type(error).__name__}: {error}"
    # Figures of time mean little where this is near 100: two cores, and others want them.
    world.note(busy_percent=round(100 * (waited() - before) / (time.monotonic() - began)))
    try:
        world.settle()
    except Exception as error:
        why = why or f"afterwards: {type(error).__name__}: {error}"
    return why


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="PART", help="cases whose name contains it")
    parser.add_argument("--whole", action="store_true", help="longer watching, and an engine that is away for ten minutes")
    parser.add_argument("--without-links", action="store_true", help="the cases that need no link between nodes")
    parser.add_argument("--list", action="store_true", help="name the cases and run none")
    options = parser.parse_args()
    if options.list:
        print(*CASES, sep="\n")
        return
    enter()
    kinds = {PLAIN} if options.without_links else {PLAIN, LINKS, WHOLE} if options.whole or options.only else {PLAIN, LINKS}
    wanted = {name: case for name, (case, kind) in CASES.items() if options.only in name and kind in kinds}
    if not wanted:
        sys.exit(f"no case matches {options.only!r}")
    results, began = [], time.monotonic()
    with (Machines() as machines, Cluster(machines) as cluster, Browsers(cluster, "studio") as studio,
          Browsers(cluster, "home") as home):
        world = World(cluster, studio, home, options.whole)
        print(f"three members and {len(cluster.nodes)} nodes after {time.monotonic() - began:.1f} s", flush=True)
        for name, case in wanted.items():
            print(f"▶ {name}", flush=True)
            start, failed = time.monotonic(), []
            for number in range(1, ATTEMPTS + 1):
                why = attempt(world, case)
                if why is None:
                    break
                failed.append(why)
                print(f"    attempt {number} of {ATTEMPTS}: {why}", flush=True)
            passed, seconds = len(failed) < ATTEMPTS, round(time.monotonic() - start, 1)
            results.append({"name": name, "passed": passed, "seconds": seconds, "failed": failed, **world.figures})
            print(f"{'PASS' if passed else 'FAIL'} links: {name} ({seconds} s)", flush=True)
        if hasattr(world, "leaving"):
            world.leaving[0].__exit__()
    (ARTIFACTS / "cluster-links.json").write_text(json.dumps(results, indent=2) + "\n")
    bad = sum(not one["passed"] for one in results)
    print(f"links: {len(results) - bad} passed, {bad} failed ({time.monotonic() - began:.0f} s)")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
