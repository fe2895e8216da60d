//! What the house asks of its tree, and where it is written: the table of layers in the documentation of `src/lib.rs`, and
//! the sections of `Cargo.toml` that say where their libraries are named.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{Edge, Tree, Use};

/// A module's place: the number of its layer, or beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// Names its own layer and lower numbers.
    Number(u32),
    /// Names anything; only the program names it.
    Beside,
    /// May be named by any; names nothing but its like.
    Any,
}

/// The table `| Layer | Modules | Hold |` of the crate's documentation.
pub(crate) fn layers(lib: &str) -> BTreeMap<String, Layer> {
    let mut layers = BTreeMap::new();
    for line in lib.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let mut cells = line.split(" | ");
        let (Some(first), Some(modules)) = (cells.next(), cells.next()) else { continue };
        let layer = match first.split(' ').next() {
            Some("beside") => Layer::Beside,
            Some("any") => Layer::Any,
            Some(number) => match number.parse() {
                Ok(number) => Layer::Number(number),
                Err(_) => continue,
            },
            None => continue,
        };
        for module in modules.split(", ").map(|name| name.trim_matches(['[', ']', '`'])).map(before_bracket) {
            layers.insert(module.to_owned(), layer);
        }
    }
    layers
}

fn before_bracket(name: &str) -> &str {
    name.split('`').next().unwrap_or(name)
}

/// Sections of `Cargo.toml` that say `(named only in src/a and src/b)`: libraries and folders.
pub(crate) fn libraries(manifest: &str) -> Vec<(Vec<String>, Vec<String>)> {
    let mut sections: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with("# ---") || line.starts_with('[') || line.is_empty() {
            inside = false;
        }
        if line.starts_with("# ---")
            && let Some((_, folders)) = line.split_once("(named only in ")
        {
            let folders = folders.split([' ', ',', ')']).filter_map(|word| word.strip_prefix("src/"));
            sections.push((Vec::new(), folders.map(str::to_owned).collect()));
            inside = true;
        } else if inside
            && let Some((name, _)) = line.split_once(" = ")
            && let Some(section) = sections.last_mut()
        {
            section.0.push(name.trim().replace('-', "_"));
        }
    }
    sections
}

/// The part of the crate that a file belongs to.
fn part(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

fn told(edge: &Edge) -> String {
    format!("src/{}:{}: `{}`: {} -> {}", edge.from, edge.line, edge.text, edge.from, edge.to)
}

fn told_use(found: &Use, why: &str) -> String {
    format!("src/{}:{}: `{}`: {}: {why}", found.file, found.line, found.text, found.path)
}

/// Arrows upward, and modules the table does not have.
pub(crate) fn upward(edges: &[Edge], layers: &BTreeMap<String, Layer>) -> Vec<String> {
    let mut wrong = BTreeSet::new();
    for edge in edges {
        let (from, to) = (part(&edge.from), part(&edge.to));
        // The program and the crate's root stand above all.
        if from == to || matches!(from, "main" | "lib") {
            continue;
        }
        let (Some(own), Some(other)) = (layers.get(from), layers.get(to)) else {
            wrong.insert(format!("{}: not in the table of src/lib.rs", told(edge)));
            continue;
        };
        let fits = match (own, other) {
            (_, Layer::Any) | (Layer::Beside, _) => true,
            (Layer::Number(own), Layer::Number(other)) => other <= own,
            (Layer::Any, _) | (_, Layer::Beside) => false,
        };
        if !fits {
            wrong.insert(format!("{}: an arrow upward, {own:?} to {other:?}", told(edge)));
        }
    }
    wrong.into_iter().collect()
}

/// Edges between two parts that do not know each other.
pub(crate) fn strangers(edges: &[Edge], a: &str, b: &str) -> Vec<String> {
    let between = |edge: &&Edge| {
        let ends = (part(&edge.from), part(&edge.to));
        ends == (a, b) || ends == (b, a)
    };
    edges.iter().filter(between).map(told).collect()
}

/// `unsafe` outside of `net`.
pub(crate) fn unsafe_elsewhere(tree: &Tree) -> Vec<String> {
    let elsewhere = tree.unsafes().iter().filter(|found| part(&found.file) != "net");
    elsewhere.map(|found| told_use(found, "only src/net may")).collect()
}

/// Clocks that are read, sockets and random sources below `net`. A `SystemTime` that is handed in is no clock.
pub(crate) fn machine_below_net(tree: &Tree, layers: &BTreeMap<String, Layer>, doors: &[&str]) -> Vec<String> {
    const CLOCKS: &[&str] = &["std::time::Instant::now", "std::time::SystemTime::now"];
    const OTHERS: &[&str] = &[
        "std::net::Udp",
        "std::net::Tcp",
        "std::os",
        "std::fs",
        "std::thread::sleep",
        "std::thread::spawn",
        "getrandom",
        "rand::",
    ];
    let is_machine = |path: &str| {
        CLOCKS.contains(&path) || OTHERS.iter().any(|other| path.starts_with(other)) && path != "getrandom::Error"
    };
    let low = |file: &str| matches!(layers.get(part(file)), Some(Layer::Number(0 | 1) | Layer::Any));
    let found = tree.foreign().into_iter().filter(|found| low(&found.file) && is_machine(&found.path));
    let found = found.filter(|found| !doors.contains(&found.file.as_str()));
    found.map(|found| told_use(&found, "below net nothing reads clock, socket, file or random source")).collect()
}

/// Libraries named outside of the folders that `Cargo.toml` allows them; the laboratory stands beside and may name any.
pub(crate) fn libraries_elsewhere(tree: &Tree, sections: &[(Vec<String>, Vec<String>)]) -> Vec<String> {
    let mut wrong = BTreeSet::new();
    for found in tree.foreign() {
        let library = found.path.split("::").next().unwrap_or_default();
        for (libraries, folders) in sections {
            let allowed = folders.iter().any(|folder| folder == part(&found.file)) || part(&found.file) == "lab";
            if libraries.iter().any(|name| name == library) && !allowed {
                wrong.insert(told_use(&found, &format!("Cargo.toml: named only in {}", folders.join(", "))));
            }
        }
    }
    wrong.into_iter().collect()
}

/// Folders in which a file and the files below it may not name each other either. Elsewhere a parent may hold what its
/// children share and choose among them (`wire/codec/mod.rs`); siblings never form a circle.
const STRICT: &[&str] = &["dtls", "net", "relay", "signal", "worker"];

/// A circle: where, and who takes part; with the edges that make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Circle {
    /// `worker: live, stream`.
    pub(crate) name: String,
    pub(crate) edges: Vec<String>,
}

/// Every circle: at each level of the tree among the files and folders that stand side by side there.
pub(crate) fn circles(edges: &[Edge]) -> Vec<Circle> {
    let path = |file: &str| -> Vec<String> {
        let mut path: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if path.last().is_some_and(|last| last == "mod") {
            path.pop();
        }
        path
    };
    let paths: Vec<_> = edges.iter().map(|edge| (path(&edge.from), path(&edge.to), edge)).collect();
    let ends = paths.iter().flat_map(|(from, to, _)| [from, to]);
    let levels: BTreeSet<&[String]> = ends.flat_map(|path| (0..path.len()).map(|len| &path[..len])).collect();
    let mut circles = Vec::new();
    for level in levels {
        let strict = level.first().is_some_and(|first| STRICT.contains(&first.as_str()));
        // A child, or the parent itself.
        let node = |path: &[String]| path.get(level.len()).cloned().unwrap_or_else(|| "mod".to_owned());
        let mut graph: BTreeMap<String, BTreeMap<String, Vec<&Edge>>> = BTreeMap::new();
        for (from, to, edge) in &paths {
            let inside = from.starts_with(level) && to.starts_with(level);
            let parent = from.len() == level.len() || to.len() == level.len();
            let program = level.is_empty() && matches!(part(&edge.from), "main" | "lib");
            if !inside || program || (parent && !strict) || node(from) == node(to) {
                continue;
            }
            graph.entry(node(from)).or_default().entry(node(to)).or_default().push(edge);
        }
        for members in components(&graph) {
            let mut lines = Vec::new();
            for from in &members {
                for (to, edges) in graph[from].iter().filter(|(to, _)| members.contains(*to)) {
                    // The first line draws the arrow; how many more there are says how thick it is.
                    lines.push(format!("{from} -> {to} ({} lines): {}", edges.len(), told(edges[0])));
                }
            }
            let folder = if level.is_empty() { "src".to_owned() } else { level.join("/") };
            let names = members.into_iter().collect::<Vec<_>>().join(", ");
            circles.push(Circle { name: format!("{folder}: {names}"), edges: lines });
        }
    }
    circles
}

/// Sets of more than one node that reach each other.
fn components(graph: &BTreeMap<String, BTreeMap<String, Vec<&Edge>>>) -> BTreeSet<BTreeSet<String>> {
    let reached = |from: &String| {
        let mut reached = BTreeSet::new();
        let mut ahead = vec![from];
        while let Some(node) = ahead.pop() {
            for to in graph.get(node).into_iter().flat_map(BTreeMap::keys) {
                if reached.insert(to.clone()) {
                    ahead.push(to);
                }
            }
        }
        reached
    };
    let all: BTreeMap<&String, BTreeSet<String>> = graph.keys().map(|node| (node, reached(node))).collect();
    let circle_of = |node: &String| -> Option<BTreeSet<String>> {
        let mates = all[node].iter().filter(|other| all.get(other).is_some_and(|back| back.contains(node)));
        Some(mates.cloned().collect::<BTreeSet<_>>()).filter(|mates| mates.len() > 1)
    };
    graph.keys().filter_map(circle_of).collect()
}
