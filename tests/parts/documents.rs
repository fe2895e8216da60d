//! The documents: every relative link and anchor leads somewhere, every command names files that exist, the README is
//! short, and the sample configuration is what the program reads.
//!
//! The checker itself is proven on a small tree in which each kind of thing is broken once. Left out: addresses on the web,
//! which would need a network, and what the documents say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use clap::CommandFactory as _;
use corecast::config::{Config, ConfigError, Environment, Settings};

const README_BYTES_MAX: u64 = 12_288;

/// Top-level directories by which a word in a command is known to be a file of the tree.
const DIRECTORIES: [&str; 6] = ["benches/", "examples/", "loadtest/", "src/", "tests/", "tuning/"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

// --- A reader of as much Markdown as there is here -------------------------------------------------------------------

/// What a Markdown file offers and needs; everything with its line.
#[derive(Debug, Default)]
struct Document {
    anchors: BTreeSet<String>,
    links: Vec<(usize, String)>,
    /// Commands: lines of fenced `console`, `sh`, `bash` and unnamed blocks, and inline code.
    commands: Vec<(usize, String)>,
}

impl Document {
    fn of(text: &str) -> Self {
        let mut document = Self::default();
        let mut slugs = BTreeMap::new();
        let mut fence: Option<String> = None;
        let mut goes_on = false;
        for (number, line) in (1..).zip(text.lines()) {
            let trimmed = line.trim_start();
            if let Some(info) = trimmed.strip_prefix("```") {
                fence = if fence.is_some() { None } else { Some(info.trim().to_owned()) };
            } else if let Some(info) = &fence {
                if let Some(command) = command_of(info, line, goes_on) {
                    goes_on = command.ends_with('\\');
                    document.commands.push((number, command));
                } else {
                    goes_on = false;
                }
            } else {
                if let Some(title) = heading(trimmed) {
                    let slug = slug(title);
                    let count: &mut usize = slugs.entry(slug.clone()).or_default();
                    document.anchors.insert(if *count == 0 { slug } else { format!("{slug}-{count}") });
                    *count += 1;
                }
                for id in line.split(" id=\"").skip(1) {
                    document.anchors.insert(id.split('"').next().unwrap_or_default().to_owned());
                }
                let (prose, code) = split_code(line);
                document.links.extend(links(&prose).into_iter().map(|link| (number, link)));
                document.commands.extend(code.into_iter().map(|code| (number, code)));
            }
        }
        document
    }
}

/// The command in a line of a fenced block, if it has one; comments are cut off.
fn command_of(info: &str, line: &str, goes_on: bool) -> Option<String> {
    let command = match info {
        "console" if !goes_on => line.trim_start().strip_prefix("$ ")?,
        "console" | "sh" | "bash" | "" => line,
        _ => return None,
    };
    let end = if command.starts_with('#') { 0 } else { command.find(" #").unwrap_or(command.len()) };
    command.get(..end).map(|command| command.trim_end().to_owned())
}

/// The text of a heading (`## Text`).
fn heading(line: &str) -> Option<&str> {
    let title = line.trim_start_matches('#');
    let level = line.len() - title.len();
    (1..=6).contains(&level).then(|| title.strip_prefix(' ')).flatten()
}

/// The anchor that renderers give a heading: lower case, spaces as hyphens, no punctuation.
fn slug(title: &str) -> String {
    let mut text = String::new();
    let mut rest = title;
    // Of a link only its text counts.
    while let Some((before, after)) = rest.split_once("](") {
        text.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text.trim()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c if c.is_alphanumeric() => Some(c),
            _ => None,
        })
        .flat_map(char::to_lowercase)
        .collect()
}

/// A line without the contents of its inline code, and those contents.
fn split_code(line: &str) -> (String, Vec<String>) {
    let (mut prose, mut code) = (String::new(), Vec::new());
    for (index, part) in line.split('`').enumerate() {
        if index % 2 == 0 {
            prose.push_str(part);
        } else {
            code.push(part.to_owned());
        }
    }
    (prose, code)
}

/// The targets of `[text](target)`, `![text](target)` and `[name]: target`.
fn links(prose: &str) -> Vec<String> {
    let mut found: Vec<String> = prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next())
        .map(|target| target.trim_matches(['<', '>']).to_owned())
        .collect();
    if let Some((_, target)) = prose.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
        found.extend(target.split_whitespace().next().map(str::to_owned));
    }
    found
}

// --- The checks ------------------------------------------------------------------------------------------------------

/// Every Markdown file below `root`, but what is built or fetched.
fn markdown_files(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut directories) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().unwrap().is_dir() {
                if !name.starts_with('.') && !["target", "node_modules", "__pycache__"].contains(&name.as_str()) {
                    directories.push(entry.path());
                }
            } else if name.ends_with(".md") {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// `base` joined with `path`, `..` worked off; `None` where it leads out of the tree.
fn within(root: &Path, base: &Path, path: &str) -> Option<PathBuf> {
    let mut inside = base.strip_prefix(root).ok()?.to_owned();
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir => inside.pop().then_some(())?,
            Component::Normal(name) => inside.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(root.join(inside))
}

/// Everything that is wrong with the documents below `root`, a line each.
fn problems(root: &Path) -> Vec<String> {
    let documents: BTreeMap<PathBuf, Document> = markdown_files(root)
        .into_iter()
        .map(|file| {
            let document = Document::of(&fs::read_to_string(&file).unwrap());
            (file, document)
        })
        .collect();
    let mut problems = Vec::new();
    for (file, document) in &documents {
        let mut tell = |line: &usize, what: String| {
            problems.push(format!("{}:{line}: {what}", file.strip_prefix(root).unwrap().display()));
        };
        for (line, link) in &document.links {
            if let Err(what) = check_link(root, file, link, &documents) {
                tell(line, what);
            }
        }
        for (line, command) in &document.commands {
            for missing in missing_files(root, command) {
                tell(line, format!("the command names {missing}, which is not in the tree"));
            }
        }
    }
    problems
}

fn check_link(root: &Path, file: &Path, link: &str, documents: &BTreeMap<PathBuf, Document>) -> Result<(), String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return Ok(());
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let target = if path.is_empty() {
        file.to_owned()
    } else {
        within(root, file.parent().unwrap(), path).ok_or(format!("{link} leads out of the tree"))?
    };
    if !target.exists() || target.strip_prefix(root).is_ok_and(|inside| inside.starts_with("target")) {
        return Err(format!("{link} leads to nothing"));
    }
    match (anchor, documents.get(&target)) {
        (Some(anchor), Some(document)) if !document.anchors.contains(anchor) => {
            Err(format!("{link}: there is no #{anchor}"))
        }
        _ => Ok(()),
    }
}

/// The files of the tree that a command names and that are not there.
fn missing_files(root: &Path, command: &str) -> Vec<String> {
    let words: Vec<&str> = command.split(|c: char| c.is_whitespace() || "\"'=@;,()<>|&".contains(c)).collect();
    let mut missing = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let word = word.trim_start_matches("$PWD/").trim_start_matches("./").trim_end_matches([':', '.']);
        // Placeholders: `tests/NAME.rs`, `tests/*.rs`, `tests/...`.
        let is_placeholder = |word: &str| {
            word.contains(['*', '…', '{', '$', '[']) || word.contains("...") || {
                let name = word.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
                name.split('.')
                    .next()
                    .is_some_and(|name| name.len() > 1 && name.chars().all(|c| c.is_ascii_uppercase()))
                    && !word.ends_with(".md")
            }
        };
        if DIRECTORIES.iter().any(|directory| word.starts_with(directory) && word.len() > directory.len())
            && !is_placeholder(word)
            && !within(root, root, word).is_some_and(|path| path.exists())
        {
            missing.push(word.to_owned());
        }
        let wanted = match index.checked_sub(1).and_then(|before| words.get(before)) {
            Some(&"--test") => [format!("tests/{word}.rs"), format!("tests/{word}/main.rs")],
            Some(&"--bench") => [format!("benches/{word}.rs"), format!("benches/{word}/main.rs")],
            _ => continue,
        };
        if !is_placeholder(word) && !wanted.iter().any(|path| root.join(path).exists()) {
            missing.push(wanted[0].clone());
        }
    }
    missing
}

#[test]
fn every_link_and_every_command_of_the_documents_leads_somewhere() {
    let problems = problems(root());
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn the_readme_is_short() {
    let bytes = fs::metadata(root().join("README.md")).unwrap().len();
    assert!(bytes <= README_BYTES_MAX, "README.md has {bytes} bytes, {README_BYTES_MAX} at most: the manual has room");
}

#[test]
fn the_manuals_contents_name_every_page_of_it() {
    let manual = root().join("src/manual");
    let contents = Document::of(&fs::read_to_string(manual.join("README.md")).unwrap());
    for entry in fs::read_dir(&manual).unwrap().map(Result::unwrap) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") && name != "README.md" {
            assert!(contents.links.iter().any(|(_, link)| *link == name), "src/manual/README.md does not name {name}");
        }
    }
}

#[test]
fn the_manual_has_what_the_program_refers_to() {
    let (mut directories, mut references) = (vec![root().join("src"), root().join("tuning")], 0);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                directories.push(path);
                continue;
            }
            let Ok(text) = fs::read_to_string(&path) else { continue };
            if path.extension().is_some_and(|kind| kind == "md") {
                continue;
            }
            for rest in text.split("src/manual/").skip(1) {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"-.".contains(c)).unwrap_or(rest.len());
                let (name, rest) = rest.split_at(end);
                let page = root().join("src/manual").join(name.trim_end_matches('.'));
                assert!(page.exists(), "{} refers to src/manual/{name}", path.display());
                references += 1;
                // A section is named in quotes: `src/manual/deployment.md, "Trust the node's own certificate"`.
                if let Some(title) = rest.strip_prefix(", \\\"").and_then(|rest| rest.split("\\\"").next()) {
                    let anchors = Document::of(&fs::read_to_string(&page).unwrap()).anchors;
                    assert!(anchors.contains(&slug(title)), "{name} has no section {title}");
                    references += 1;
                }
            }
        }
    }
    assert!(references >= 3, "the start-up lines and the doctor refer to the manual: {references}");
}

#[test]
fn the_checker_finds_what_is_broken() {
    let tree = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = tree.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("tests/run", "");
    write("tests/one.rs", "");
    write("tuning/here.sh", "");
    write("target/built.md", "[not looked at](nothing.md)");
    let good = "# The `title`: of *it*\n\n## Twice\n\n## Twice\n\n[a](#the-title-of-it) [b](#twice) [c](#twice-1)\n\
                ![p](tests/run) [`code`](manual/page.md#a-page) <https://example.org/nothing> [w](https://example.org/n)\n\
                `[in code](nothing.md)` and `tests/*.rs`, `tests/NAME.rs`, `tests/run --only x`\n\n[ref]: tests/one.rs\n\n\
                ```sh\ntests/run --list   # and not tests/absent\n\"$PWD/tuning/here.sh\"\ncargo test --test one\n```\n\
                ```console\n$ tests/run \\\n    tests/one.rs\ntests/output is what it printed\n```\n\
                ```json\n{\"tests/absent\": \"[x](nothing.md)\"}\n```\n";
    write("README.md", good);
    write("manual/page.md", "# A page\n\n[up](../README.md#twice-1)\n");
    assert_eq!(problems(tree.path()), Vec::<String>::new());

    for (line, expected) in [
        ("[a](absent.md)", "absent.md leads to nothing"),
        ("![a](absent.png)", "absent.png leads to nothing"),
        ("[a](target/built.md)", "target/built.md leads to nothing"),
        ("[ref]: absent.md", "absent.md leads to nothing"),
        ("[a](../outside.md)", "../outside.md leads out of the tree"),
        ("[a](/etc/passwd)", "/etc/passwd leads out of the tree"),
        ("[a](#absent)", "there is no #absent"),
        ("[a](#twice-2)", "there is no #twice-2"),
        ("[a](manual/page.md#the-page)", "there is no #the-page"),
        ("```sh\ntests/absent --list\n```", "the command names tests/absent"),
        ("```console\n$ cargo run \\\n    --file=tuning/absent.sh\n```", "the command names tuning/absent.sh"),
        ("```\n\"$PWD/tests/absent.py\" a\n```", "the command names tests/absent.py"),
        ("```sh\ncargo test --test two\n```", "the command names tests/two.rs"),
        ("`cargo bench --bench two`", "the command names benches/two.rs"),
        ("see `src/absent.rs`", "the command names src/absent.rs"),
    ] {
        write("README.md", &format!("{good}\n{line}\n"));
        let found = problems(tree.path());
        assert!(
            found.len() == 1 && found[0].starts_with("README.md:") && found[0].contains(expected),
            "{line}: {found:?}"
        );
    }
}

// --- Configuration ---------------------------------------------------------------------------------------------------

fn load(text: &str) -> Result<Config, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("corecast.toml");
    fs::write(&file, text).unwrap();
    // It may hold a secret.
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    // Two cores: the examples of the sample are those of such a machine.
    let environment =
        Environment { allowed_cores: vec![0, 1], home: Some("/home/op".into()), ..Environment::default() };
    Config::load(Some(&file), &Settings::default(), &environment)
}

fn sample() -> String {
    fs::read_to_string(root().join("src/manual/corecast.toml")).unwrap()
}

/// The sample with the settings that `wanted` picks no longer commented out. `#key` is a setting, `# Text` is not.
fn uncommented(wanted: impl Fn(&str) -> bool) -> String {
    let setting = |line: &str| {
        line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with(' ')).map(str::to_owned)
    };
    sample()
        .lines()
        .map(|line| setting(line).filter(|line| wanted(line)).unwrap_or_else(|| line.to_owned()) + "\n")
        .collect()
}

/// The keys that the reader says it knows in a table, asked by one that it does not.
fn known(header: &str) -> Vec<String> {
    let told = load(&format!("{header}\nno_such_key = 1\n")).unwrap_err().to_string();
    let Some((_, expected)) = told.split_once("`no_such_key`, expected ") else { return Vec::new() };
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Every key, with its table: `media.port_base`; those of lists of tables as `ice_servers.urls`.
fn known_keys() -> Vec<String> {
    let (mut keys, mut tables) = (Vec::new(), vec![String::new()]);
    while let Some(table) = tables.pop() {
        let inner = match table.as_str() {
            "" => known(""),
            table => [known(&format!("[{table}]")), known(&format!("[[{table}]]"))].concat(),
        };
        if inner.is_empty() {
            keys.push(table);
        } else {
            let prefix = if table.is_empty() { table } else { table + "." };
            tables.extend(inner.into_iter().map(|key| format!("{prefix}{key}")));
        }
    }
    assert!(keys.len() > 40, "the reader no longer lists the keys that it knows: {keys:?}");
    keys
}

#[test]
fn the_sample_configuration_sets_nothing_and_shows_the_defaults() {
    let defaults = load("").unwrap();
    assert_eq!(load(&sample()).unwrap(), defaults);
    let shown = uncommented(|line| !line.ends_with(" # example"));
    assert_ne!(shown, sample());
    assert_eq!(load(&shown).unwrap(), defaults);
}

#[test]
fn the_examples_of_the_sample_configuration_are_accepted() {
    // The secret itself and its file exclude each other.
    load(&uncommented(|line| !line.starts_with("secret = "))).unwrap();
    load(&uncommented(|line| !line.starts_with("secret_file = "))).unwrap();
}

#[test]
fn the_sample_configuration_names_every_key_that_the_reader_knows() {
    let sample: toml::Table = toml::from_str(&uncommented(|_| true)).unwrap();
    for key in known_keys() {
        let mut value = Some(toml::Value::Table(sample.clone()));
        for name in key.split('.') {
            value = value.and_then(|value| match value {
                toml::Value::Array(list) => list.into_iter().next()?.get(name).cloned(),
                value => value.get(name).cloned(),
            });
        }
        assert!(value.is_some(), "src/manual/corecast.toml does not name {key}");
    }
}

#[test]
fn the_manual_explains_every_key_and_every_flag() {
    let text = fs::read_to_string(root().join("src/manual/configuration.md")).unwrap();
    let (_, rest) = text.split_once("<!-- settings: begin -->").expect("the marker at the beginning");
    let (settings, _) = rest.split_once("<!-- settings: end -->").expect("the marker at the end");
    for key in known_keys() {
        let named = match key.rsplit_once('.') {
            Some((list @ ("ice_servers" | "tls.certificates"), key)) => settings
                .lines()
                .any(|line| line.contains(&format!("`[[{list}]]`")) && line.contains(&format!("`{key}`"))),
            _ => settings.contains(&format!("`{key}`")),
        };
        assert!(named, "src/manual/configuration.md does not explain {key}");
    }
    for argument in corecast::cli::Cli::command().get_arguments() {
        let Some(flag) = argument.get_long().filter(|flag| !["help", "version"].contains(flag)) else { continue };
        let named = [format!("`--{flag}`"), format!("`--{flag} ")].iter().any(|form| settings.contains(form));
        assert!(named, "src/manual/configuration.md does not explain --{flag}");
    }
}
