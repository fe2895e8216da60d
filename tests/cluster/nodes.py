"""An engine on loopback with nodes beside it, each at a loopback address of its own; and how cases are run."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "interop"))

from authority import Authority  # noqa: E402
from etcd import Etcd  # noqa: E402
from node_under_test import ADDRESS, ANSWER_SECONDS, ARTIFACTS, BINARY, EXIT_SECONDS, READY_SECONDS, enter_network  # noqa: E402

CLUSTER = "corecast"
CASE_SECONDS = 1_200
# A viewer's events are waited for by the node.
ASKED_SECONDS = 40


def require(holds, what):
    if not holds:
        raise AssertionError(what)


class Engine(Etcd):
    """Three members with certificates of one authority, of which nodes have theirs too."""

    def __init__(self):
        self.made = tempfile.TemporaryDirectory(prefix="corecast-authority-")
        self.authority = Authority(Path(self.made.name) / "ours")
        self.other = Authority(Path(self.made.name) / "other", "another authority")
        super().__init__(files=[self.authority.of_node(CLUSTER, "engine", f"e{member}", ["127.0.0.1"]) for member in range(self.MEMBERS)])

    def __exit__(self, *_):
        super().__exit__()
        self.made.cleanup()


class Node:
    """A node of the cluster, on a loopback address of its own."""

    def __init__(self, number, etcd, name=None, region="r", files=None, settings=""):
        """`files`: another certificate than a right one; `settings`: more of `[cluster]`."""
        self.host = f"127.0.0.{number}"
        self.http, self.admin = f"http://{self.host}:8080", f"http://{self.host}:8444"
        self.channel = f"{self.host}:8446"
        self.number, self.etcd, self.name, self.region, self.settings = number, etcd, name or f"n{number}", region, settings
        self.files = files or etcd.authority.of_node(CLUSTER, region, self.name, [self.host])

    def __enter__(self):
        self.home = tempfile.TemporaryDirectory(prefix="corecast-cluster-")
        config = Path(self.home.name) / "node.toml"
        engine = json.dumps(self.etcd.urls)
        config.write_text(
            f"https = '{self.host}:8443'\nhttp = '{self.host}:8080'\nadmin = '{self.host}:8444'\ncores = '0'\n"
            f"[media]\nips = ['{ADDRESS}']\nport_base = {20_000 + 100 * self.number}\n"
            f"[cluster]\nname = '{CLUSTER}'\nengine = {engine}\nnode = '{self.name}'\nregion = '{self.region}'\n"
            f"ca = '{self.files.ca}'\ncert = '{self.files.cert}'\nkey = '{self.files.key}'\n{self.settings}\n")
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        self.log_path = ARTIFACTS / f"node-cluster-{self.name}.log"
        self.log = open(self.log_path, "a")
        self.process = subprocess.Popen(
            [BINARY, "serve", "--config", config], stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT,
            env={**os.environ, "STATE_DIRECTORY": self.home.name})
        deadline = time.monotonic() + READY_SECONDS
        while True:
            require(self.process.poll() is None, f"{self.name} ended:\n{self.log_path.read_text()[-2000:]}")
            try:
                urllib.request.urlopen(self.admin + "/readyz", timeout=1).read()
                return self
            except OSError:
                require(time.monotonic() < deadline, f"{self.name} is not ready")
            time.sleep(0.1)

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(EXIT_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        self.home.cleanup()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def cluster(self):
        with urllib.request.urlopen(self.admin + "/api/v1/cluster", timeout=ANSWER_SECONDS) as answer:
            return json.load(answer)

    def owner(self, stream):
        return next((one["node"] for one in self.cluster()["streams"] if one["name"] == stream), None)

    def ask(self, method, path, body=None, **headers):
        """Its status, headers and body."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body.encode() if body is not None else None
        request = urllib.request.Request(self.http + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=ASKED_SECONDS) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode(errors="replace")

    def publish(self, stream, offer):
        """The session's URL, or the status, the code and after how many seconds to come again."""
        status, headers, body = self.ask("POST", f"/whip/{stream}", offer, Content_Type="application/sdp")
        if status == 201:
            return self.http + headers["Location"]
        return status, json.loads(body)["code"], headers.get("Retry-After")

    def sessions(self):
        """The sessions of its workers."""
        with urllib.request.urlopen(self.admin + "/api/v1/node", timeout=ANSWER_SECONDS) as answer:
            return [one for worker in json.load(answer)["workers"] for one in worker["sessions"]]

    def status(self, *arguments):
        """`corecast cluster status`: its exit code and what it prints."""
        done = subprocess.run([BINARY, "cluster", "status", "--node", self.admin, *arguments], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr


def delete(session):
    urllib.request.urlopen(urllib.request.Request(session, method="DELETE"), timeout=ANSWER_SECONDS).read()


async def offer():
    """A publisher's offer, of aiortc; nobody needs to connect for a name to be claimed."""
    from aiortc import RTCConfiguration, RTCPeerConnection

    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver("video", direction="sendonly")
    await pc.setLocalDescription(await pc.createOffer())
    sdp = pc.localDescription.sdp
    await pc.close()
    return sdp


async def until(what, holds, within=20.0):
    deadline = time.monotonic() + within
    while not holds():
        require(time.monotonic() < deadline, f"not within {within} s: {what}")
        await asyncio.sleep(0.1)
    return within - (deadline - time.monotonic())


def run(cases):
    """Runs the cases whose names have the program's argument in them."""
    enter_network()
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    results = []
    for name, case in cases.items():
        if wanted not in name:
            continue
        print(f"▶ {name}", flush=True)
        start = time.monotonic()
        try:
            asyncio.run(asyncio.wait_for(case(), CASE_SECONDS))
            passed = True
        except Exception as error:  # a case's failure must not end the others
            print("".join(traceback.format_tb(error.__traceback__)[-2:]) + f"{type(error).__name__}: {error}")
            passed = False
        results.append(passed)
        print(f"{'PASS' if passed else 'FAIL'} cluster: {name} ({time.monotonic() - start:.1f} s)", flush=True)
    failed = results.count(False)
    print(f"cluster: {len(results) - failed} passed, {failed} failed")
    sys.exit(1 if failed or not results else 0)
