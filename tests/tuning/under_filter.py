"""Starts a program under a seccomp filter made from what the tree ships: a container profile (JSON) or a unit's
SystemCallFilter. Usage: under_filter.py FILE [--without NAME,NAME] -- PROGRAM ARGUMENT...
"""

import errno
import json
import os
import subprocess
import sys

import seccomp


def of_profile(path):
    """The names an OCI profile allows. Anything but "refuse all, allow these" is an error: nothing else is used."""
    profile = json.load(open(path))
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO", profile["defaultAction"]
    names = set()
    for rule in profile["syscalls"]:
        assert rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args"), rule
        names.update(rule["names"])
    return names


def expand(word):
    """A set of systemd's, as the calls in it."""
    if not word.startswith("@"):
        return {word}
    text = subprocess.run(["systemd-analyze", "syscall-filter", word], check=True, capture_output=True, text=True).stdout
    words = [line.strip() for line in text.splitlines()[1:]]
    return set().union(*(expand(inner) for inner in words if inner and not inner.startswith("#")))


def of_unit(path):
    """The names that a unit's lines leave, in their order."""
    # systemd allows these whatever the unit says.
    names = expand("@default") | {"execve"}
    for line in open(path):
        key, _, value = line.strip().partition("=")
        if key == "SystemCallFilter":
            calls = set().union(*(expand(word) for word in value.lstrip("~").split()))
            names = names - calls if value.startswith("~") else names | calls
    return names


def main():
    split = sys.argv.index("--")
    path, options, command = sys.argv[1], sys.argv[2:split], sys.argv[split + 1 :]
    names = of_profile(path) if path.endswith(".json") else of_unit(path)
    if options:
        assert options[0] == "--without"
        names -= set(options[1].split(","))
    rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    for name in sorted(names):
        try:
            rules.add_rule(seccomp.ALLOW, name)
        except (ValueError, RuntimeError):
            # Not a call of this architecture, or newer than this libseccomp. One the node needs would show below.
            pass
    rules.load()
    os.execvp(command[0], command)


main()
