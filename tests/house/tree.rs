//! The tree's files as modules, what each defines and imports, and the edges: which file names what of which other file, on
//! which line.
//!
//! An edge is a path (`use` or in an expression or a type), or a call of `self.method()` or `Self::method()` where the type's
//! method is written in another file. It leads to the file where the thing is *defined*: a re-export is followed, and
//! draws no edge itself. `mod x;` draws none either. What is compiled for tests only (`#[cfg(test)]`, not
//! `any(test, …)`; `tests.rs`, `*_tests.rs`, `tests/`) is left out: it may name anything.
//!
//! Not followed: names that macros make, methods of values other than `self`, glob imports of other crates.

use std::collections::{BTreeMap, BTreeSet};

use crate::tokens::{Line, Token, tokens};

/// A module's path below the crate: `["worker", "lane"]`.
pub(crate) type Path = Vec<String>;

/// What a module has.
#[derive(Debug, Default)]
struct Module {
    file: String,
    /// Names brought in, with what they stand for: an absolute path, which may begin with another crate's name.
    imports: BTreeMap<String, Path>,
    /// `use x::*`.
    globs: Vec<Path>,
    items: BTreeSet<String>,
}

/// A path that stands somewhere, before it is resolved.
#[derive(Debug)]
struct Mention {
    module: Path,
    path: Path,
    line: Line,
    /// Of `pub use`.
    is_export: bool,
    is_import: bool,
}

/// A call of a method of `self`.
#[derive(Debug)]
struct Call {
    module: Path,
    /// The type of the `impl` it stands in.
    of: String,
    method: String,
    line: Line,
}

/// One file names another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edge {
    pub(crate) from: String,
    pub(crate) line: Line,
    pub(crate) to: String,
    /// The line's text.
    pub(crate) text: String,
}

/// A path into another crate, or an `unsafe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) file: String,
    pub(crate) line: Line,
    /// `std::time::Instant`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All that was read.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    modules: BTreeMap<Path, Module>,
    mentions: Vec<Mention>,
    calls: Vec<Call>,
    /// Type as resolved and method, to the files where such a method is written.
    methods: BTreeMap<(Path, String), BTreeSet<String>>,
    impls: Vec<(Path, String, Vec<String>)>,
    /// Modules that exist for tests only.
    tests: BTreeSet<Path>,
    lines: BTreeMap<String, Vec<String>>,
    unsafes: Vec<Use>,
}

/// `worker/lane.rs` to `["worker", "lane"]`; `lib.rs` to the crate itself.
fn module_of(file: &str) -> Path {
    let stem = file.strip_suffix(".rs").unwrap_or(file);
    let mut path: Path = stem.split('/').map(str::to_owned).collect();
    if matches!(path.last().map(String::as_str), Some("mod" | "lib")) {
        path.pop();
    }
    path
}

impl Tree {
    /// Reads files: name below `src/`, and text.
    pub(crate) fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut tree = Self::default();
        let mut read: Vec<_> = files.into_iter().map(|(file, text)| (file, module_of(file), text)).collect();
        // Parents first: they say which children are tests.
        read.sort_by_key(|(_, path, _)| path.len());
        for (file, path, text) in read {
            let is_test = path.iter().any(|part| part == "tests" || part.ends_with("_tests"));
            if is_test || tree.tests.iter().any(|test| path.starts_with(test)) {
                continue;
            }
            tree.lines.insert(file.into(), text.lines().map(|line| line.trim().to_owned()).collect());
            tree.modules.entry(path.clone()).or_default().file = file.into();
            let tokens = tokens(text);
            Reader { tree: &mut tree, file, tokens: &tokens, at: 0 }.items(&path, None);
        }
        let impls = std::mem::take(&mut tree.impls);
        for (module, of, methods) in impls {
            let Some(of) = tree.of_type(&module, &of) else { continue };
            for method in methods {
                tree.methods.entry((of.clone(), method)).or_default().insert(tree.modules[&module].file.clone());
            }
        }
        tree
    }

    fn text(&self, file: &str, line: Line) -> String {
        self.lines.get(file).and_then(|lines| lines.get(line - 1)).cloned().unwrap_or_default()
    }

    /// What a name stands for in a module, as an absolute path; nothing where it is this module's own or unknown.
    fn named(&self, module: &Path, name: &str, depth: usize) -> Option<Path> {
        let of = self.modules.get(module)?;
        if let Some(path) = of.imports.get(name) {
            return Some(path.clone());
        }
        let child = [module.as_slice(), &[name.to_owned()]].concat();
        if self.modules.contains_key(&child) || of.items.contains(name) {
            return Some([vec!["crate".to_owned()], child].concat());
        }
        of.globs.iter().find_map(|glob| {
            let target = self.follow(glob, depth + 1)?;
            (target.1.is_empty() && target.0 != *module).then(|| self.named(&target.0, name, depth + 1)).flatten()
        })
    }

    /// An absolute path to the module that defines what it names, and what is left of it. Re-exports are followed.
    fn follow(&self, path: &[String], depth: usize) -> Option<(Path, Path)> {
        let (first, rest) = path.split_first()?;
        if first != "crate" || depth > 8 {
            return None;
        }
        let known = (0..=rest.len()).rev().find(|len| self.modules.contains_key(&rest[..*len]))?;
        let (module, left) = (rest[..known].to_vec(), rest[known..].to_vec());
        let Some(name) = left.first() else { return Some((module, left)) };
        if self.modules[&module].items.contains(name) {
            return Some((module, left));
        }
        match self.named(&module, name, depth + 1) {
            Some(to) => self.follow(&[to.as_slice(), &left[1..]].concat(), depth + 1),
            None => Some((module, left)),
        }
    }

    /// A path as it is written in a module, made absolute: beginning with `crate`, or with another crate's name.
    fn absolute(&self, module: &Path, path: &[String]) -> Option<Path> {
        let (first, rest) = path.split_first()?;
        let mut base = module.clone();
        let mut rest = rest;
        match first.as_str() {
            "crate" | "corecast" => return Some([&["crate".to_owned()], rest].concat()),
            "self" => {}
            "super" => {
                base.pop();
                while rest.first().is_some_and(|next| next == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            name => {
                let named = self.named(module, name, 0);
                let to = named.unwrap_or_else(|| vec![name.to_owned()]);
                return Some([to.as_slice(), rest].concat());
            }
        }
        Some([&["crate".to_owned()], base.as_slice(), rest].concat())
    }

    /// The type an `impl` is for, as the path of its definition.
    fn of_type(&self, module: &Path, name: &str) -> Option<Path> {
        let (definer, left) = self.follow(&self.absolute(module, &[name.to_owned()])?, 0)?;
        Some([definer, left].concat())
    }

    /// Every edge between two files, in order.
    pub(crate) fn edges(&self) -> Vec<Edge> {
        let mut edges = BTreeSet::new();
        let mut add = |from: &String, line, to: &String| {
            if from != to {
                edges.insert(Edge { from: from.clone(), line, to: to.clone(), text: self.text(from, line) });
            }
        };
        for mention in self.mentions.iter().filter(|mention| !mention.is_export) {
            let Some(absolute) = self.absolute(&mention.module, &mention.path) else { continue };
            let Some((to, _)) = self.follow(&absolute, 0) else { continue };
            add(&self.modules[&mention.module].file, mention.line, &self.modules[&to].file);
        }
        for call in &self.calls {
            let Some(of) = self.of_type(&call.module, &call.of) else { continue };
            let from = &self.modules[&call.module].file;
            let Some(files) = self.methods.get(&(of, call.method.clone())) else { continue };
            if !files.contains(from) {
                files.iter().for_each(|to| add(from, call.line, to));
            }
        }
        edges.into_iter().collect()
    }

    /// Every path into another crate, re-exports too.
    pub(crate) fn foreign(&self) -> Vec<Use> {
        let mut found = Vec::new();
        for mention in &self.mentions {
            let Some(path) = self.absolute(&mention.module, &mention.path) else { continue };
            // A lone name that nobody brought in is a local one, or the prelude's.
            if path[0] == "crate" || (path.len() == 1 && !mention.is_import) {
                continue;
            }
            let file = self.modules[&mention.module].file.clone();
            let text = self.text(&file, mention.line);
            found.push(Use { file, line: mention.line, path: path.join("::"), text });
        }
        found
    }

    pub(crate) fn unsafes(&self) -> &[Use] {
        &self.unsafes
    }
}

/// Reads one file.
struct Reader<'a> {
    tree: &'a mut Tree,
    file: &'a str,
    tokens: &'a [(Token, Line)],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead).map(|(token, _)| token)
    }

    fn word(&self, ahead: usize) -> Option<String> {
        self.peek(ahead).and_then(Token::word).map(str::to_owned)
    }

    fn sign(&self, ahead: usize, sign: char) -> bool {
        self.peek(ahead).is_some_and(|token| token.is(sign))
    }

    fn line(&self) -> Line {
        self.tokens.get(self.at).map_or(0, |(_, line)| *line)
    }

    /// To behind the bracket that closes the one here.
    fn skip_group(&mut self) {
        let mut depth = 0_usize;
        while let Some(token) = self.peek(0) {
            if ['(', '[', '{'].iter().any(|open| token.is(*open)) {
                depth += 1;
            } else if [')', ']', '}'].iter().any(|close| token.is(*close)) {
                depth -= 1;
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// Behind an item: its `;`, its braces, or the comma of a field or an arm.
    fn skip_item(&mut self) {
        while self.sign(0, '#') {
            self.at += 1;
            self.skip_group();
        }
        while let Some(token) = self.peek(0) {
            if token.is('{') {
                return self.skip_group();
            }
            if token.is('(') || token.is('[') {
                self.skip_group();
            } else if token.is('}') || token.is(')') {
                return;
            } else {
                let ends = token.is(';') || token.is(',');
                self.at += 1;
                if ends {
                    return;
                }
            }
        }
    }

    /// An attribute; whether what it stands before is for tests only.
    fn attribute(&mut self) -> bool {
        self.at += if self.sign(1, '!') { 2 } else { 1 };
        let begin = self.at;
        self.skip_group();
        let words: Vec<&str> = self.tokens[begin..self.at].iter().filter_map(|(token, _)| token.word()).collect();
        matches!(words.as_slice(), ["cfg", "test"] | ["cfg", "all", "test", ..] | ["test"])
    }

    /// What stands in a module, to its closing brace or the end of the file. `of` is the type of the `impl` around it.
    fn items(&mut self, module: &Path, of: Option<&str>) {
        let mut depth = 0_usize;
        // An item's own keyword, not `crate::relay::fn`: only behind the end of something.
        while let Some((token, line)) = self.tokens.get(self.at) {
            match token {
                Token::Sign('#') if self.sign(1, '[') || (self.sign(1, '!') && self.sign(2, '[')) => {
                    if self.attribute() {
                        self.skip_tested(module);
                    }
                    continue;
                }
                Token::Sign('{') => depth += 1,
                Token::Sign('}') if depth == 0 => return,
                Token::Sign('}') => depth -= 1,
                Token::Word(word) => {
                    let (word, line) = (word.clone(), *line);
                    self.keyword(&word, line, module, of, depth);
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// An item that exists for tests only.
    fn skip_tested(&mut self, module: &Path) {
        let mut ahead = 0;
        while self.peek(ahead).is_some_and(|token| token.word().is_some_and(|word| word != "mod")) {
            ahead += 1;
        }
        if self.word(ahead).as_deref() == Some("mod")
            && let Some(name) = self.word(ahead + 1)
        {
            self.tree.tests.insert([module.as_slice(), &[name]].concat());
        }
        self.skip_item();
    }

    fn keyword(&mut self, word: &str, line: Line, module: &Path, of: Option<&str>, depth: usize) {
        match word {
            "use" => return self.import(module),
            "unsafe" => {
                let (file, text) = (self.file.to_owned(), self.tree.text(self.file, line));
                self.tree.unsafes.push(Use { file, line, path: "unsafe".into(), text });
            }
            "mod" if self.sign(2, '{') => {
                let Some(name) = self.word(1) else { return self.at += 1 };
                let child = [module.as_slice(), &[name]].concat();
                self.tree.modules.entry(child.clone()).or_default().file = self.file.to_owned();
                self.at += 3;
                self.items(&child, None);
                return self.at += 1;
            }
            "mod" if self.sign(2, ';') => return self.at += 3,
            // Who may see it, which is no use of a module.
            "pub"
                if self.sign(1, '(') && matches!(self.word(2).as_deref(), Some("crate" | "self" | "super" | "in")) =>
            {
                self.at += 1;
                return self.skip_group();
            }
            "impl" if depth == 0 => return self.implementation(module),
            "struct" | "enum" | "union" | "trait" | "type" | "fn" | "const" | "static"
                if depth == 0 && of.is_none() =>
            {
                let named = if self.word(1).as_deref() == Some("mut") { 2 } else { 1 };
                if let Some(name) = self.word(named) {
                    self.tree.modules.entry(module.clone()).or_default().items.insert(name);
                }
                // The name itself mentions nothing; `const fn` has it behind the next keyword.
                return self.at += if matches!(self.word(1).as_deref(), Some("fn" | "unsafe")) { 1 } else { 2 };
            }
            "fn" => return self.at += 2,
            _ => {}
        }
        self.mention(word, line, module, of);
    }

    /// A path in an expression or a type, or `self.method(`.
    fn mention(&mut self, word: &str, line: Line, module: &Path, of: Option<&str>) {
        let after_dot = self.at > 0 && self.tokens[self.at - 1].0.is('.');
        let mut path = vec![word.to_owned()];
        self.at += 1;
        while self.peek(0) == Some(&Token::Colons)
            && let Some(next) = self.word(1)
        {
            path.push(next);
            self.at += 2;
        }
        if let Some(of) = of
            && let Some(method) = match path.as_slice() {
                [this] if this == "self" && self.sign(0, '.') => self.word(1).filter(|_| self.sign(2, '(')),
                [this, method] if this == "Self" => Some(method.clone()),
                _ => None,
            }
        {
            self.tree.calls.push(Call { module: module.clone(), of: of.to_owned(), method, line });
        }
        let keyword = path.len() == 1 && matches!(word, "self" | "Self" | "super" | "crate");
        if !(after_dot || keyword) {
            let mention = Mention { module: module.clone(), path, line, is_export: false, is_import: false };
            self.tree.mentions.push(mention);
        }
    }

    /// `impl<…> Trait for Type<…> {`: its methods, and all that stands in it.
    fn implementation(&mut self, module: &Path) {
        let (mut of, mut angle) = (None, 0_usize);
        let begin = self.at;
        self.at += 1;
        // The last name outside of `<…>` before the brace or `where`: the type's.
        while let Some(token) = self.peek(0) {
            match token {
                Token::Sign('{') => break,
                Token::Sign('<') => angle += 1,
                // `->` of a function type closes nothing.
                Token::Sign('>') if !self.tokens[self.at - 1].0.is('-') => angle = angle.saturating_sub(1),
                Token::Word(word) if word == "where" => break,
                Token::Word(word) if angle == 0 && word != "for" && word != "dyn" => of = Some(word.clone()),
                _ => {}
            }
            self.at += 1;
        }
        while !self.sign(0, '{') && self.at < self.tokens.len() {
            self.at += 1;
        }
        let head = self.at;
        let is_trait = self.tokens[begin..head].iter().any(|(token, _)| token.word() == Some("for"));
        // The head's own mentions.
        self.at = begin + 1;
        while self.at < head {
            match self.word(0) {
                Some(word) => {
                    let line = self.line();
                    self.mention(&word, line, module, None);
                }
                None => self.at += 1,
            }
        }
        self.at += 1;
        let body = self.at;
        self.items(module, of.as_deref());
        if let Some(of) = of.filter(|_| !is_trait) {
            let methods = self.tokens[body..self.at].windows(2).filter(|two| two[0].0.word() == Some("fn"));
            let methods = methods.filter_map(|two| two[1].0.word().map(str::to_owned)).collect();
            self.tree.impls.push((module.clone(), of, methods));
        }
        self.at += 1;
    }

    /// `use` with its tree.
    fn import(&mut self, module: &Path) {
        // `pub` or the end of `pub(…)`; an attribute ends with `]`.
        let before = self.at.checked_sub(1).map(|at| &self.tokens[at].0);
        let is_export = before.is_some_and(|token| token.is(')') || token.word() == Some("pub"));
        self.at += 1;
        self.branch(module, &[], is_export);
        self.at += 1;
    }

    fn branch(&mut self, module: &Path, prefix: &[String], is_export: bool) {
        let mut path = prefix.to_vec();
        let line = self.line();
        if self.peek(0) == Some(&Token::Colons) {
            self.at += 1;
        }
        loop {
            if self.sign(0, '{') {
                self.at += 1;
                while !self.sign(0, '}') && self.at < self.tokens.len() {
                    self.branch(module, &path, is_export);
                    if self.sign(0, ',') {
                        self.at += 1;
                    }
                }
                self.at += 1;
                return;
            }
            if self.sign(0, '*') {
                self.at += 1;
                let to = self.import_target(module, &path);
                self.tree.modules.entry(module.clone()).or_default().globs.push(to);
                return self.imported(module, path, line, is_export);
            }
            match self.word(0) {
                // `a::{self}` is `a`.
                Some(word) if word == "self" && !path.is_empty() => {}
                Some(word) => path.push(word),
                None => return self.at += 1,
            }
            self.at += 1;
            if self.peek(0) != Some(&Token::Colons) {
                break;
            }
            self.at += 1;
        }
        let mut name = path.last().cloned().unwrap_or_default();
        if self.word(0).as_deref() == Some("as") {
            name = self.word(1).unwrap_or_default();
            self.at += 2;
        }
        let to = self.import_target(module, &path);
        if name != "_" {
            self.tree.modules.entry(module.clone()).or_default().imports.insert(name, to);
        }
        self.imported(module, path, line, is_export);
    }

    /// What `use` brings in, absolute as far as this file knows: names of other crates and of child modules are told apart
    /// when they are followed.
    fn import_target(&self, module: &Path, path: &[String]) -> Path {
        match path[0].as_str() {
            "crate" | "self" | "super" | "corecast" => self.tree.absolute(module, path).unwrap_or_default(),
            first if self.declares(first) => [vec!["crate".to_owned()], module.clone(), path.to_vec()].concat(),
            _ => path.to_vec(),
        }
    }

    /// Whether this file says `mod name`.
    fn declares(&self, name: &str) -> bool {
        self.tokens.windows(2).any(|two| two[0].0.word() == Some("mod") && two[1].0.word() == Some(name))
    }

    fn imported(&mut self, module: &Path, path: Path, line: Line, is_export: bool) {
        let path = self.import_target(module, &path);
        self.tree.mentions.push(Mention { module: module.clone(), path, line, is_export, is_import: true });
    }
}
