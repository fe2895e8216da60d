"""Many machines on one: a network namespace each, joined by a bridge. What is between them can be cut, lost, late and narrow.

`enter()` runs the program again in namespaces of its own for mounts, processes and the network. So whatever ends it, nothing is
left: no process, no namespace, no device, no rule. Two runs at once do not see each other.

    with Machines() as machines:
        a, b = machines.add("a", "10.78.1.1"), machines.add("b", "10.78.1.2")
        process = a.start("sleep", 9)
        machines.cut("a", "b")
        machines.heal()

Cuts and losses are made on the bridge, as a wire would: the sender sees no error. Offloads are off, so that a packet that is lost
is one. A delay is made by a relay in Python (the kernels of many test machines have no netem) between a machine's cable and the
bridge. `python machines.py` tests all of it.
"""

import collections
import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

INSIDE = "CORECAST_CLUSTER_MACHINES"
ROUTER = "10.78.255.254"
PREFIX_BITS = 16
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
TERM_SECONDS = 20


def run(*command, text=None):
    """Runs a command to its end; what it said where it failed is the error."""
    done = subprocess.run([str(word) for word in command], input=text, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


def enter():
    """Outside: runs this program again in namespaces of its own. Inside: returns."""
    if os.environ.get(INSIDE):
        # A run that is told to end leaves its `with` blocks; the first process of a namespace gets no default action.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        # Names that other programs gave to namespaces are not to be seen here, nor these by them.
        for directory in ("/run/netns", "/etc/netns"):
            run("mkdir", "-p", directory)
            run("mount", "-t", "tmpfs", "tmpfs", directory)
        run("ip", "link", "set", "lo", "up")
        # Kernels that share cores by sessions look at a session's niceness first: what else runs here is not what is measured.
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text("-10")
        return
    if os.geteuid() != 0:
        sys.exit("network namespaces need root")
    os.environ[INSIDE] = "1"
    # Its first process ends with the one that is known outside, and all others with the first.
    flags = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    os.execvp("unshare", ["unshare", *flags, sys.executable, *sys.argv])


def shown_clock(seconds):
    """The environment in which a program's wall clock is so many seconds ahead. Its monotonic clocks are right."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        sys.exit("libfaketime is missing: tests/run --only browser --setup")
    # The second of the names is that of earlier versions.
    steady = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
    return {"LD_PRELOAD": str(library), "FAKETIME": f"{seconds:+g}s", **steady}


class Machine:
    """One machine. Programs that run in it end with it."""

    def __init__(self, name, address):
        self.name, self.address = name, address
        self.device = f"c-{name}"
        self.processes = []
        self.relay = None

    def inside(self, *command):
        """The command line that runs a command there."""
        return ["ip", "netns", "exec", self.name, *[str(word) for word in command]]

    def run(self, *command, **options):
        """Runs a command there to its end, and gives what it says."""
        return subprocess.run(self.inside(*command), check=True, capture_output=True, text=True, **options).stdout

    def start(self, *command, clock_s=0, environment=None, **options):
        """Starts a program there, by another wall clock if need be."""
        env = {**os.environ, **(shown_clock(clock_s) if clock_s else {}), **(environment or {})}
        process = subprocess.Popen(self.inside(*command), stdin=options.pop("stdin", subprocess.DEVNULL), env=env, **options)
        self.processes.append(process)
        return process

    def call(self, function, *arguments):
        """Calls a function in a thread that is there: sockets that it opens are of that machine's network."""
        result = []

        def there():
            try:
                with open(f"/run/netns/{self.name}") as namespace:
                    if LIBC.setns(namespace.fileno(), CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), f"setns {self.name}")
                result.append((function(*arguments), None))
            except BaseException as error:  # it is raised where the function was called
                result.append((None, error))

        thread = threading.Thread(target=there)
        thread.start()
        thread.join()
        value, error = result[0]
        if error is not None:
            raise error
        return value


class Machines:
    """The machines and the bridge between them; a context manager."""

    def __init__(self):
        self.all = {}
        self.rules = {}
        self.meters = set()

    def __enter__(self):
        run("ip", "link", "add", "street", "type", "bridge")
        run("ip", "link", "set", "street", "addrgenmode", "none", "up")
        run("ip", "address", "add", f"{ROUTER}/{PREFIX_BITS}", "dev", "street")
        return self

    def __exit__(self, *_):
        for machine in self.all.values():
            if machine.relay:
                machine.relay.stop()
            for process in machine.processes:
                if process.poll() is None:
                    process.send_signal(signal.SIGCONT)
                    process.kill()
                    process.wait()
            run("ip", "netns", "delete", machine.name)
            shutil.rmtree(f"/etc/netns/{machine.name}", ignore_errors=True)
        self.all = {}
        self.heal()
        run("ip", "link", "delete", "street")

    def __getitem__(self, name):
        return self.all[name]

    def add(self, name, address):
        machine = self.all[name] = Machine(name, address)
        files = Path("/etc/netns") / name
        files.mkdir()
        # `ip netns exec` puts these in the place of those in /etc. There is no name server, and nobody shall wait for one.
        texts = {"hosts": "127.0.0.1 localhost\n", "resolv.conf": "nameserver 127.0.0.1\n", "nsswitch.conf": "hosts: files\n"}
        for file, text in texts.items():
            (files / file).write_text(text)
        run("ip", "netns", "add", name)
        run("ip", "-batch", "-", text=f"""
            link add {machine.device} type veth peer name eth0 netns {name}
            link set {machine.device} addrgenmode none
            link set {machine.device} master street
            link set {machine.device} up
        """)
        # A link-local address of IPv6 that comes late is another network to browsers.
        run("ip", "-n", name, "-batch", "-", text=f"""
            link set lo up
            link set eth0 addrgenmode none
            address add {address}/{PREFIX_BITS} dev eth0
            link set eth0 up
            route add default via {ROUTER}
        """)
        for inside, device in ((machine.inside, "eth0"), (lambda *command: command, machine.device)):
            single(inside, device)
        return machine

    # --- what happens on the way ---

    def cut(self, one, other=None, ways="both"):
        """Nothing passes between a machine and another one, or all others. `ways`: `both`, `to` or `from` the first."""
        self._between("drop", one, other, ways)

    def lose(self, percent, one, other=None, ways="both"):
        """So much of what passes is lost at random, way by way."""
        self._between(f"numgen random mod 10000 < {round(percent * 100)} counter drop", one, other, ways)

    def heal(self, one=None, other=None):
        """Undoes cuts and losses: all, those of a machine, or those between two."""
        for key in list(self.rules):
            if one is None or (one in key and (other is None or other in key)):
                del self.rules[key]
        self._apply()

    def _between(self, verdict, one, other, ways):
        this = self.all[one].address
        that = f"ip {{}} {self.all[other].address} " if other else ""
        rules = []
        if ways in ("both", "from"):
            rules.append(f"ip saddr {this} {that.format('daddr')}{verdict}")
        if ways in ("both", "to"):
            rules.append(f"ip daddr {this} {that.format('saddr')}{verdict}")
        self.rules.setdefault((one, other), []).extend(rules)
        self._apply()

    def _apply(self):
        rules = "\n".join(rule for each in self.rules.values() for rule in each)
        # In one transaction.
        run("nft", "-f", "-", text=f"""
            table bridge street
            delete table bridge street
            table bridge street {{
              chain forward {{
                type filter hook forward priority 0; policy accept;
                {rules}
              }}
            }}
        """)

    def dropped(self):
        """How many packets the losses have taken."""
        found = json.loads(run("nft", "-j", "list", "table", "bridge", "street"))["nftables"]
        rules = [entry["rule"]["expr"] for entry in found if "rule" in entry]
        return sum(part["counter"]["packets"] for expressions in rules for part in expressions if "counter" in part)

    def meter(self, one, other):
        """Counts what goes from a machine to another one from now on; what it gives says how many bytes that are by now."""
        name = f"{one}_{other}"
        run("nft", "-f", "-", text=f"""
            table bridge figures {{
              counter {name} {{ }}
              chain forward {{
                type filter hook forward priority 10; policy accept;
                ip saddr {self.all[one].address} ip daddr {self.all[other].address} counter name {name}
              }}
            }}
        """ if name not in self.meters else "")
        self.meters.add(name)

        def read():
            found = json.loads(run("nft", "-j", "list", "counter", "bridge", "figures", name))["nftables"]
            return next(entry["counter"]["bytes"] for entry in found if "counter" in entry)

        return read

    def narrow(self, name, kbits, queue_ms=300):
        """A machine's cable carries so many kilobits a second, each way, behind a queue that drops what it has no room for."""
        machine = self.all[name]
        shape = ["root", "tbf", "rate", f"{kbits}kbit", "burst", "3200", "limit", str(max(3200, kbits * queue_ms // 8))]
        run("tc", "qdisc", "replace", "dev", machine.device, *shape)
        run(*machine.inside("tc", "qdisc", "replace", "dev", "eth0", *shape))

    def widen(self, name):
        """Undoes `narrow`."""
        run("tc", "qdisc", "delete", "dev", self.all[name].device, "root")
        run(*self.all[name].inside("tc", "qdisc", "delete", "dev", "eth0", "root"))

    def delay(self, name, to_ms, from_ms, other=None):
        """What goes to a machine and comes from it is later by so much; only between it and another one, where one is named."""
        machine = self.all[name]
        if machine.relay is None:
            machine.relay = Relay(machine)
        machine.relay.set(self.all[other].address if other else None, to_ms, from_ms)

    def hasten(self, name):
        """Undoes `delay`."""
        machine = self.all[name]
        if machine.relay:
            machine.relay.stop()
            machine.relay = None


def single(inside, device):
    """Every packet on the wire is a single one, and has its checksum, which the relay needs."""
    features = ["tx", "gso", "tso", "gro", "tx-udp-segmentation", "rx-udp-gro-forwarding"]
    # Kernels differ in which of these can be changed; the check below is what counts.
    words = [word for feature in features for word in (feature, "off")]
    subprocess.run(inside("ethtool", "-K", device, *words), capture_output=True)
    state = run(*inside("ethtool", "-k", device))
    for feature in ("tx-checksumming", "generic-segmentation-offload", "generic-receive-offload", "tx-udp-segmentation"):
        if f"\n{feature}: on" in state.replace("\t", ""):
            raise RuntimeError(f"{device}: {feature} is still on")


class Relay:
    """A process between a machine's cable and the bridge that holds packets for a time. Measured: see `python machines.py`."""

    def __init__(self, machine):
        self.machine, self.delays = machine, {}
        self.near, self.far = f"n-{machine.name}", f"f-{machine.name}"
        run("ip", "-batch", "-", text=f"""
            link add {self.near} type veth peer name {self.far}
            link set {self.near} addrgenmode none
            link set {self.far} addrgenmode none
            link set {self.near} up
            link set {self.far} up
        """)
        for device in (self.near, self.far):
            single(lambda *command: command, device)
        command = [sys.executable, __file__, "relay", machine.device, self.near]
        self.process = subprocess.Popen(["nice", "-n", "-19", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()
        run("ip", "link", "set", machine.device, "nomaster")
        run("ip", "link", "set", self.far, "master", "street")

    def set(self, other, to_ms, from_ms):
        self.delays[other or ""] = (to_ms, from_ms)
        self.process.stdin.write(json.dumps(self.delays) + "\n")
        self.process.stdin.flush()
        self.process.stdout.readline()

    def stop(self):
        self.process.kill()
        self.process.wait()
        run("ip", "link", "delete", self.near)
        run("ip", "link", "set", self.machine.device, "master", "street")


def relay(cable, near):
    """The relay's own process: delays come as lines of JSON."""
    def raw(device):
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        # What this end sends itself is not to be seen.
        opened.setsockopt(263, 23, 1)  # SOL_PACKET, PACKET_IGNORE_OUTGOING
        opened.setblocking(False)
        opened.bind((device, 3))  # ETH_P_ALL
        return opened

    ends = [raw(cable), raw(near)]
    held = {}  # (way, the other machine): packets with the time at which they go on
    delays = {}
    poll = select.poll()
    for end in ends:
        poll.register(end, select.POLLIN)
    poll.register(0, select.POLLIN)
    print("ready", flush=True)
    now = time.monotonic
    timeout = None
    while True:
        for descriptor, _ in poll.poll(timeout):
            if descriptor == 0:
                line = sys.stdin.readline()
                if not line:
                    return
                delays = {socket.inet_aton(other) if other else b"": ways for other, ways in json.loads(line).items()}
                print("set", flush=True)
                continue
            way = 0 if descriptor == ends[1].fileno() else 1  # 0: to the machine
            end = ends[1 - way]
            for _ in range(64):
                try:
                    packet = end.recv(65536)
                except BlockingIOError:
                    break
                # IPv4's source on the way to the machine, its target on the way from it.
                other = b""
                if packet[12:14] == b"\x08\x00":
                    address = packet[26:30] if way == 0 else packet[30:34]
                    if address in delays:
                        other = address
                ms = delays[other][way] if other in delays else 0
                held.setdefault((way, other), collections.deque()).append((now() + ms / 1000, packet))
        time_now = now()
        next_at = None
        for (way, _), packets in held.items():
            while packets and packets[0][0] <= time_now:
                try:
                    ends[way].send(packets.popleft()[1])
                except OSError:
                    pass  # a queue that is full, or a cable that is away: lost, as elsewhere
            if packets and (next_at is None or packets[0][0] < next_at):
                next_at = packets[0][0]
        timeout = None if next_at is None else max(0, next_at - now()) * 1000 + 0.5


# --- its own test ---

SINK = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
s.bind((sys.argv[1], 7000)); s.settimeout(float(sys.argv[2])); print('ready', flush=True)
late = []
try:
    while True:
        sent = float(s.recv(2000)[:24])
        late.append(time.monotonic() - sent)
except TimeoutError: pass
late.sort()
print(len(late), *(round(1000 * late[int(len(late) * q)], 1) for q in (0, 0.5, 0.99)) if late else ())
"""
SOURCE = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); rate, count = float(sys.argv[2]), int(sys.argv[3]); start = time.monotonic()
for number in range(count):
    time.sleep(max(0, start + number / rate - time.monotonic()))
    s.sendto(f'{time.monotonic():24.6f}'.encode().ljust(1200), (sys.argv[1], 7000))
"""


def measure(source, sink, rate=1000, count=500):
    """How many datagrams of 1,200 bytes come through, and the least, median and 99 % time on the way in milliseconds."""
    taking = sink.start(sys.executable, "-c", SINK, sink.address, "1", stdout=subprocess.PIPE, text=True)
    taking.stdout.readline()
    source.run(sys.executable, "-c", SOURCE, sink.address, rate, count)
    taken, *late = taking.stdout.read().split()
    taking.wait()
    return int(taken), [float(each) for each in late]


def check():
    """What the machines promise, and how long a relay's packets really take."""
    def require(holds, what):
        print(f"{'PASS' if holds else 'FAIL'} machines: {what}", flush=True)
        failed.append(what) if not holds else None

    failed = []
    with Machines() as machines:
        a, b, c = (machines.add(name, f"10.78.1.{number}") for number, name in enumerate("abc", 1))
        meters = [machines.meter("a", "b"), machines.meter("b", "a")]
        count, late = measure(a, b)
        require(count == 500 and late[1] < 20, f"a plain way: {count} of 500, ms {late}")
        there, back = (read() for read in meters)
        require(500 * 1200 < there < 500 * 1300 and back < 500, f"what is counted: {there} bytes there, {back} back")
        machines.cut("a", "b")
        require(measure(a, b)[0] == 0, "cut between two: nothing comes")
        require(measure(a, c)[0] == 500, "but elsewhere all")
        machines.heal("a", "b")
        machines.cut("b", ways="from")
        require(measure(a, b)[0] == 500 and measure(b, a)[0] == 0, "cut one way: the other is open")
        machines.heal()
        machines.lose(10, "a", "b")
        count, _ = measure(a, b, count=2000)
        lost = machines.dropped()
        require(1700 < count < 1900 and lost == 2000 - count, f"10 % lost: {count} of 2000, {lost} counted")
        machines.heal()
        machines.delay("b", 25, 5, other="a")
        for rate in (1000, 2000):
            there, back, beside = measure(a, b, rate, 2 * rate), measure(b, a, rate, 2 * rate), measure(c, b, rate, 2 * rate)
            megabits = f"{rate * 1200 * 8 / 1e6:.1f} Mbit/s"
            require(there[0] == back[0] == beside[0] == 2 * rate, f"delayed, {megabits}: all come")
            require(25 <= there[1][1] < 35 and 5 <= back[1][1] < 15 and beside[1][1] < 10,
                    f"25 ms there, 5 back, none from elsewhere: ms {there[1]}, {back[1]}, {beside[1]}")
        machines.hasten("b")
        count, late = measure(a, b)
        require(count == 500 and late[1] < 20, f"a plain way again: {count} of 500, ms {late}")
        machines.narrow("b", 1_000)
        count, late = measure(a, b, 500, 500)
        require(count < 300 and 200 < late[2] < 450, f"4.8 into 1 Mbit/s with a queue of 300 ms: {count} of 500, ms {late}")
        machines.widen("b")
        clocks = "import time; print(time.time(), time.monotonic())"
        process = a.start(sys.executable, "-c", clocks, clock_s=5, stdout=subprocess.PIPE, text=True)
        wall, steady = map(float, process.communicate()[0].split())
        is_right = abs(steady - time.monotonic()) < 1
        require(4 < wall - time.time() <= 5 and is_right, "a clock that is 5 s ahead; the steady one is right")
    require("street" not in run("ip", "link") and not run("ip", "netns", "list"), "nothing is left")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["relay"]:
        relay(*sys.argv[2:])
    else:
        enter()
        check()
