"""Nodes that share a real etcd: names have one publisher, and faults of the engine stop nothing.

    test_registry.py [PART OF A CASE'S NAME]

CORECAST_CLUSTER=whole: 200 names raced for instead of 30, and an engine that is away for ten minutes instead of 15 s.
"""

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from nodes import BINARY, Engine, Node, delete, offer, require, run, until

IS_WHOLE = os.environ.get("CORECAST_CLUSTER") == "whole"
RACES = 200 if IS_WHOLE else 30
AWAY_SECONDS = 600 if IS_WHOLE else 15
# A claim waits for six seconds; then the answer is on its way.
REFUSED_SECONDS = 9


async def racing():
    with Engine() as etcd, Node(1, etcd) as a, Node(2, etcd) as b, Node(3, etcd) as c:
        nodes = [a, b, c]
        await until("all know of all", lambda: all(len(node.cluster()["nodes"]) == 3 for node in nodes))
        sdp = await offer()
        won = []
        for number in range(RACES):
            answers = await asyncio.gather(*[asyncio.to_thread(node.publish, f"s{number}", sdp) for node in nodes])
            winners = [answer for answer in answers if isinstance(answer, str)]
            losers = [answer for answer in answers if not isinstance(answer, str)]
            require(len(winners) == 1 and all(answer[:2] == (409, "name_taken") for answer in losers), f"s{number}: {answers}")
            won.append(nodes[answers.index(winners[0])].name)
            await asyncio.to_thread(delete, winners[0])
        owners = {}
        for revision, name, stream in etcd.history("/corecast/1/corecast/streams/"):
            owners.setdefault(name.rsplit("/", 1)[1], []).append((revision, stream and stream["node"]))
        require(len(owners) == RACES, f"{len(owners)} names in the engine's history")
        for number, winner in enumerate(won):
            history = owners[f"s{number}"]
            require([node for _, node in history] == [winner, None], f"s{number}, won by {winner}: {history}")
        print(f"    {RACES} names, one winner each by the engine's own history: {({name: won.count(name) for name in set(won)})}")


async def node_dies():
    with Engine() as etcd, Node(1, etcd) as a, Node(2, etcd) as b:
        sdp = await offer()
        require(isinstance(a.publish("s", sdp), str), "it publishes")
        await until("the other hears of it", lambda: b.owner("s") == "n1")
        require(b.publish("s", sdp)[:2] == (409, "name_taken"), "the name is taken")
        code, text, _ = b.status()
        require(code == 0 and "n1" in text and "n2" in text and " s " in f" {text} ".replace("\n", " "), text)
        a.kill()
        took = await until("its names are free", lambda: b.owner("s") is None)
        require(isinstance(b.publish("s", sdp), str), "the other publishes")
        require(len(b.cluster()["nodes"]) == 1, f"{b.cluster()['nodes']}")
        print(f"    the names of a node that was killed are free after {took:.1f} s")


async def leader_stops():
    with Engine() as etcd, Node(1, etcd) as a, Node(2, etcd) as b:
        sdp = await offer()
        require(isinstance(a.publish("before", sdp), str), "it publishes")
        await until("the other hears of it", lambda: b.owner("before") == "n1")
        leader = etcd.leader()
        slowest = {}
        for name, act in (("killed", lambda: etcd.stop(leader)), ("frozen", lambda: etcd.processes[etcd.leader()].send_signal(signal.SIGSTOP))):
            act()
            began = time.monotonic()
            answer = await asyncio.to_thread(a.publish, f"while-{name}", sdp)
            slowest[name] = time.monotonic() - began
            require(isinstance(answer, str), f"{name}: {answer}")
            await until("the other hears of it", lambda: b.owner(f"while-{name}") == "n1")
            if name == "killed":
                etcd.start(leader)
                etcd.wait()
        require(b.owner("before") == "n1", "what was published still is")
        print(f"    a new name while the leader is away: {({name: round(took, 1) for name, took in slowest.items()})} s")


async def all_away():
    with Engine() as etcd, Node(1, etcd) as a, Node(2, etcd) as b:
        sdp = await offer()
        from aiortc_client import CONNECTED_SECONDS
        import node_under_test
        node_under_test.HTTP = a.http
        from aiortc_client import Publisher
        publisher = await Publisher.start("s", "VP8")
        await until("the other hears of it", lambda: b.owner("s") == "n1", CONNECTED_SECONDS)
        epoch = claimed(a, "s")
        for member in range(etcd.MEMBERS):
            etcd.stop(member)
        began = time.monotonic()
        answer = await asyncio.to_thread(b.publish, "new", sdp)
        refused = time.monotonic() - began
        require(answer[:2] == (503, "ownership_unavailable") and answer[2], f"a new name: {answer}")
        require(refused < REFUSED_SECONDS, f"after {refused:.1f} s")
        require(b.owner("s") == "n1", "what is known is known")
        code, text, _ = b.status()
        require(code == 1 and "has not answered for" in text, f"{code}: {text}")
        received = lambda: sum(one["received"]["packets"] for one in a.sessions())
        before = received()
        await asyncio.sleep(max(0, AWAY_SECONDS - (time.monotonic() - began)))
        require(received() > before + 10 * AWAY_SECONDS, "the publisher goes on")
        for member in range(etcd.MEMBERS):
            etcd.start(member)
        etcd.wait()
        took = await until("new names are taken", lambda: isinstance(b.publish("new", sdp), str), 40)
        # etcd gives every lease its whole time anew when it starts, so that the name may not have been free meanwhile.
        require(claimed(b, "s") >= epoch and b.owner("s") == "n1", "the name is whose it was")
        # A lease that is lost is noticed, and what is published claimed again under another epoch.
        etcd.revoke_lease("nodes/n1")
        lost = await until("it is claimed again", lambda: b.owner("s") == "n1" and claimed(b, "s") > epoch, 40)
        require(len(a.sessions()) == 1, "its session is the one it was")
        await publisher.close()
        await until("its name is free", lambda: b.owner("s") is None)
        print(f"    all members away for {AWAY_SECONDS} s: a new name is refused after {refused:.1f} s, and taken {took:.1f} s after they are "
              f"back; claimed again {lost:.1f} s after its lease was revoked")


def claimed(node, stream):
    return next((one["epoch"] for one in node.cluster()["streams"] if one["name"] == stream), 0)


async def wrong_settings():
    with Engine() as etcd, tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "node.toml"

        def refused(text):
            config.write_text(text)
            done = subprocess.run([BINARY, "serve", "--config", config], capture_output=True, text=True, timeout=60,
                                  env={**os.environ, "STATE_DIRECTORY": directory})
            require(done.returncode in (1, 2), f"{done.returncode}: {done.stderr}")
            return done.stderr.strip()

        for text, said in [
            ("[cluster]\nengine = ['10.0.0.1:2379']\n", "must be a member's client URL, like https://10.0.0.7:2379"),
            ("[cluster]\nengine = ['http://10.0.0.1:2379']\n", "must be https"),
            ("[cluster]\nnode = 'a'\n", "means something in a cluster only"),
            ("[cluster]\nengine = ['http://127.0.0.1:1']\nnode = 'a b'\n", "must be 1 to 64 letters, digits and - _ ."),
            ("[cluster]\nengine = ['http://127.0.0.1:1']\nnode = 'a'\nurl = 'http://a'\n", "must be https and a host"),
            ("[cluster]\nengine = ['http://127.0.0.1:1']\nnode = 'a'\ncert = 'c.pem'\n", "needs cluster.key beside it"),
            (f"[cluster]\nengine = ['{etcd.urls[0]}']\nnode = 'a'\nca = '/nowhere.pem'\n", "cluster.ca = /nowhere.pem"),
        ]:
            answer = refused(text)
            require(said in answer, f"{text!r} is answered {answer!r}")
        done = subprocess.run([BINARY, "cluster", "status", "--node", "http://127.0.0.1:9"], capture_output=True, text=True, timeout=60)
        require(done.returncode == 1 and "is the node there" in done.stderr, done.stderr)


CASES = {
    "three nodes race for names: one wins each, by the engine's own history": racing,
    "a node is killed, and its names are free": node_dies,
    "the engine's leader is killed and another is frozen: a new name takes seconds": leader_stops,
    "the engine is away: what is published goes on, new names are refused in time, and all is as it was when it is back": all_away,
    "wrong settings are refused by name": wrong_settings,
}


if __name__ == "__main__":
    run(CASES)
