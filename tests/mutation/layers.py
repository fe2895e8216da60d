#!/usr/bin/env python3
"""Runs cargo-mutants over the layers wire, srtp, ice and relay, and holds its survivors against the list of explained ones.

    tests/mutation/layers.py                    all four layers
    tests/mutation/layers.py --layer srtp       one of them (may be repeated)
    tests/mutation/layers.py --shard 0/4        every fourth mutant of each
    tests/mutation/layers.py --file 'rtp*.rs'   those in some files (may be repeated)
    tests/mutation/layers.py --again            only those that were not caught by the run before
    tests/mutation/layers.py --list             the mutants, without running them

cargo-mutants changes one operator, match arm or return value at a time, compiles, and runs the layer's own unit tests. What
they do not notice is a survivor: a missing test, redundant code, or one of those in survivors.toml, which says for each why
no test catches it. A mutant under which the tests do not end (for 10 s) counts as a survivor too, and is listed as one.
The exit code is 0 when every survivor is listed and every listed mutant that was tried survived; 1 otherwise.

The product takes too long to compile for thousands of mutants, so each layer becomes a small crate in
target/mutation/layers/: copies of its files, of what they name, and nothing else. Layers ice and relay name wire and
description, which their crates take, compiled once and without tests, from a crate `below`. The only file that is not a copy
is src/net/mod.rs, which here holds plain data (net::batch) only. Properties are tested with fewer cases and a fixed seed, so
that a run can be repeated.
"""

import argparse
import collections
import json
import os
import resource
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = ROOT / "target" / "mutation" / "layers"
SURVIVORS = Path(__file__).with_name("survivors.toml")
CONFIG = Path(__file__).with_name("mutants.toml")

MUTANTS_VERSION = "27.1.0"
TEST_TIME_MAX_S = 10
ADDRESS_SPACE_BYTES_MAX = 6 << 30  # a mutant that allocates without end ends here, and is caught

ENVIRONMENT = {
    "PROPTEST_CASES": "64",
    "PROPTEST_RNG_SEED": "1",
    "PROPTEST_MAX_SHRINK_ITERS": "0",  # that it fails is enough
    "PROPTEST_DISABLE_FAILURE_PERSISTENCE": "true",  # or one mutant's failures are tried on the next
    "RUST_BACKTRACE": "0",
    "CARGO_INCREMENTAL": "1",
}


class Crate(NamedTuple):
    modules: list[str]
    below: list[str]  # modules taken from the crate `below`
    dependencies: list[str]


HMAC_SHA1 = ["hmac", "sha1", "subtle"]
CRATES = {
    "below": Crate(["description", "limits", "net", "time", "wire"], [], HMAC_SHA1),
    "wire": Crate(["time", "wire"], [], HMAC_SHA1),
    "srtp": Crate(["crypto", "limits", "srtp"], [], [*HMAC_SHA1, "aes", "aes-gcm", "aws-lc-rs", "ctr", "ring", "zeroize"]),
    "ice": Crate(["ice"], ["description", "limits", "net", "time", "wire"], []),
    "relay": Crate(["relay"], ["description", "limits", "time", "wire"], []),
}
LAYERS = [name for name in CRATES if name != "below"]
# Test data that is compiled in by a path relative to the source file.
DATA = "tests/data/traces"

WORKSPACE = """\
[workspace]
members = [{members}]
resolver = "3"

[profile.dev]
debug = false
opt-level = 0 # compiling a mutant takes longer than its tests

[profile.dev.package."*"]
opt-level = 2
"""

MANIFEST = """\
[package]
name = "{name}"
version = "0.0.0"
edition = "2024"

[lib]
doctest = false

[features] # named by cfg in the copied files
peer = []
srtp-ring = []
srtp-aes-gcm = []

[dependencies]
{dependencies}
[dev-dependencies]
{dev_dependencies}
"""


def write(path, text):
    """Writes what differs only: an unchanged file keeps its time and is not compiled again."""
    data = text if isinstance(text, bytes) else text.encode()
    if not path.exists() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return path


def dependency_line(name, table):
    """A dependency as the root's manifest has it."""
    value = table[name]
    if isinstance(value, str):
        return f'{name} = "{value}"\n'
    fields = ", ".join(f"{key} = {json.dumps(field)}" for key, field in value.items())
    return f"{name} = {{ {fields} }}\n"


def make_crates(layers):
    wanted = {*layers, *(["below"] if any(CRATES[layer].below for layer in layers) else [])}
    root = tomllib.loads((ROOT / "Cargo.toml").read_text())
    kept = {write(SCRATCH / "Cargo.toml", WORKSPACE.format(members=", ".join(f'"{name}"' for name in CRATES)))}
    if not (SCRATCH / "Cargo.lock").exists():
        shutil.copy(ROOT / "Cargo.lock", SCRATCH / "Cargo.lock")  # the product's own versions of everything
    # Every crate of a workspace must be there; those not asked for may be running elsewhere, and are left as they are.
    for name, crate in ((name, crate) for name, crate in CRATES.items() if name in wanted or not (SCRATCH / name).exists()):
        wanted.add(name)
        directory = SCRATCH / name
        dependencies = "".join(dependency_line(each, root["dependencies"]) for each in crate.dependencies)
        if crate.below:
            dependencies += 'below = { path = "../below" }\n'
        dev_dependencies = dependency_line("proptest", root["dev-dependencies"]) if name != "below" else ""
        manifest = MANIFEST.format(name=name, dependencies=dependencies, dev_dependencies=dev_dependencies)
        kept.add(write(directory / "Cargo.toml", manifest))
        lib = "".join(f"pub use below::{module};\n" for module in crate.below)
        lib += "".join(f"pub mod {module};\n" for module in crate.modules)
        kept.add(write(directory / "src" / "lib.rs", lib))
        for module in crate.modules:
            if module == "net":
                kept.add(write(directory / "src/net/mod.rs", "pub mod batch;\npub use batch::*;\n"))
                sources = [ROOT / "src/net/batch.rs"]
            else:
                sources = [path for path in (ROOT / f"src/{module}.rs",) if path.exists()]
                sources += (ROOT / "src" / module).rglob("*.rs")
            kept.update(write(directory / source.relative_to(ROOT), source.read_bytes()) for source in sources)
        if "wire" in crate.modules:
            kept.update(write(directory / DATA / source.name, source.read_bytes()) for source in (ROOT / DATA).iterdir())
    for name in wanted:
        for path in (SCRATCH / name).rglob("*"):
            if path.is_file() and path not in kept:
                path.unlink()


def install_cargo_mutants():
    if shutil.which("cargo-mutants"):
        return
    print(f"cargo-mutants is not installed: installing version {MUTANTS_VERSION}", file=sys.stderr)
    subprocess.run(["cargo", "install", "cargo-mutants", "--locked", "--version", MUTANTS_VERSION], check=True)


def cargo_mutants(layer, arguments, *extra, capture=False):
    command = ["cargo", "mutants", "--in-place", "--package", layer, "--config", str(CONFIG), "--colors", "never", "--no-times"]
    command += [f"--file={glob}" for glob in arguments.file]
    for module in CRATES[layer].modules:
        if module != layer:
            command += [f"--exclude={layer}/src/{module}.rs", f"--exclude={layer}/src/{module}/**"]
    if arguments.shard:
        command += ["--shard", arguments.shard, "--sharding", "round-robin"]
    command += [*extra, "--", "--lib", f"{layer}::"]
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES_MAX, ADDRESS_SPACE_BYTES_MAX))
    return subprocess.run(command, cwd=SCRATCH, env={**os.environ, **ENVIRONMENT}, preexec_fn=limit, capture_output=capture)


def named(mutants):
    """Each mutant by a name that outlives changes elsewhere in its file: no line number, but the line."""
    times = collections.Counter()
    names = {}
    for mutant in mutants:
        start, path = mutant["span"]["start"], SCRATCH / mutant["file"]
        what = mutant["name"].split(": ", 1)[1]
        name = f"{mutant['file'].split('/src/', 1)[1]}: {what}"
        if mutant["genre"] != "FnValue":
            name += f" | {path.read_text().splitlines()[start['line'] - 1].strip()}"
        times[name] += 1
        if times[name] > 1:
            name += f" ({times[name]})"
        names[mutant["name"]] = name
    return names


def all_mutants(layer, arguments):
    everything = argparse.Namespace(file=[], shard=None) if arguments is None else arguments
    listed = cargo_mutants(layer, everything, "--list", "--json", capture=True)
    if listed.returncode:
        sys.exit(listed.stderr.decode())
    return json.loads(listed.stdout)


def explained():
    """The committed list: name of a mutant -> why it survives."""
    listed = {}
    for group in tomllib.loads(SURVIVORS.read_text()).get("survivors", []):
        for name in group["mutants"]:
            if name in listed:
                sys.exit(f"{SURVIVORS.name}: listed twice: {name}")
            listed[name] = group["why"]
    return listed


def run_layer(layer, arguments, listed):
    """Runs one layer's mutants; prints its counts and returns how many things are wrong."""
    names = named(all_mutants(layer, None))
    output = SCRATCH / "results" / layer
    output.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    extra = ["--iterate"] if arguments.again else []
    run = cargo_mutants(layer, arguments, *extra, "--timeout", str(TEST_TIME_MAX_S), "--output", str(output))
    seconds = time.monotonic() - started
    outcomes = output / "mutants.out" / "outcomes.json"
    if run.returncode not in (0, 2, 3):  # caught all, missed some, some timed out
        print(f"{layer}: cargo-mutants ended with {run.returncode}; its logs are in {output}/mutants.out/log", file=sys.stderr)
        return 1
    summaries = {}
    for outcome in json.loads(outcomes.read_text())["outcomes"] if outcomes.exists() else []:
        if outcome["scenario"] != "Baseline":
            summaries[names[outcome["scenario"]["Mutant"]["name"]]] = outcome["summary"]
    # What was found of each mutant last, so that parts (--shard, --file, --again) add up to a whole.
    known = output / "outcomes-by-name.json"
    before = json.loads(known.read_text()) if known.exists() else {}
    latest = {name: summary for name, summary in {**before, **summaries}.items() if name in set(names.values())}
    known.write_text(json.dumps(latest, indent=1))
    survivors = {name for name, summary in summaries.items() if summary in ("MissedMutant", "Timeout")}
    new = sorted(survivors - listed.keys())
    here = {name for name in listed if name.startswith(f"{layer}/") or name.startswith(f"{layer}.rs")}
    gone = sorted(name for name in here if name not in names.values() or name in summaries.keys() - survivors)
    for name in new:
        print(f"not in {SURVIVORS.name}: {name}{' (the tests do not end)' if summaries[name] == 'Timeout' else ''}")
    for name in gone:
        print(f"in {SURVIVORS.name}, but {'caught' if name in summaries else 'there is no such mutant any more'}: {name}")
    print(f"{layer}: this run, {seconds:.0f} s: {counts(summaries)}; {len(survivors) - len(new)} of the survivors explained")
    print(f"{layer}: {len(latest)} of {len(names)} mutants tried by now: {counts(latest)}", flush=True)
    return len(new) + len(gone)


def counts(summaries):
    count = collections.Counter(summaries.values())
    return (
        f"{count['CaughtMutant']} caught, {count['Unviable']} do not compile, "
        f"{count['MissedMutant']} missed, {count['Timeout']} do not end"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layer", action="append", choices=LAYERS)
    parser.add_argument("--shard", metavar="K/N", help="the K-th of N parts of each layer's mutants, counted from 0")
    parser.add_argument("--file", action="append", default=[], metavar="GLOB")
    parser.add_argument("--again", action="store_true", help="only what the run before did not catch (after adding tests)")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    install_cargo_mutants()
    layers = arguments.layer or LAYERS
    make_crates(layers)
    listed = explained()
    bad = 0
    for layer in layers:
        if arguments.list:
            for name in named(all_mutants(layer, arguments)).values():
                print(name)
        else:
            bad += run_layer(layer, arguments, listed)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
