"""Many mutants in one build: every mutated function gets a copy of its body for each of its mutants, and an environment
variable chooses among them when the tests run. So a layer is compiled a few times instead of a thousand times.

cargo-mutants says what the mutants are (its JSON has the place of each and of its function, and the replacement); nothing
here decides what is mutated. Left to cargo-mutants itself, one build each: what has no function (constants), and functions
that return `impl Trait`, whose bodies would be of different types.

`const fn` loses its `const` in the copy, and the first panic ends the test program, since it is enough to know that there
was one.
"""

import collections
import json
import re
import subprocess
from pathlib import Path

SWITCH = """
#[allow(clippy::exit)]
pub(crate) fn mutant() -> usize {
    static CHOSEN: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            report(panic);
            std::process::exit(101);
        }));
        std::env::var("MUTANT").map_or(0, |id| id.parse().expect("a number"))
    })
}
"""

# A string, a character, a comment, a raw string, a lifetime, or a brace: what braces are told from.
TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?r(?P<hashes>\#*)".*?"(?P=hashes)|b?"(?:\\.|[^"\\])*"|b?'(?:\\.[^']*|[^'\\])'|'\w+|[{}]""",
    re.DOTALL,
)


def can_be_switched(mutant):
    return mutant.get("function") is not None and "impl " not in (mutant["function"]["return_type"] or "")


def offsets(text):
    """A function from a span's place (line and column, both from 1, columns in characters) to an offset in the text."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return lambda place: starts[place["line"] - 1] + place["column"] - 1


def body_of(text, start, end):
    """The braces of a function's body: the pair that closes at the end of its span."""
    opened = []
    for token in TOKEN.finditer(text, start, end):
        if token.group() == "{":
            opened.append(token.start())
        elif token.group() == "}":
            last = opened.pop()
            if token.end() == end:
                return last, token.start()
    raise ValueError(f"no body in {text[start:end]!r}")


def compose(text, mutants):
    """The text with all `mutants` (number -> mutant) in it, and the lines (first, last) each of them takes."""
    at = offsets(text)
    functions = collections.defaultdict(dict)
    for number, mutant in mutants.items():
        span = mutant["function"]["span"]
        functions[at(span["start"]), at(span["end"])][number] = mutant
    out, done, lines = "", 0, {}
    for (start, end), of_function in sorted(functions.items()):
        opening, closing = body_of(text, start, end)
        out += text[done : opening + 1] + " match crate::mutant() {\n"
        for number, mutant in of_function.items():
            a, b = at(mutant["span"]["start"]), at(mutant["span"]["end"])
            arm = f"{number} => {{\n{text[opening + 1 : a]}{mutant['replacement']}{text[b:closing]}\n}}\n"
            first = out.count("\n") + 1
            out += arm
            lines[number] = (first, out.count("\n"))
        out += f"_ => {{{text[opening + 1 : closing]}}}\n}}"
        done = closing
    return re.sub(r"\bconst fn\b", "fn", out + text[done:]), lines


def build(layer, workspace, mutants, environment):
    """Composes the layer's crate in place and builds its tests, leaving out what does not compile. Returns the program,
    the numbers of the mutants in it, and of those left out."""
    sources = {file: (workspace / file).read_text() for file in {mutant["file"] for mutant in mutants.values()}}
    library = workspace / layer / "src" / "lib.rs"
    library.write_text("#![allow(warnings)]\n" + library.read_text() + SWITCH)
    viable = dict(mutants)
    while True:
        lines = {}
        for file, text in sources.items():
            composed, in_file = compose(text, {n: mutant for n, mutant in viable.items() if mutant["file"] == file})
            (workspace / file).write_text(composed)
            lines[file] = in_file
        command = ["cargo", "test", "--package", layer, "--lib", "--no-run", "--message-format=json", "--quiet"]
        built = subprocess.run(command, cwd=workspace, env=environment, capture_output=True, text=True)
        messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
        if built.returncode == 0:
            program = next(m["executable"] for m in messages if m.get("executable"))
            return Path(program), viable.keys(), mutants.keys() - viable.keys()
        wrong, unplaced = set(), []
        for message in messages:
            if message["reason"] != "compiler-message" or message["message"]["level"] != "error":
                continue
            places = [(span["file_name"], span["line_start"]) for span in message["message"]["spans"] if span["is_primary"]]
            found = {n for file, line in places for n, (a, b) in lines.get(file, {}).items() if a <= line <= b}
            wrong |= found
            if not found and places:
                unplaced.append(message["message"]["rendered"])
        if not wrong:
            raise RuntimeError(f"{layer}: does not compile, and not for a mutant:\n" + "\n".join(unplaced[:5]) + built.stderr[-2000:])
        for number in wrong:
            del viable[number]


def run(program, workspace, layer, number, environment, seconds_max, before):
    """Runs the tests under one mutant (0 is none): what cargo-mutants would call the outcome."""
    command = [str(program), "--quiet", f"{layer}::"]
    try:
        done = subprocess.run(
            command,
            cwd=workspace / layer,
            env={**environment, "MUTANT": str(number)},
            capture_output=True,
            timeout=seconds_max,
            preexec_fn=before,
        )
    except subprocess.TimeoutExpired:
        return "Timeout"
    return "MissedMutant" if done.returncode == 0 else "CaughtMutant"
