//! The house in order: layers as `src/lib.rs` states them, no circles, `unsafe` and libraries only where they belong.
//!
//! The sources are read as text (`house/tokens.rs`), names are followed to the file that defines them (`house/tree.rs`), and
//! the rules (`house/rules.rs`) are taken from where they are written for people, so that the two cannot differ. What fails
//! says which line drew the arrow. What exists for tests only is left out: `#[cfg(test)]` items, and files called `tests.rs`,
//! `*_tests.rs` or in a folder `tests`.

#[path = "house/rules.rs"]
mod rules;
#[path = "house/tokens.rs"]
mod tokens;
#[path = "house/tree.rs"]
mod tree;

use std::fs;
use std::path::Path;

use tree::Tree;

/// Circles that are still there. Exact: one that has gone, or whose members have changed, must be changed here.
const KNOWN: &[&str] = &[];

/// Files below `net` that may ask the machine, and why.
const DOORS: &[&str] = &[
    "dtls/clock.rs", // the DTLS libraries count in `Instant`; one is made, and all others from the time handed in
    "dtls/identity.rs", // a certificate's serial number, made once at the start
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(directory: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root().join("src")).unwrap().display().to_string();
            files.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

fn house() -> Tree {
    let mut files = Vec::new();
    read(&root().join("src"), &mut files);
    assert!(files.len() > 100, "{} files", files.len());
    Tree::read(files.iter().map(|(name, text)| (name.as_str(), text.as_str())))
}

fn lib() -> String {
    fs::read_to_string(root().join("src/lib.rs")).unwrap()
}

#[track_caller]
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} found:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_module_names_only_its_own_layer_and_those_nearer_to_the_wire() {
    let layers = rules::layers(&lib());
    let lib = lib();
    for module in lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')) {
        assert!(layers.contains_key(module), "{module} is not in the table of src/lib.rs");
    }
    let edges = house().edges();
    assert!(edges.len() > 1_000, "{} edges: does it read at all?", edges.len());
    assert_none(&rules::upward(&edges, &layers));
}

#[test]
fn session_and_relay_do_not_know_each_other() {
    assert!(lib().contains("[`session`] and [`relay`] do not know each other"), "the rule is gone from src/lib.rs");
    assert_none(&rules::strangers(&house().edges(), "session", "relay"));
}

#[test]
fn unsafe_stands_in_net_only() {
    let house = house();
    assert!(!house.unsafes().is_empty());
    assert_none(&rules::unsafe_elsewhere(&house));
}

#[test]
fn below_net_nothing_reads_a_clock_a_socket_a_file_or_a_random_source() {
    let (house, layers) = (house(), rules::layers(&lib()));
    assert_none(&rules::machine_below_net(&house, &layers, DOORS));
    // A door that nobody uses is none.
    for door in DOORS {
        let others: Vec<&str> = DOORS.iter().copied().filter(|other| other != door).collect();
        assert!(!rules::machine_below_net(&house, &layers, &others).is_empty(), "{door} needs no exception any more");
    }
}

#[test]
fn libraries_are_named_only_where_cargo_toml_says() {
    let sections = rules::libraries(&fs::read_to_string(root().join("Cargo.toml")).unwrap());
    assert!(sections.len() >= 2 && sections.iter().all(|(names, folders)| !names.is_empty() && !folders.is_empty()));
    assert_none(&rules::libraries_elsewhere(&house(), &sections));
}

#[test]
fn no_circle_of_files_but_the_known_ones() {
    let circles = rules::circles(&house().edges());
    let gone: Vec<_> = KNOWN.iter().filter(|known| !circles.iter().any(|circle| circle.name == **known)).collect();
    let new = circles.iter().filter(|circle| !KNOWN.contains(&circle.name.as_str()));
    let new: Vec<_> = new.map(|circle| format!("{}\n    {}", circle.name, circle.edges.join("\n    "))).collect();
    assert!(gone.is_empty() && new.is_empty(), "gone, delete from KNOWN: {gone:#?}\nnew: {}", new.join("\n"));
}

/// Trees that are wrong on purpose.
mod broken {
    use crate::rules::{self, Circle};
    use crate::tree::Tree;

    const LIB: &str = "//! | Layer | Modules | Hold |
//! |---|---|---|
//! | 0 wire | [`wire`] | bytes |
//! | 1 protocol | [`session`], [`relay`] | state |
//! | 2 machine | [`net`], [`worker`] | sockets |
//! | beside | `lab` (feature) | tests |
//! | any | [`limits`] | bounds |
";

    fn upward(files: &[(&str, &str)]) -> Vec<String> {
        rules::upward(&Tree::read(files.iter().copied()).edges(), &rules::layers(LIB))
    }

    fn circles(files: &[(&str, &str)]) -> Vec<Circle> {
        rules::circles(&Tree::read(files.iter().copied()).edges())
    }

    const NET: (&str, &str) = ("net/mod.rs", "pub mod socket;\npub use socket::Socket;\npub fn now() {}");
    const SOCKET: (&str, &str) =
        ("net/socket.rs", "pub struct Socket;\nimpl Socket { pub fn open() -> Self { Self } }");

    #[test]
    fn an_arrow_upward_is_found_however_it_is_written() {
        let written = [
            "use crate::net::Socket;",
            "use crate::{limits, net::{self as machine, socket::Socket as S}};",
            "use super::net;",
            "fn f() { let _ = crate::net::now(); }",
            "fn f(socket: &crate::net::Socket) {}",
            "impl From<crate::net::Socket> for u8 { fn from(_: S) -> u8 { 0 } }",
            "fn f() { use super::super::wire as w; super::net::now() }",
        ];
        for text in written {
            let found = upward(&[("wire.rs", &format!("\n{text}")), NET, SOCKET, ("limits.rs", "")]);
            assert!(!found.is_empty(), "{text}");
            assert!(found[0].starts_with(&format!("src/wire.rs:2: `{text}`: wire.rs -> net/")), "{found:?}");
        }
        let quiet = [
            "// use crate::net::Socket;",
            "/// [`crate::net::Socket`]\nstruct A;",
            "const A: &str = \"crate::net::Socket\";",
            "#[cfg(test)]\nmod tests { use crate::net::Socket; fn f() { crate::net::now() } }\nuse crate::limits;",
            "#[cfg(test)]\nuse crate::net;",
        ];
        for text in quiet {
            assert_eq!(upward(&[("wire.rs", text), NET, SOCKET, ("limits.rs", "")]), [""; 0], "{text}");
        }
        // Behind such a feature it is no test.
        assert_eq!(
            upward(&[("wire.rs", "#[cfg(any(test, feature = \"peer\"))]\nuse crate::net;"), NET, SOCKET]).len(),
            1
        );
        assert_eq!(upward(&[("limits.rs", "use crate::wire::A;"), ("wire.rs", "pub struct A;")]).len(), 1);
        assert_eq!(upward(&[("net/mod.rs", "use crate::lab::A;"), ("lab.rs", "pub struct A;")]).len(), 1);
        assert_eq!(upward(&[("lab.rs", "use crate::worker::A;"), ("worker.rs", "pub struct A;")]), [""; 0]);
        assert!(
            upward(&[("attic.rs", "use crate::wire::A;"), ("wire.rs", "pub struct A;")])[0]
                .contains("not in the table")
        );
    }

    #[test]
    fn two_strangers_that_meet_are_found() {
        let files = [("session.rs", "use crate::relay::Relay;"), ("relay/mod.rs", "pub struct Relay;")];
        let edges = Tree::read(files).edges();
        assert_eq!(rules::strangers(&edges, "relay", "session").len(), 1);
        assert_eq!(rules::strangers(&edges, "relay", "net").len(), 0);
    }

    #[test]
    fn a_circle_is_found_with_the_lines_that_draw_it() {
        let own = "use super::b::B;\npub struct A(B);";
        let found = circles(&[("net/a.rs", own), ("net/b.rs", "pub struct B;\nfn f(_: super::a::A) {}"), NET, SOCKET]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "net: a, b");
        assert!(found[0].edges[0].contains("src/net/a.rs:1: `use super::b::B;`"), "{found:?}");
        assert!(found[0].edges[1].contains("src/net/b.rs:2: `fn f(_: super::a::A) {}`"), "{found:?}");
        // Through a re-export and an alias.
        let files = [
            ("wire/mod.rs", "mod a;\nmod b;\npub use a::A;\npub use b::B as Other;"),
            ("wire/a.rs", "pub struct A(super::Other);"),
            ("wire/b.rs", "use crate::wire;\npub struct B(Option<Box<wire::A>>);"),
        ];
        assert_eq!(circles(&files)[0].name, "wire: a, b");
        // Through methods of a type whose `impl` is spread over files.
        let files = [
            ("worker/mod.rs", "mod a; mod b;"),
            ("worker/a.rs", "pub struct W;\nimpl W { fn one(&self) { self.two(); } }"),
            ("worker/b.rs", "use super::a::W;\nimpl W { pub fn two(&self) {} }"),
        ];
        assert_eq!(circles(&files)[0].name, "worker: a, b");
        // Of folders, where no two files form one.
        let files = [
            ("relay/play/x.rs", "use crate::relay::store::x::X;"),
            ("relay/play/y.rs", "pub struct Y;"),
            ("relay/store/x.rs", "pub struct X;"),
            ("relay/store/y.rs", "use crate::relay::play::y::Y;"),
        ];
        assert_eq!(circles(&files)[0].name, "relay: play, store");
        // A parent and its child: forbidden in some folders, usual in others.
        let child = ("worker/a.rs", "use super::W;\npub fn f(_: W) {}");
        assert_eq!(circles(&[("worker/mod.rs", "mod a;\npub struct W;\nfn g() { a::f(W) }"), child]).len(), 1);
        let child = ("wire/a.rs", "use super::W;\npub fn f(_: W) {}");
        assert_eq!(circles(&[("wire/mod.rs", "mod a;\npub struct W;\nfn g() { a::f(W) }"), child]).len(), 0);
        assert_eq!(circles(&[NET, SOCKET, ("net/a.rs", "use super::Socket;")]).len(), 0);
    }

    #[test]
    fn unsafe_a_clock_and_a_library_in_the_wrong_place_are_found() {
        let text = "use std::time::Instant;\nfn f() { let _ = Instant::now(); }\n// unsafe\n#![allow(unsafe_code)]\nfn g() { unsafe {} }";
        let tree = Tree::read([("wire.rs", text), ("net/mod.rs", "unsafe fn f() { std::net::UdpSocket::bind(0); }")]);
        let found = rules::unsafe_elsewhere(&tree);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("src/wire.rs:5: "), "{found:?}");
        let found = rules::machine_below_net(&tree, &rules::layers(LIB), &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("src/wire.rs:2: "), "{found:?}");
        assert_eq!(rules::machine_below_net(&tree, &rules::layers(LIB), &["wire.rs"]).len(), 0);

        let sections = rules::libraries(
            "# --- a (named only in src/net and src/worker)\nio-uring = \"1\" # b\n\n# --- c\nx = 1\n",
        );
        assert_eq!(sections, [(vec!["io_uring".to_owned()], vec!["net".to_owned(), "worker".to_owned()])]);
        let tree = Tree::read([("wire.rs", "use io_uring::IoUring;"), ("net/mod.rs", "use io_uring as ring;")]);
        assert_eq!(rules::libraries_elsewhere(&tree, &sections).len(), 1);
    }
}
