"""Three members of a real etcd, over TLS: on loopback with certificates of an authority of their own, or each in a machine."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CACHE = Path(os.environ.get("CORECAST_TEST_CACHE", Path.home() / ".cache/corecast-tests"))
PROGRAMS = CACHE / "etcd/usr/bin"
READY_SECONDS = 30
# A server's own gateway calls it with its server certificate.
BOTH_USES = "extendedKeyUsage = serverAuth, clientAuth"


def make_certificates(directory):
    """An authority, and a certificate of it for loopback."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    (directory / "extensions").write_text(f"subjectAltName = IP:127.0.0.1\n{BOTH_USES}\n")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", "/CN=test authority", "-days", "2")
    openssl("req", *key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=test")
    openssl("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-out", "cert.pem",
            "-days", "2", "-extfile", "extensions")


class Etcd:
    """The members; a context manager. Each can be stopped and started again."""

    MEMBERS = 3

    def __init__(self, machines=None, files=None):
        """`machines`: one per member (`machines.py`); `files`: the certificate of each (`authority.py`)."""
        self.machines, self.files = machines, files

    def __enter__(self):
        if not (PROGRAMS / "etcd").exists():
            sys.exit(f"{PROGRAMS}/etcd is missing: tests/run --only interop --setup")
        self.home = tempfile.TemporaryDirectory(prefix="corecast-etcd-")
        self.directory = Path(self.home.name)
        if self.machines is None:
            make_certificates(self.directory)
            self.urls = [f"https://127.0.0.1:{23790 + 10 * member}" for member in range(self.MEMBERS)]
            self.peers = [f"https://127.0.0.1:{23791 + 10 * member}" for member in range(self.MEMBERS)]
        else:
            self.urls, self.peers = [[f"https://{machine.address}:{port}" for machine in self.machines] for port in (2379, 2380)]
        self.processes = [None] * self.MEMBERS
        for member in range(self.MEMBERS):
            self.start(member)
        self.wait()
        return self

    def __exit__(self, *_):
        for member in range(self.MEMBERS):
            self.stop(member)
        self.home.cleanup()

    def inside(self, member, *command):
        """The command line that runs a command where the member is."""
        # Of many programs on one machine the engine must not be the one that waits: it elects a leader anew then.
        return list(command) if self.machines is None else self.machines[member].inside("nice", "-n", "-10", *command)

    def files_of(self, member):
        if self.files is None:
            return {name: str(self.directory / f"{name}.pem") for name in ("ca", "cert", "key")}
        return {name: str(getattr(self.files[member], name)) for name in ("ca", "cert", "key")}

    def etcdctl(self, endpoints=None, member=0):
        """The command line of etcdctl, which is asked where a member is."""
        files = self.files_of(member)
        flags = [f"--{flag}={files[name]}" for flag, name in (("cacert", "ca"), ("cert", "cert"), ("key", "key"))]
        return self.inside(member, PROGRAMS / "etcdctl", f"--endpoints={','.join(endpoints or self.urls)}", *flags)

    def start(self, member):
        files = self.files_of(member)
        of_clients = ["--cert-file", files["cert"], "--key-file", files["key"], "--trusted-ca-file", files["ca"],
                      "--client-cert-auth"]
        of_peers = ["--peer-cert-file", files["cert"], "--peer-key-file", files["key"], "--peer-trusted-ca-file", files["ca"],
                    "--peer-client-cert-auth"]
        cluster = ",".join(f"e{number}={url}" for number, url in enumerate(self.peers))
        log = open(self.directory / f"e{member}.log", "a")
        self.processes[member] = subprocess.Popen(
            self.inside(
                member, PROGRAMS / "etcd", "--name", f"e{member}", "--data-dir", self.directory / f"e{member}",
                "--listen-client-urls", self.urls[member], "--advertise-client-urls", self.urls[member],
                "--listen-peer-urls", self.peers[member], "--initial-advertise-peer-urls", self.peers[member],
                "--initial-cluster", cluster, *of_clients, *of_peers),
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def stop(self, member):
        process = self.processes[member]
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        self.processes[member] = None

    def wait(self):
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                return self.ctl("endpoint", "health")
            except subprocess.CalledProcessError as error:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"etcd is not ready: {error.stderr}") from error
            time.sleep(0.2)

    def ctl(self, *arguments, endpoints=None):
        """What etcdctl says."""
        command = [*self.etcdctl(endpoints), *arguments]
        environment = {**os.environ, "ETCDCTL_API": "3"}
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout

    def revoke_lease(self, key):
        """Revokes the lease of the one key whose name ends so."""
        import base64
        found = [kv["lease"] for kv in json.loads(self.ctl("get", "--prefix", "/", "-w", "json"))["kvs"]
                 if base64.b64decode(kv["key"]).decode().endswith(key)]
        self.ctl("lease", "revoke", f"{found[0]:x}")

    def leader(self):
        """The member that leads."""
        for status in json.loads(self.ctl("endpoint", "status", "-w", "json")):
            if status["Status"]["leader"] == status["Status"]["header"]["member_id"]:
                return self.urls.index(status["Endpoint"])
        raise RuntimeError("nobody leads")

    def history(self, key):
        """Every value that a key ever had, with its revision, in the engine's own order; None where it was removed."""
        now = json.loads(self.ctl("get", "/nothing", "-w", "json"))["header"]["revision"]
        watch = subprocess.Popen(
            [*self.etcdctl(self.urls[:1]), "watch", "--rev=1", "-w", "json", "--prefix", key],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "ETCDCTL_API": "3"})
        try:
            # A mark behind all that there is, so that the end is known.
            self.ctl("put", key + "~end", "")
            import base64
            seen = []
            for line in watch.stdout:
                for event in json.loads(line).get("Events", []):
                    name = base64.b64decode(event["kv"]["key"]).decode()
                    if name.endswith("~end"):
                        return seen
                    is_put = event.get("type", 0) in (0, "PUT")
                    value = json.loads(base64.b64decode(event["kv"]["value"])) if is_put else None
                    seen.append((event["kv"]["mod_revision"], name, value))
            raise RuntimeError(f"the watch ended before revision {now}")
        finally:
            watch.kill()
            watch.wait()
