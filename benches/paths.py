#!/usr/bin/env python3
"""What the ways of media cost, and what a link does that is too thin: UDP, TCP, TURN/TCP, TURN/TLS.

    benches/paths.py thin         1.5 Mbit/s into TCP links of 1 Mbit/s for 5 minutes: age of packets, memory, UDP neighbours
    benches/paths.py thin --seconds 60   the same for a minute
    benches/paths.py thin --quick the same for 20 s, and only what a stall of the machine cannot break (a step of tests/run)
    benches/paths.py cost         CPU of the worker per packet, way by way
    benches/paths.py memory       memory per viewer, way by way: resident, and the kernel's where there is a control group for it
    benches/paths.py beside       200 viewers over TURN/TLS beside 200 over UDP: what the latter notice

Needs root, iproute2, util-linux, and target/release/corecast and corecast-loadtest (`cargo build --release --workspace`; or
CORECAST_BIN, with corecast-loadtest beside it). The node runs alone in a network namespace; each thin link is a veth pair with
tbf to a namespace of its own. Namespaces end with the processes in them. --json prints the figures for programs.

The worker has the first core, testers have the others. --realtime runs the node before everything else on its core
(SCHED_RR), so that what other programs do there does not show in the figures of a machine that is in use.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NODE = Path(os.environ.get("CORECAST_BIN") or ROOT / "target" / "release" / "corecast")
TESTER = NODE.with_name("corecast-loadtest")
HOST = "10.77.255.1"  # the node's address in its namespace
WAYS = ["udp", "tcp", "turn-tcp", "turn-tls"]
THIN_KBITS = 1_000
# What the link's own queue holds: 0.3 s. A router with more of it adds that to the age of packets, whatever the node does.
THIN_QUEUE_BYTES = THIN_KBITS * 125 * 3 // 10
STREAM_BITS = "1.5M"
P95 = 6  # the place of 0.95 among the quantiles of a report's curve


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, **options)


def cores():
    return sorted(os.sched_getaffinity(0))


class Namespace:
    """A network namespace, as long as a process is in it."""

    def __init__(self, stack):
        self.keeper = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        stack.callback(self.keeper.wait)
        stack.callback(self.keeper.kill)
        own = os.readlink("/proc/self/ns/net")
        deadline = time.monotonic() + 10
        while os.readlink(f"/proc/{self.keeper.pid}/ns/net") == own:
            if time.monotonic() > deadline or self.keeper.poll() is not None:
                sys.exit("benches/paths.py: no network namespace may be made: run it as root")
            time.sleep(0.01)
        self("ip", "link", "set", "lo", "up")

    def inside(self, *command):
        return ["nsenter", f"--target={self.keeper.pid}", "--net", *[str(word) for word in command]]

    def __call__(self, *command, **options):
        return run(*self.inside(*command), stdout=subprocess.PIPE, **options)


class Node:
    """The node with one worker, in a namespace of its own."""

    def __init__(self, stack, realtime):
        self.namespace = Namespace(stack)
        self.namespace("ip", "address", "add", f"{HOST}/32", "dev", "lo")
        directory = tempfile.mkdtemp(prefix="corecast-paths-")
        stack.callback(shutil.rmtree, directory, True)
        self.directory = Path(directory)
        command = [NODE, "serve", "--https", f"{HOST}:443", "--admin", "127.0.0.1:8444", "--media-ip", HOST,
                   "--announce", HOST, "--cores", str(cores()[0]), "--allow-anyone", "--log", "error",
                   "--state-directory", directory, "--config", self.configuration()]
        command = ["chrt", "--rr", "1", *command] if realtime else command
        self.process = subprocess.Popen(self.namespace.inside(*command), stdout=subprocess.DEVNULL)
        stack.callback(self.process.wait)
        stack.callback(self.process.kill)
        self.group = self.own_group()
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(Exception):
                self.report()
                break
            if time.monotonic() > deadline or self.process.poll() is not None:
                sys.exit("benches/paths.py: the node did not start (its messages are above)")
            time.sleep(0.05)

    def configuration(self):
        # All clients of a bench come from few addresses.
        limits = {"exempt_addresses": json.dumps([HOST, *(f"10.77.{link}.2" for link in range(1, 9))])}
        file = self.directory / "node.toml"
        file.write_text("[limits]\n" + "".join(f"{name} = {value}\n" for name, value in limits.items()))
        return file

    def report(self):
        ask = "import sys, urllib.request as http; sys.stdout.buffer.write(http.urlopen(sys.argv[1], timeout=20).read())"
        url = "http://127.0.0.1:8444/api/v1/node"
        return json.loads(self.namespace(sys.executable, "-c", ask, url, stderr=subprocess.DEVNULL).stdout)

    def worker(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            workers = self.report()["workers"]
            if workers:
                return workers[0]
        sys.exit("benches/paths.py: the worker does not report")

    def resident_bytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def kernel_bytes(self):
        """Memory of the kernel for the node's control group (version 1), sockets' buffers included."""
        if not self.group:
            return None
        return sum(int((self.group / f"memory.kmem.{name}usage_in_bytes").read_text()) for name in ("", "tcp."))

    def own_group(self):
        with contextlib.suppress(OSError):
            group = Path(f"/sys/fs/cgroup/memory/corecast-paths-{os.getpid()}")
            group.mkdir(exist_ok=True)
            (group / "cgroup.procs").write_text(str(self.process.pid))
            return group if (group / "memory.kmem.usage_in_bytes").exists() else None

    def tester(self, stack, *arguments, namespace=None):
        """The load tester, here or on a link; its report is read when it has ended."""
        report = tempfile.mkdtemp(dir=self.directory)
        others = ",".join(str(core) for core in cores()[1:] or cores())
        command = [TESTER, *arguments, "--insecure", "--report", report]
        command = ["taskset", "--cpu-list", others, *command]
        process = subprocess.Popen((namespace or self.namespace).inside(*command), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process, Path(report) / "report.json"

    def publish(self, stack, bitrate, seconds):
        process, _ = self.tester(stack, "publish", "--whip", f"https://{HOST}/whip/paths", "--bitrate", bitrate, "--audio",
                                 "--seconds", str(seconds))
        self.wait_for("publishers", 1)
        return process

    def watch(self, stack, viewers, seconds, way="udp", namespace=None, verify="0.05", ramp=50):
        return self.tester(stack, "watch", "--whep", f"https://{HOST}/whep/paths", "--viewers", str(viewers), "--ramp",
                           f"{ramp}/s", "--seconds", str(seconds), "--over", way, "--verify-fraction", verify,
                           namespace=namespace)

    def wait_for(self, what, number):
        deadline = time.monotonic() + 60
        while self.report()[what] != number:
            if time.monotonic() > deadline:
                sys.exit(f"benches/paths.py: {self.report()[what]} {what}, not {number}")
            time.sleep(0.2)

    def thin_link(self, stack, number):
        """A namespace behind a link of 1 Mbit/s; the way to the node is not limited."""
        far = Namespace(stack)
        near, end = f"thin{number}", f"far{number}"
        self.namespace("ip", "link", "add", near, "type", "veth", "peer", "name", end)
        self.namespace("ip", "link", "set", end, "netns", far.keeper.pid)
        self.namespace("ip", "address", "add", f"10.77.{number}.1/24", "dev", near)
        self.namespace("ip", "link", "set", near, "up")
        far("ip", "address", "add", f"10.77.{number}.2/24", "dev", end)
        far("ip", "link", "set", end, "up")
        far("ip", "route", "add", "default", "via", f"10.77.{number}.1")
        self.namespace("tc", "qdisc", "add", "dev", near, "root", "tbf", "rate", f"{THIN_KBITS}kbit", "burst", "3000",
                       "limit", str(THIN_QUEUE_BYTES))
        return far


def finished(process, report):
    """The report of a tester that comes to its end by itself."""
    try:
        process.wait(timeout=120)
    except subprocess.TimeoutExpired:
        sys.exit("benches/paths.py: a load tester does not end")
    if not report.exists():
        sys.exit("benches/paths.py: a load tester made no report")
    return json.loads(report.read_text())


def ms(distribution, place=None):
    return (distribution["p99"] if place is None else distribution["curve"][place]) / 1e3


def seconds_between(report, begun, intervals):
    """99 % latency of each whole second of a report within intervals of time, ms."""
    found = []
    for second in report["timeline"]:
        at = begun + second["second"]
        if second["latency_p99_us"] and any(start <= at and at + 1 <= end for start, end in intervals):
            found.append(second["latency_p99_us"] / 1e3)
    return found


def compare(quiet, busy):
    """The median second with and without neighbours, and their ratio."""
    if not quiet or not busy:
        sys.exit("benches/paths.py: the neighbours' latency has no seconds to compare")
    quiet, busy = statistics.median(quiet), statistics.median(busy)
    return {"quiet_p99_ms": round(quiet, 3), "beside_p99_ms": round(busy, 3), "ratio": round(busy / quiet, 3)}


def thin(options):
    quick = options.quick
    age_s, turns, turn_s = (20, 0, 0) if quick else (options.seconds, options.turns, 14)
    links, neighbours = (1, 5) if quick else (4, 50)
    whole = age_s + 60 + 2 * turns * (turn_s + 10)
    with contextlib.ExitStack() as stack:
        node = Node(stack, options.realtime)
        far = [node.thin_link(stack, number + 1) for number in range(links)]
        node.publish(stack, STREAM_BITS, whole + 60)
        begun = time.monotonic()
        neighbour = node.watch(stack, neighbours, whole)
        node.wait_for("viewers", neighbours)
        time.sleep(3)
        thin = [node.watch(stack, 1, age_s, "tcp", namespace=link, verify="1") for link in far]
        node.wait_for("viewers", neighbours + links)
        memory = []
        while any(process.poll() is None for process, _ in thin):
            memory.append(node.resident_bytes())
            time.sleep(1)
        reports = [finished(*one) for one in thin]
        quiet, busy = [], []
        for turn in range(turns):
            time.sleep(3)
            start = time.monotonic()
            time.sleep(turn_s)
            quiet.append((start, time.monotonic()))
            now = [node.watch(stack, 1, turn_s + 4, "tcp", namespace=link) for link in far]
            time.sleep(4)
            start = time.monotonic()
            time.sleep(turn_s)
            busy.append((start, time.monotonic()))
            [finished(*one) for one in now]
            print(f"turn {turn + 1} of {turns}", file=sys.stderr)
        if turns:
            ends = begun + whole
            time.sleep(max(0, ends - time.monotonic()))
        beside = finished(*neighbour)
    minute = len(memory) // 5 or 1
    first, last = memory[: 2 * minute][-minute:], memory[-minute:]
    video = [report["distributions"]["video_latency"] for report in reports]
    audio = [report["distributions"]["audio_latency"] for report in reports]
    result = {
        "links": links,
        "seconds": age_s,
        "packets": sum(one["count"] for one in video),
        "age_p50_ms": max(one["p50"] for one in video) / 1e3,
        "age_p95_ms": max(ms(one, P95) for one in video),
        "age_max_ms": max(one["max"] for one in video) / 1e3,
        "sound_age_p95_ms": max(ms(one, P95) for one in audio),
        "received_mbits": round(sum(report["counts"]["received_bytes"] for report in reports) * 8e-6 / age_s / links, 3),
        "pictures": sum(report["viewers_with_picture"] for report in reports),
        "memory_growth": round(statistics.mean(last) / statistics.mean(first) - 1, 4),
        "memory_mib": round(statistics.mean(last) / 2**20, 1),
        "neighbours_lost": beside["counts"]["missing"] - beside["counts"]["filled"],
        "neighbours": compare(seconds_between(beside, begun, quiet), seconds_between(beside, begun, busy)) if turns else None,
    }
    if quick:
        # A stall of two seconds makes at most a tenth of the packets two seconds older; without a bound they would be six
        # seconds old and more.
        kept = [
            ("a picture on every link", result["pictures"] == links),
            ("the link carried media", result["received_mbits"] > 0.4),
            ("age p95 ≤ 2 s and a stall", result["age_p95_ms"] <= 4_500),
            ("memory", result["memory_mib"] < 96),
            ("UDP neighbours lost nothing", result["neighbours_lost"] == 0),
        ]
    else:
        kept = [
            ("age p95 ≤ 2 s", result["age_p95_ms"] <= 2_000),
            ("memory flat (5 %)", abs(result["memory_growth"]) <= 0.05),
            ("neighbours' p99 ratio ≤ 1.1", result["neighbours"]["ratio"] <= 1.1),
            ("UDP neighbours lost nothing", result["neighbours_lost"] == 0),
        ]
    return result, kept


def cost(options):
    viewers, rounds = (50, 1) if options.quick else (options.viewers, options.turns)
    rows = {way: [] for way in WAYS}
    for number in range(rounds):
        order = WAYS[:]
        random.shuffle(order)
        for way in order:
            with contextlib.ExitStack() as stack:
                node = Node(stack, options.realtime)
                node.publish(stack, "1M", 90)
                time.sleep(1)
                tester = node.watch(stack, viewers, 18, way)
                node.wait_for("viewers", viewers)
                time.sleep(4)
                before = node.worker()
                time.sleep(8)
                after = node.worker()
                used = after["cpu_time_ns"] - before["cpu_time_ns"]
                packets = after["forwarded"]["packets"] - before["forwarded"]["packets"]
                paths = [session["path"] for session in after["sessions"] if session["path"]]
                if paths.count(way) < viewers:
                    sys.exit(f"benches/paths.py: {paths.count(way)} of {viewers} viewers are on {way}")
                rows[way].append(used / packets)
                finished(*tester)
            print(f"round {number + 1} of {rounds}: {way} {rows[way][-1]:.0f} ns", file=sys.stderr)
    udp = statistics.median(rows["udp"])
    result = {
        way: {
            "worker_ns_per_packet": round(statistics.median(rows[way])),
            "spread": round((max(rows[way]) - min(rows[way])) / 2 / statistics.median(rows[way]), 3),
            "to_udp": round(statistics.median(found / base for found, base in zip(rows[way], rows["udp"])), 2),
        }
        for way in WAYS
    }
    return {"viewers": viewers, "rows": result, "udp_ns": round(udp)}, []


def memory(options):
    viewers = 50 if options.quick else 5 * options.viewers
    rows = {}
    for way in WAYS:
        with contextlib.ExitStack() as stack:
            node = Node(stack, options.realtime)
            # Little media, so that the ring of the stream is full soon and full queues are rare.
            node.publish(stack, "100k", 120)
            time.sleep(4)
            first = node.watch(stack, 1, 90, way)
            node.wait_for("viewers", 1)
            time.sleep(4)
            before = (node.resident_bytes(), node.kernel_bytes())
            others = node.watch(stack, viewers, 60, way, ramp=100)
            node.wait_for("viewers", viewers + 1)
            # Handshakes are over, and their buffers given back.
            time.sleep(30)
            after = (node.resident_bytes(), node.kernel_bytes())
            per_viewer = [None if None in pair else round((pair[1] - pair[0]) / viewers / 1024, 1)
                          for pair in zip(before, after)]
            rows[way] = dict(zip(("resident_kib", "kernel_kib"), per_viewer))
            for process, _ in (others, first):
                process.send_signal(2)
        print(f"{way}: {rows[way]}", file=sys.stderr)
    return {"viewers": viewers, "rows": rows}, []


def beside(options):
    viewers, turns, turn_s = (20, 1, 6) if options.quick else (200, options.turns, 14)
    whole = turns * (3 * turn_s + 70) + 30
    with contextlib.ExitStack() as stack:
        node = Node(stack, options.realtime)
        node.publish(stack, "500k", whole + 60)
        begun = time.monotonic()
        audience = node.watch(stack, viewers, whole)
        node.wait_for("viewers", viewers)
        alone, found = [], {"udp": [], "turn-tls": []}
        for turn in range(turns):
            time.sleep(3)
            start = time.monotonic()
            time.sleep(turn_s)
            alone.append((start, time.monotonic()))
            for way, intervals in found.items():
                others = node.watch(stack, viewers, turn_s + 6, way)
                node.wait_for("viewers", 2 * viewers)
                time.sleep(3)
                start = time.monotonic()
                time.sleep(turn_s)
                # Until the first of the others says goodbye.
                intervals.append((start, min(time.monotonic(), start + turn_s)))
                finished(*others)
                node.wait_for("viewers", viewers)
            print(f"turn {turn + 1} of {turns}", file=sys.stderr)
        time.sleep(1)
        audience[0].send_signal(2)
        report = finished(*audience)
    quiet = seconds_between(report, begun, alone)
    result = {
        "viewers": viewers,
        "seconds": {"alone": len(quiet)} | {way: len(seconds_between(report, begun, of)) for way, of in found.items()},
        "lost": report["counts"]["missing"] - report["counts"]["filled"],
        "beside_udp": compare(quiet, seconds_between(report, begun, found["udp"])),
        "beside_turn_tls": compare(quiet, seconds_between(report, begun, found["turn-tls"])),
    }
    result["turn_to_udp"] = round(result["beside_turn_tls"]["beside_p99_ms"] / result["beside_udp"]["beside_p99_ms"], 3)
    return result, [("UDP's p99 ratio ≤ 1.1", result["beside_turn_tls"]["ratio"] <= 1.1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["thin", "cost", "memory", "beside"])
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes; figures mean little")
    parser.add_argument("--turns", type=int, default=6, help="turns of with and without, or rounds of all ways")
    parser.add_argument("--viewers", type=int, default=100, help="of `cost`: viewers of each way; of `memory` five times as many")
    parser.add_argument("--seconds", type=int, default=300, help="of `thin`: how long packets' age and memory are looked at")
    parser.add_argument("--realtime", action="store_true", help="the node before everything else on its core")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for program in (NODE, TESTER):
        if not program.exists():
            sys.exit(f"benches/paths.py: {program} is missing: cargo build --release --workspace")
    result, kept = {"thin": thin, "cost": cost, "memory": memory, "beside": beside}[options.what](options)
    print(json.dumps(result, indent=None if options.json else 2))
    for what, is_kept in kept:
        print(f"{'kept  ' if is_kept else 'MISSED'} {what}", file=sys.stderr)
    return 0 if all(is_kept for _, is_kept in kept) else 1


if __name__ == "__main__":
    sys.exit(main())
