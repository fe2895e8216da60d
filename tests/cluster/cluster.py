"""The standard cluster of the tests: three members of an etcd and five nodes, each on a machine of its own.

    engine   k1 k2 k3   10.78.0.1-3
    region a o1 o2      10.78.1.1-2    where is published, as a rule
             e1 e2      10.78.1.3-4
    region b e3         10.78.2.1
    clients  studio     10.78.3.1      publishers
             home       10.78.3.2      viewers

    with Machines() as machines, Cluster(machines) as cluster:
        cluster.status("o1")

Logs are among the artifacts, named after the nodes.
"""

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "interop"))

from authority import Authority  # noqa: E402
from etcd import Etcd  # noqa: E402
from node_under_test import ANSWER_SECONDS, ARTIFACTS, BINARY, EXIT_SECONDS, READY_SECONDS  # noqa: E402

CLUSTER = "corecast"
ENGINE = {"k1": "10.78.0.1", "k2": "10.78.0.2", "k3": "10.78.0.3"}
NODES = {
    "o1": ("a", "10.78.1.1"), "o2": ("a", "10.78.1.2"),
    "e1": ("a", "10.78.1.3"), "e2": ("a", "10.78.1.4"), "e3": ("b", "10.78.2.1"),
}
CLIENTS = {"studio": "10.78.3.1", "home": "10.78.3.2"}
HTTPS_PORT, LINK_PORT, ADMIN = 8443, 8446, "http://127.0.0.1:8444"
# All nodes know of all: etcd elects a leader within two seconds, and a machine may be busy.
KNOWN_SECONDS = 30


def require(holds, what):
    if not holds:
        raise AssertionError(what)


def until(what, holds, within=20.0, every=0.1):
    """Waits until it holds, and says after how many seconds it did. An exception is as good as a no."""
    began, why = time.monotonic(), ""
    while True:
        try:
            found = holds()
            why = ""
        except (AssertionError, OSError, RuntimeError, LookupError, ValueError) as error:
            found, why = False, f": {type(error).__name__}: {error}"
        took = time.monotonic() - began
        if found:
            return took
        require(took < within, f"not within {within} s: {what}{why}")
        time.sleep(every)


def knows_links():
    """Whether the binary has the settings of links; one of before refuses them."""
    sample = subprocess.run([BINARY, "check-config", "--sample"], check=True, capture_output=True, text=True).stdout
    return "\n#listen =" in sample.split("[cluster]", 1)[-1]


class Node:
    """One node on its machine."""

    def __init__(self, cluster, name, region, machine, core, files):
        self.cluster, self.name, self.region, self.machine, self.core, self.files = cluster, name, region, machine, core, files
        self.url = f"https://{machine.address}:{HTTPS_PORT}"
        self.home = cluster.directory / name
        self.home.mkdir()
        self.log_path = ARTIFACTS / f"node-cluster-{name}.log"
        self.process, self.clock_s, self.extra = None, 0, {}

    def config(self):
        cluster = {"engine": self.cluster.etcd.urls, "name": CLUSTER, "node": self.name, "region": self.region, "url": self.url,
                   "ca": str(self.files.ca), "cert": str(self.files.cert), "key": str(self.files.key)}
        if self.cluster.has_links:
            cluster |= {"listen": f"{self.machine.address}:{LINK_PORT}", "address": f"{self.machine.address}:{LINK_PORT}"}
        cluster |= self.extra
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in cluster.items())
        address = self.machine.address
        return (f"https = '{address}:{HTTPS_PORT}'\nhttp = '127.0.0.1:8080'\nadmin = '127.0.0.1:8444'\ncores = '{self.core}'\n"
                f"allow_anyone = true\n[publish]\ntakeover = '{self.cluster.takeover}'\n[media]\nips = ['{address}']\n"
                f"[cluster]\n{lines}")

    def start(self, wait=True):
        """Starts it, with the certificate, the clock and the further settings that it has by now."""
        file = self.home / "node.toml"
        file.write_text(self.config())
        log = open(self.log_path, "a")
        self.process = self.machine.start(
            "nice", "-n", "-15", BINARY, "serve", "--config", file, clock_s=self.clock_s, stdout=log, stderr=subprocess.STDOUT,
            environment={"STATE_DIRECTORY": str(self.home)})
        log.close()
        if wait:
            self.wait()

    def wait(self):
        def is_ready():
            require(self.process.poll() is None, f"{self.name} ended:\n{self.tail()}")
            return self.get("/readyz", timeout=1) is not None

        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                return is_ready()
            except OSError as error:
                require(time.monotonic() < deadline, f"{self.name} is not ready: {error}\n{self.tail()}")
            time.sleep(0.1)

    def stop(self):
        """Ends it as an operator would; gives its exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(EXIT_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        status, self.process = self.process.returncode, None
        return status

    def kill(self):
        self.process.kill()
        self.process.wait()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def restart(self):
        self.stop()
        self.start()

    def tail(self, lines=30):
        return "\n".join(self.log_path.read_text().splitlines()[-lines:])

    def get(self, path, timeout=ANSWER_SECONDS):
        """What the operator's port answers."""
        def ask():
            with urllib.request.urlopen(ADMIN + path, timeout=timeout) as answer:
                return answer.read()

        return self.machine.call(ask)

    def report(self):
        """`GET /api/v1/node`."""
        return json.loads(self.get("/api/v1/node"))

    def known(self):
        """`GET /api/v1/cluster`: as `status()`, without a process."""
        return json.loads(self.get("/api/v1/cluster"))

    def status(self, *arguments):
        """`corecast cluster status --json`, which ends with 1 where the engine does not answer."""
        command = self.machine.inside(BINARY, "cluster", "status", "--json", "--node", ADMIN, *arguments)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        require(done.returncode in (0, 1) and done.stdout, f"{self.name}: cluster status: {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)

    def stream(self, name):
        """What it knows of a stream, or nothing."""
        return next((one for one in self.known()["streams"] if one["name"] == name), None)

    def owner(self, stream):
        found = self.stream(stream)
        return found and found["node"]

    def sessions(self, stream=None, direction=None):
        """The sessions of its workers."""
        found = [one for worker in self.report()["workers"] for one in worker["sessions"]]
        return [one for one in found if stream in (None, one["stream"]) and direction in (None, one["direction"])]

    def publishes(self, stream):
        """Whether it has a publisher of the stream."""
        return bool(self.sessions(stream, "publish"))

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split(" ")
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Cluster:
    """The engine, the nodes and the clients' machines; a context manager."""

    def __init__(self, machines, nodes=NODES, has_links=None, **settings):
        """`has_links`: whether to give the settings of links, by default where the binary has them.

        `settings`: more of `[cluster]`.
        """
        self.machines, self.wanted, self.settings = machines, nodes, settings
        self.has_links = knows_links() if has_links is None else has_links
        self.nodes = {}
        # As tokens of one subject would have it: nobody here has tokens.
        self.takeover = "any"

    def __enter__(self):
        require(BINARY.exists(), f"{BINARY} is missing: cargo build --release, or set CORECAST_BIN")
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        self.directory = Path(tempfile.mkdtemp(prefix="corecast-cluster-"))
        self.authority = Authority(self.directory / "authority")
        self.other = Authority(self.directory / "other", "another authority")
        engine = [self.machines.add(name, address) for name, address in ENGINE.items()]
        for name, address in CLIENTS.items():
            self.machines.add(name, address)
        files = [self.authority.of_node(CLUSTER, "engine", one.name, [one.address, "127.0.0.1"]) for one in engine]
        self.etcd = Etcd(engine, files)
        self.etcd.__enter__()
        try:
            for name, (region, address) in self.wanted.items():
                self.add(name, region, address).start(wait=False)
            for node in self.nodes.values():
                node.wait()
            self.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for node in self.nodes.values():
            node.stop()
        for member, machine in enumerate(self.etcd.machines):
            log = self.etcd.directory / f"e{member}.log"
            if log.exists():
                shutil.copy(log, ARTIFACTS / f"etcd-cluster-{machine.name}.log")
        self.etcd.__exit__()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __getitem__(self, name):
        return self.nodes[name]

    def add(self, name, region, address):
        """One more node with a machine of its own, which is to be started."""
        cores = sorted(os.sched_getaffinity(0))
        files = self.authority.of_node(CLUSTER, region, name, [address])
        core = cores[len(self.nodes) % len(cores)]
        node = self.nodes[name] = Node(self, name, region, self.machines.add(name, address), core, files)
        node.log_path.unlink(missing_ok=True)
        node.extra = dict(self.settings)
        return node

    def wait(self, names=None):
        """Until all know of all."""
        names = set(names or self.running())

        def all_know():
            known = {name: {one["name"] for one in self[name].known()["nodes"]} for name in names}
            wrong = {name: sorted(those ^ names) for name, those in known.items() if those != names}
            require(not wrong, f"too much or too little: {wrong}")
            return True

        return until("all know of all", all_know, KNOWN_SECONDS)

    def free(self, stream, within=30):
        """Until nobody knows a publisher of it."""
        return until(f"{stream} is free", lambda: all(self[name].owner(stream) is None for name in self.running()), within)

    def running(self):
        return [name for name, node in self.nodes.items() if node.process and node.process.poll() is None]

    def status(self, name="o1"):
        return self[name].status()

    def restart(self, **attributes):
        """Starts all nodes anew, with other attributes of the cluster, like `takeover`."""
        for name, value in attributes.items():
            setattr(self, name, value)
        for node in self.nodes.values():
            node.stop()
        for node in self.nodes.values():
            node.start(wait=False)
        for node in self.nodes.values():
            node.wait()
        self.wait()

    def stop_engine(self):
        for member in range(self.etcd.MEMBERS):
            self.etcd.stop(member)

    def start_engine(self):
        for member in range(self.etcd.MEMBERS):
            self.etcd.start(member)
        self.etcd.wait()

    def post(self, node, kind, stream, sdp, client="studio"):
        """A WHIP or WHEP request from a client's machine: the status, the body, the headers, the seconds that it took."""
        trust = ssl._create_unverified_context()
        request = urllib.request.Request(
            f"{self[node].url}/{kind}/{stream}", data=sdp.encode(), headers={"Content-Type": "application/sdp"}, method="POST")

        def ask():
            began = time.monotonic()
            try:
                with urllib.request.urlopen(request, timeout=ANSWER_SECONDS, context=trust) as answer:
                    return answer.status, answer.read().decode(), answer.headers, time.monotonic() - began
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode(errors="replace"), error.headers, time.monotonic() - began

        return self.machines[client].call(ask)

    def delete(self, node, location, client="studio"):
        trust = ssl._create_unverified_context()
        url = urllib.parse.urljoin(self[node].url, location)
        request = urllib.request.Request(url, method="DELETE")
        return self.machines[client].call(lambda: urllib.request.urlopen(request, timeout=ANSWER_SECONDS, context=trust).status)
