"""Starts the node inside a network namespace of its own, asks it for its figures, and ends it.

The pair is not called veth: werift takes no address from a device of that name. One namespace holds the node and its clients: neither aiortc nor GStreamer pairs 127.0.0.1, so a veth pair with an
address on one end stands in for a network. Signalling goes to the node's plain HTTP listener on loopback.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ARTIFACTS = Path(os.environ.get("CORECAST_ARTIFACTS", REPOSITORY / "target/artifacts"))
BINARY = Path(os.environ.get("CORECAST_BIN", REPOSITORY / "target/release/corecast"))
ADDRESS = "10.77.1.1"
HTTP = "http://127.0.0.1:8080"
ADMIN = "http://127.0.0.1:8444"
INSIDE = "CORECAST_INTEROP_NETWORK"
READY_SECONDS = 30
EXIT_SECONDS = 20
# For one answer of the node: a machine may stand still for a second or two.
ANSWER_SECONDS = 20


def enter_network():
    """Outside: runs this program again in a new network namespace. Inside: returns."""
    if os.environ.get(INSIDE):
        return
    if os.geteuid() != 0:
        sys.exit("a network namespace needs root")
    os.environ[INSIDE] = "1"
    setup = (
        "ip link set lo up && ip link add net0 type veth peer name net1 && "
        f"ip address add {ADDRESS}/24 dev net0 && ip link set net0 up && ip link set net1 up && "
        f'ip route add default via 10.77.1.254 && exec "$@"'
    )
    os.execvp("unshare", ["unshare", "--net", "sh", "-c", setup, "sh", sys.executable, *sys.argv])


class Node:
    """A running node, with more arguments where they are given; a context manager."""

    def __init__(self, name, *arguments):
        self.arguments = arguments
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        self.log_path = ARTIFACTS / f"node-interop-{name}.log"

    def __enter__(self):
        if not BINARY.exists():
            raise RuntimeError(f"{BINARY} is missing: cargo build --release, or set CORECAST_BIN")
        self.state = tempfile.TemporaryDirectory(prefix="corecast-interop-")
        self.log = open(self.log_path, "w")
        command = [BINARY, "serve", "--http", "127.0.0.1:8080", "--media-ip", ADDRESS, *self.arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT,
            env={**os.environ, "STATE_DIRECTORY": self.state.name},
        )
        deadline = time.monotonic() + READY_SECONDS
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"the node ended ({self.process.returncode}) before it was ready:\n{self.tail()}")
            try:
                urllib.request.urlopen(ADMIN + "/readyz", timeout=1).read()
                return self
            except OSError as error:
                if time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(f"not ready in {READY_SECONDS} s ({error}):\n{self.tail()}") from error
            time.sleep(0.1)

    def __exit__(self, kind, value, trace):
        status = self.stop()
        if kind is None and status != 0:
            raise RuntimeError(f"the node ended with {status}:\n{self.tail()}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            status = "no answer to SIGTERM"
        self.log.close()
        self.state.cleanup()
        return status

    def tail(self, lines=30):
        return "\n".join(self.log_path.read_text().splitlines()[-lines:])

    def workers(self):
        """The reports of all workers."""
        with urllib.request.urlopen(ADMIN + "/api/v1/node", timeout=ANSWER_SECONDS) as answer:
            report = json.load(answer)
        return report if isinstance(report, list) else report["workers"]

    def sessions(self, stream):
        """The reports of this stream's sessions on all workers."""
        return [one for worker in self.workers() for one in worker["sessions"] if one["stream"] == stream]

    def encodings(self, stream):
        """This stream's pictures, as the worker of its publisher reports them."""
        streams = [one for worker in self.workers() for one in worker["streams"] if one["name"] == stream and one["origin"]]
        return [one for each in streams for one in each["encodings"] if one["kind"] == "video"]


def post_offer(kind, stream, sdp):
    """`POST` an offer; returns the answer and the session's URL. Raises with what the node said."""
    url = f"{HTTP}/{kind}/{stream}"
    request = urllib.request.Request(url, data=sdp.encode(), headers={"Content-Type": "application/sdp"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            if answer.status != 201:
                raise RuntimeError(f"POST {url}: {answer.status}")
            return answer.read().decode(), urllib.parse.urljoin(url, answer.headers["Location"])
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"POST {url}: {error.code} {error.read().decode(errors='replace')}") from error


def delete(session):
    """Ends a session."""
    urllib.request.urlopen(urllib.request.Request(session, method="DELETE"), timeout=ANSWER_SECONDS).read()
