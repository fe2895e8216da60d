"""Authorities of a cluster and certificates of its nodes, right and wrong ones, made by openssl.

`python authority.py` tests them.
"""

import datetime
import subprocess
import sys
import tempfile
from pathlib import Path

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
# A member of the engine calls itself by its server certificate, and a node is asked by others as it asks them.
USES = "serverAuth, clientAuth"


def openssl(directory, *arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], cwd=directory, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"openssl {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


class Files:
    """A certificate: `cert`, `key`, and `ca`, by which its owner judges others."""

    def __init__(self, directory, ca=None):
        self.directory = Path(directory)
        self.cert, self.key, self.ca = self.directory / "cert.pem", self.directory / "key.pem", ca or self.directory / "ca.pem"


class Authority:
    """One authority in a directory of its own."""

    def __init__(self, directory, name="cluster authority"):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ca = self.directory / "ca.pem"
        openssl(self.directory, "req", "-x509", *KEY, "-keyout", "ca-key.pem", "-out", "ca.pem", "-subj",
                f"/CN={name}", "-days", "10", "-addext", "keyUsage = critical, keyCertSign, cRLSign")
        (self.directory / "index.txt").touch()
        # Two certificates may have one subject: a renewed one, and a wrong one beside a right one.
        (self.directory / "ca.conf").write_text(
            "[ca]\ndefault_ca = one\n[one]\ndatabase = index.txt\nnew_certs_dir = .\nunique_subject = no\nrand_serial = yes\n"
            "certificate = ca.pem\nprivate_key = ca-key.pem\ndefault_md = sha256\npolicy = any\n[any]\ncommonName = supplied\n")
        self.made = 0

    def issue(self, name, names, days=(-1, 5), uses=USES):
        """A certificate with these subject alternative names, like `IP:10.0.0.1`, valid from and until so many days from now."""
        self.made += 1
        files = Files(self.directory / f"{name}-{self.made}")
        files.directory.mkdir()
        openssl(files.directory, "req", *KEY, "-keyout", "key.pem", "-out", "request.pem", "-subj", f"/CN={name}")
        (files.directory / "extensions").write_text(
            f"basicConstraints = critical, CA:FALSE\nkeyUsage = critical, digitalSignature\nextendedKeyUsage = {uses}\n"
            f"subjectAltName = {', '.join(names)}\n")
        now = datetime.datetime.now(datetime.timezone.utc)
        start, end = [(now + datetime.timedelta(days=each)).strftime("%Y%m%d%H%M%SZ") for each in days]
        openssl(self.directory, "ca", "-batch", "-config", "ca.conf", "-in", files.directory / "request.pem", "-notext",
                "-out", files.cert, "-startdate", start, "-enddate", end, "-extfile", files.directory / "extensions")
        files.ca.write_bytes(self.ca.read_bytes())
        return files

    def of_node(self, cluster, region, node, addresses=(), dns=(), **how):
        """A node's, or a member's of the engine, which is judged by its addresses alone."""
        names = [f"URI:corecast://{cluster}/{region}/{node}", *[f"IP:{one}" for one in addresses], *[f"DNS:{one}" for one in dns]]
        return self.issue(node, names, **how)

    def wrong(self, other, cluster, region, node, addresses):
        """What every node has to refuse of one that calls itself so, by what is wrong with it.

        `other`: an authority that nobody knows.
        """
        strange = other.of_node(cluster, region, node, addresses)
        # It knows the right ones itself, or it would be the one who refuses.
        strange.ca.write_bytes(self.ca.read_bytes())
        return {
            "another authority": strange,
            "expired": self.of_node(cluster, region, node, addresses, days=(-9, -1)),
            "not yet valid": self.of_node(cluster, region, node, addresses, days=(2, 5)),
            "another node": self.of_node(cluster, region, f"not-{node}", addresses),
            "another region": self.of_node(cluster, f"not-{region}", node, addresses),
            "another cluster": self.of_node(f"not-{cluster}", region, node, addresses),
            "no name of a node": self.issue(node, [f"IP:{one}" for one in addresses]),
            "for servers only": self.of_node(cluster, region, node, addresses, uses="serverAuth"),
        }


def bundle(*authorities):
    """The text of a file that believes all of them."""
    return b"".join(authority.ca.read_bytes() for authority in authorities)


def check():
    with tempfile.TemporaryDirectory() as directory:
        ours, other = Authority(Path(directory) / "ours"), Authority(Path(directory) / "other", "another authority")
        right = ours.of_node("c", "a", "e1", ["10.78.1.3"])
        text = openssl(directory, "x509", "-in", right.cert, "-noout", "-ext", "subjectAltName,extendedKeyUsage")
        assert all(part in text for part in ("URI:corecast://c/a/e1", "IP Address:10.78.1.3", "Server", "Client")), text
        openssl(directory, "verify", "-CAfile", right.ca, right.cert)
        judged = {}
        for why, files in ours.wrong(other, "c", "a", "e1", ["10.78.1.3"]).items():
            command = ["openssl", "verify", "-purpose", "sslclient", "-CAfile", ours.ca, files.cert]
            done = subprocess.run(command, capture_output=True, text=True)
            judged[why] = done.returncode == 0
        wrong_by_itself = {"another authority", "expired", "not yet valid", "for servers only"}
        assert {why for why, good in judged.items() if not good} == wrong_by_itself, judged
        both = Path(directory) / "both.pem"
        both.write_bytes(bundle(ours, other))
        openssl(directory, "verify", "-CAfile", both, other.of_node("c", "a", "e1").cert)
    print("PASS authority")


if __name__ == "__main__":
    sys.exit(check())
