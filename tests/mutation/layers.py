#!/usr/bin/env python3
"""Runs the mutants that cargo-mutants finds in the layers wire, srtp, ice and relay, and holds those that survive against the
list of explained ones.

    tests/mutation/layers.py                    all four layers
    tests/mutation/layers.py --layer srtp       one of them (may be repeated)
    tests/mutation/layers.py --shard 0/4        every fourth mutant of each
    tests/mutation/layers.py --file 'rtp*.rs'   those in some files (may be repeated)
    tests/mutation/layers.py --list             the mutants, without running them

A mutant has one operator, match arm or return value changed. The layer's own unit tests run on it; what they do not notice is
a survivor: a missing test, redundant code, or one of those in survivors.toml, which says for each why no test catches it. A
mutant under which the tests do not end (for 20 s) counts as a survivor too, and is listed as one. The exit code is 0 when
every survivor is listed and every listed mutant that was tried survived; 1 otherwise.

The product takes too long to compile for thousands of mutants. So each layer becomes a small crate in
target/mutation/layers/: copies of its files, of what they name, and nothing else. Layers ice and relay name wire and
description, which their crates take, compiled without tests, from a crate `below`. The only file that is not a copy is
src/net/mod.rs, which there holds plain data (transport::train) only. And the mutants of a layer are compiled together
(together.py); cargo-mutants itself runs those that cannot be. Properties are tested with fewer cases and a fixed seed, so
that a run can be repeated.
"""

import argparse
import collections
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

sys.dont_write_bytecode = True
import together  # noqa: E402  (beside this file)

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = ROOT / "target" / "mutation" / "layers"
SURVIVORS = Path(__file__).with_name("survivors.toml")
CONFIG = Path(__file__).with_name("mutants.toml")

MUTANTS_VERSION = "27.1.0"
TEST_TIME_MAX_S = 20
ADDRESS_SPACE_BYTES_MAX = 6 << 30  # a mutant that allocates without end ends here, and is caught

PROPERTY_CASES_AT_FIRST, PROPERTY_CASES = "8", "64"

ENVIRONMENT = {
    **os.environ,
    "PROPTEST_CASES": PROPERTY_CASES,
    "PROPTEST_RNG_SEED": "1",
    "PROPTEST_MAX_SHRINK_ITERS": "0",  # that it fails is enough
    "PROPTEST_DISABLE_FAILURE_PERSISTENCE": "true",  # or one mutant's failures are tried on the next
    "RUST_BACKTRACE": "0",
    "RUST_MIN_STACK": str(64 << 20),  # a function with a hundred bodies has a large frame
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
                sources = [ROOT / "src/transport/train.rs"]
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


def limit_memory():
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES_MAX, ADDRESS_SPACE_BYTES_MAX))


def cargo_mutants(layer, *extra, capture=False):
    command = ["cargo", "mutants", "--in-place", "--package", layer, "--config", str(CONFIG), "--colors", "never", "--no-times"]
    for module in CRATES[layer].modules:
        if module != layer:
            command += [f"--exclude={layer}/src/{module}.rs", f"--exclude={layer}/src/{module}/**"]
    command += [*extra, "--", "--lib", f"{layer}::"]
    return subprocess.run(command, cwd=SCRATCH, env=ENVIRONMENT, preexec_fn=limit_memory, capture_output=capture)


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


def list_mutants(layer, *extra):
    listed = cargo_mutants(layer, "--list", "--json", *extra, capture=True)
    if listed.returncode:
        sys.exit(listed.stderr.decode())
    return json.loads(listed.stdout)


def chosen_mutants(layer, arguments):
    extra = [f"--file={glob}" for glob in arguments.file]
    if arguments.shard:
        extra += ["--shard", arguments.shard, "--sharding", "round-robin"]
    return list_mutants(layer, *extra)


def explained():
    """The committed list: name of a mutant -> its group, with the reason why it survives."""
    listed = {}
    for group in tomllib.loads(SURVIVORS.read_text()).get("survivors", []):
        for name in group["mutants"]:
            if name in listed:
                sys.exit(f"{SURVIVORS.name}: listed twice: {name}")
            listed[name] = group
    return listed


def run_together(layer, mutants, outcomes):
    """Tries those that can be compiled in one program; `outcomes` gets cargo-mutants' word for each, by its name."""
    numbered = {number: mutant for number, mutant in enumerate(mutants, 1) if together.can_be_switched(mutant)}
    program, viable, unviable = together.build(layer, SCRATCH, numbered, ENVIRONMENT)
    outcomes.update((numbered[number]["name"], "Unviable") for number in unviable)

    def outcome_of(number, cases):
        environment = {**ENVIRONMENT, "PROPTEST_CASES": cases}
        return together.run(program, SCRATCH, layer, number, environment, TEST_TIME_MAX_S, limit_memory)

    if outcome_of(0, PROPERTY_CASES) != "MissedMutant":
        sys.exit(f"{layer}: the tests fail or do not end without any mutant")
    for number in sorted(viable):
        # Nearly all are caught by the first few cases.
        outcome = outcome_of(number, PROPERTY_CASES_AT_FIRST)
        if outcome == "MissedMutant":
            outcome = outcome_of(number, PROPERTY_CASES)
        outcomes[numbered[number]["name"]] = outcome
        if outcome != "CaughtMutant":
            print(f"  {outcome}: {numbered[number]['name']}", flush=True)


def run_one_by_one(layer, mutants, outcomes):
    """Has cargo-mutants try the others, one build each."""
    output = SCRATCH / "results" / layer
    output.mkdir(parents=True, exist_ok=True)
    rest = [mutant["name"] for mutant in mutants if mutant["name"] not in outcomes]
    if not rest:
        return
    expression = f"^({'|'.join(map(re.escape, rest))})$"
    run = cargo_mutants(layer, "--re", expression, "--timeout", str(TEST_TIME_MAX_S), "--output", str(output))
    if run.returncode not in (0, 2, 3):  # caught all, missed some, some timed out
        sys.exit(f"{layer}: cargo-mutants ended with {run.returncode}; its logs are in {output}/mutants.out/log")
    for outcome in json.loads((output / "mutants.out" / "outcomes.json").read_text())["outcomes"]:
        if outcome["scenario"] != "Baseline":
            outcomes[outcome["scenario"]["Mutant"]["name"]] = outcome["summary"]


def run_layer(layer, arguments, listed):
    """Runs one layer's mutants; prints its counts and returns how many things are wrong."""
    started = time.monotonic()
    names, chosen, outcomes = named(list_mutants(layer)), chosen_mutants(layer, arguments), {}
    run_together(layer, chosen, outcomes)
    make_crates([layer])
    run_one_by_one(layer, chosen, outcomes)
    summaries = {names[name]: summary for name, summary in outcomes.items()}
    survivors = {name for name, summary in summaries.items() if summary in ("MissedMutant", "Timeout")}
    new = sorted(survivors - listed.keys())
    here = {name for name in listed if name.startswith(f"{layer}/")}
    gone = sorted(name for name in here if name not in names.values() or name in summaries.keys() - survivors and not listed[name].get("endless"))
    for name in new:
        print(f"not in {SURVIVORS.name}: {name}{' (the tests do not end)' if summaries[name] == 'Timeout' else ''}")
    for name in gone:
        print(f"in {SURVIVORS.name}, but {'caught' if name in summaries else 'there is no such mutant any more'}: {name}")
    count = collections.Counter(summaries.values())
    print(
        f"{layer}: {len(summaries)} of {len(names)} mutants in {time.monotonic() - started:.0f} s: {count['CaughtMutant']} "
        f"caught, {count['Unviable']} do not compile, {count['MissedMutant']} missed, {count['Timeout']} do not end; "
        f"{len(survivors) - len(new)} of the survivors explained",
        flush=True,
    )
    return len(new) + len(gone)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layer", action="append", choices=LAYERS)
    parser.add_argument("--shard", metavar="K/N", help="the K-th of N parts of each layer's mutants, counted from 0")
    parser.add_argument("--file", action="append", default=[], metavar="GLOB")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    install_cargo_mutants()
    layers = arguments.layer or LAYERS
    make_crates(layers)
    listed = explained()
    bad = 0
    for layer in layers:
        if arguments.list:
            print(*named(chosen_mutants(layer, arguments)).values(), sep="\n")
        else:
            bad += run_layer(layer, arguments, listed)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
