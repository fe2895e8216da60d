"""How nodes speak to each other: whom they believe, judged by OpenSSL and by another HTTP/2.

    test_channel.py [PART OF A CASE'S NAME]
"""

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path

import h2.config
import h2.connection
import h2.events

from authority import bundle
from nodes import BINARY, CLUSTER, Engine, Node, require, run, until

# Files are looked at every two seconds, and read again where key and chain do not fit yet.
READ_AGAIN_SECONDS = 15
ALERT_SECONDS = 20


def s_client(node, files, *arguments):
    """What OpenSSL says of a connection to a node, which it shows a certificate if there is one."""
    shown = ["-cert", files.cert, "-key", files.key] if files else []
    command = ["openssl", "s_client", "-connect", node.channel, "-CAfile", node.files.ca, "-verify_return_error", "-alpn", "h2", "-ign_eof",
               *shown, *arguments]
    # HTTP/2's first frames are among it.
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=ALERT_SECONDS)
    return done.stdout + done.stderr


def hello(node, files):
    """`GET /hello` by another HTTP/2, over another TLS: its status, headers and body."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.load_verify_locations(node.files.ca)
    context.load_cert_chain(files.cert, files.key)
    context.set_alpn_protocols(["h2"])
    with context.wrap_socket(socket.create_connection((node.host, 8446), ALERT_SECONDS)) as stream:
        require(stream.selected_alpn_protocol() == "h2", "HTTP/2 is chosen")
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        connection.initiate_connection()
        connection.send_headers(1, [(":method", "GET"), (":scheme", "https"), (":authority", "node"), (":path", "/hello")], end_stream=True)
        stream.sendall(connection.data_to_send())
        headers, body = {}, b""
        while True:
            received = stream.recv(65_536)
            require(received, "an answer comes")
            for event in connection.receive_data(received):
                if isinstance(event, h2.events.ResponseReceived):
                    headers = {name.decode(): value.decode() for name, value in event.headers}
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    return int(headers[":status"]), headers, body
            stream.sendall(connection.data_to_send())


def refused(node):
    """What `cluster status --json` says of refusals, by kind."""
    code, text, error = node.status("--json")
    require(code == 0, error)
    return {one["kind"]: one for one in json.loads(text)["refused"]}


async def strangers():
    with Engine() as etcd, Node(1, etcd) as a, Node(2, etcd) as b, Node(3, etcd) as c:
        await until("all know of all", lambda: all(len(node.cluster()["nodes"]) == 3 for node in (a, b, c)))
        channels = {one["name"]: one["channel"] for one in a.cluster()["nodes"]}
        require(channels == {node.name: node.channel for node in (a, b, c)}, f"{channels}")

        said = s_client(b, None)
        require("certificate required" in said, said)
        said = s_client(b, a.files, "-tls1_2")
        require("alert protocol version" in said, said)
        status, _, body = hello(b, a.files)
        require(status == 200 and json.loads(body)["node"] == "n2", f"{status} {body}")

        wrong = etcd.authority.wrong(etcd.other, CLUSTER, "r", "n1", [a.host])
        expected = {
            "another authority": ("other_authority", "unknown ca", ["corecast://corecast/r/n1", "another authority"]),
            "expired": ("expired", "certificate expired", ["corecast://corecast/r/n1", "ended"]),
            "not yet valid": ("not_yet_valid", "certificate expired", ["begins"]),
            "another cluster": ("another_cluster", "access denied", ["corecast://not-corecast/r/n1", "this cluster is corecast"]),
            "no name of a node": ("no_corecast_name", "bad certificate", ["URI:corecast://CLUSTER/REGION/NODE"]),
            "for servers only": ("wrong_use", "unsupported certificate", ["clientAuth"]),
        }
        for what, (kind, alert, words) in expected.items():
            said = s_client(b, wrong[what])
            require(alert in said, f"{what}: {said}")
            one = refused(b)[kind]
            require(one["side"] == "accepted" and one["address"].startswith("127.0.0.") and all(word in one["detail"] for word in words),
                    f"{what}: {one}")
        # What only the directory can tell is told in HTTP.
        for what, kind, words in [("another node", "not_in_the_cluster", ["no node not-n1"]),
                                  ("another region", "another_region", ["corecast://corecast/not-r/n1", "in region r"])]:
            status, headers, body = hello(b, wrong[what])
            require(status == 403 and headers["corecast-refused"] == kind, f"{what}: {status} {headers}")
            require(all(word in body.decode() for word in words) and refused(b)[kind]["detail"] == body.decode(), f"{what}: {body}")
        _, text, _ = b.status()
        require("REFUSED" in text and "not_in_the_cluster" in text, text)
        counts = b.cluster()["channel"]["refused"]
        kinds = {"no_certificate", "not_in_the_cluster", "another_region", *[kind for kind, *_ in expected.values()]}
        require(set(counts) == kinds, f"{counts}")
        # And one that was taken out: its certificate is good, the directory does not have it any more.
        require(hello(b, c.files)[0] == 200, "it is a member")
        c.kill()
        await until("it is gone", lambda: len(b.cluster()["nodes"]) == 2)
        status, headers, body = hello(b, c.files)
        require(status == 403 and "no node n3" in body.decode(), f"{status} {body}")
        # A connection that asks for nothing ends, too.
        require(s_client(a, b.files).count("Verification: OK") == 1 and hello(a, b.files)[0] == 200, "and others go on")
        print(f"    refused, each named: {sorted(refused(b))}")


async def renewed():
    with Engine() as etcd, Node(1, etcd) as a, Node(2, etcd) as b:
        await until("all know of all", lambda: all(len(node.cluster()["nodes"]) == 2 for node in (a, b)))

        def put(node, files):
            shutil.copy(files.key, node.files.key)
            shutil.copy(files.cert, node.files.cert)

        def issuer():
            return next(line for line in s_client(a, b.files).splitlines() if line.startswith("issuer="))

        # A certificate of another node is never taken.
        before = issuer()
        put(a, etcd.authority.of_node(CLUSTER, "r", "n9", [a.host]))
        await asyncio.sleep(READ_AGAIN_SECONDS / 2)
        require("n9" not in s_client(a, b.files) and hello(a, b.files)[0] == 200, "the one of before is used")
        require("n9" in a.log_path.read_text(), "and the log says so")
        # Both authorities are believed, then certificates of the other one are shown.
        both = bundle(etcd.authority, etcd.other)
        for node in (a, b):
            Path(node.files.ca).write_bytes(both)
        put(a, etcd.other.of_node(CLUSTER, "r", "n1", [a.host]))
        await until("the other authority's is shown", lambda: issuer() != before, READ_AGAIN_SECONDS)
        new = etcd.other.of_node(CLUSTER, "r", "n2", [b.host])
        require(hello(a, b.files)[0] == 200 and hello(a, new)[0] == 200, "both are believed")
        # And the first one is believed no longer.
        Path(a.files.ca).write_bytes(bundle(etcd.other))
        await until("the first authority is forgotten", lambda: "unknown ca" in s_client(a, b.files), READ_AGAIN_SECONDS)
        require(hello(a, new)[0] == 200, "the other one is believed")
        # The engine is shown the same, and knows the first authority only. It keeps the connections that it has.
        for member in range(etcd.MEMBERS):
            etcd.stop(member)
            etcd.start(member)
            etcd.wait()
        await until("the engine refuses it", lambda: a.cluster()["engine"]["away_s"] is not None)
        Path(a.files.ca).write_bytes(both)
        put(a, etcd.authority.of_node(CLUSTER, "r", "n1", [a.host]))
        await until("the engine believes it again", lambda: a.cluster()["engine"]["away_s"] is None, READ_AGAIN_SECONDS)


async def wrong_settings():
    with Engine() as etcd, tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "node.toml"
        right = etcd.authority.of_node(CLUSTER, "r", "n1", ["127.0.0.1"])
        start = f"[cluster]\nengine = ['{etcd.urls[0]}']\nnode = 'n1'\nregion = 'r'\n"

        def refused(text, files=None, more=""):
            shown = f"ca = '{files.ca}'\ncert = '{files.cert}'\nkey = '{files.key}'\n" if files else ""
            config.write_text(more + start + shown + text)
            done = subprocess.run([BINARY, "serve", "--config", config], capture_output=True, text=True, timeout=60,
                                  env={"STATE_DIRECTORY": directory})
            require(done.returncode in (1, 2), f"{done.returncode}: {done.stderr}")
            return done.stderr.strip()

        of = etcd.authority.of_node
        with socket.create_server(("127.0.0.1", 8447)):
            for files, text, more, said in [
                (None, "listen = '127.0.0.1:8446'\n", "", "needs cluster.ca, cluster.cert and cluster.key"),
                (right, "listen = 'here:1'\n", "", "must be an IP address and a port"),
                (right, "address = 'here'\n", "", "must be a host and a port, like 10.0.0.7:8446"),
                (right, "url = 'https://10.0.0.7:8443'\n", "allow_anyone = true\nhttps = '0.0.0.0:8443'\n",
                 "cluster.listen (default) = 0.0.0.0:8446: names no address that other nodes reach: say where they do in cluster.address"),
                (right, "listen = '127.0.0.1:8447'\n", "", "cluster.listen = 127.0.0.1:8447"),
                (of(CLUSTER, "r", "n2", ["127.0.0.1"]), "", "", "it names corecast://corecast/r/n2; this node is corecast://corecast/r/n1"),
                (of("other", "r", "n1", ["127.0.0.1"]), "", "", "it names corecast://other/r/n1"),
                (of(CLUSTER, "s", "n1", ["127.0.0.1"]), "", "", "it names corecast://corecast/s/n1"),
                (etcd.authority.issue("n1", ["IP:127.0.0.1"]), "", "", "subject alternative name URI:corecast://corecast/r/n1"),
            ]:
                answer = refused(text, files, more)
                require(said in answer, f"{text!r} is answered {answer!r}")


CASES = {
    "whoever is not a member of the cluster is refused, and the operator sees why": strangers,
    "certificates are read again, and an authority takes another's place": renewed,
    "wrong settings of the channel are refused by name": wrong_settings,
}

if __name__ == "__main__":
    run(CASES)
