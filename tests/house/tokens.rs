//! Rust text as tokens with their lines: enough to follow names. Comments, documentation and what is inside of strings are
//! no tokens.

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A name or a keyword.
    Word(String),
    /// `::`.
    Colons,
    /// Any other single character.
    Sign(char),
    /// A string, a character, a number or a lifetime.
    Literal,
}

impl Token {
    pub(crate) fn is(&self, sign: char) -> bool {
        *self == Self::Sign(sign)
    }

    pub(crate) fn word(&self) -> Option<&str> {
        if let Self::Word(word) = self { Some(word) } else { None }
    }
}

/// Where a token stands, from 1.
pub(crate) type Line = usize;

/// All tokens of a text.
pub(crate) fn tokens(text: &str) -> Vec<(Token, Line)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        let (len, token) = match byte {
            b'/' if rest.starts_with(b"//") => (rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()), None),
            b'/' if rest.starts_with(b"/*") => (block_comment(rest), None),
            b'"' => (1 + quoted(&rest[1..]), Some(Token::Literal)),
            b'\'' => (character_or_lifetime(rest), Some(Token::Literal)),
            b'0'..=b'9' => (number(rest), Some(Token::Literal)),
            b':' if rest.starts_with(b"::") => (2, Some(Token::Colons)),
            byte if byte.is_ascii_whitespace() => (1, None),
            byte if byte == b'_' || byte.is_ascii_alphabetic() || !byte.is_ascii() => word(text, at),
            sign => (1, Some(Token::Sign(char::from(sign)))),
        };
        found.extend(token.map(|token| (token, line)));
        line += rest[..len].iter().filter(|b| **b == b'\n').count();
        at += len;
    }
    found
}

/// Bytes of a comment that may hold others.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        match rest.get(at..) {
            None | Some([]) => return rest.len(),
            Some([b'/', b'*', ..]) => (depth, at) = (depth + 1, at + 2),
            Some([b'*', b'/', ..]) => (depth, at) = (depth - 1, at + 2),
            Some(_) => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
}

/// Bytes to the end of a string whose opening quote is behind.
fn quoted(rest: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&byte) = rest.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || !byte.is_ascii()
}

/// Bytes of `'a'`, `'\n'` or `'a`.
fn character_or_lifetime(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return 3 + rest.iter().skip(3).position(|b| *b == b'\'').map_or(0, |end| end + 1);
    }
    let len = 1 + rest.iter().skip(1).take_while(|b| is_word(**b)).count();
    match rest.get(len.max(2)) {
        Some(b'\'') => len.max(2) + 1,
        _ => len,
    }
}

/// Bytes of a number; `1..2` is two of them.
fn number(rest: &[u8]) -> usize {
    let mut at = 0;
    while rest.get(at).is_some_and(|b| is_word(*b))
        || (rest.get(at) == Some(&b'.') && rest.get(at + 1).is_some_and(u8::is_ascii_digit))
    {
        at += 1;
    }
    at
}

/// A word, or the string that it is the prefix of (`r#""#`, `b""`, `c""`, `b''`).
fn word(text: &str, at: usize) -> (usize, Option<Token>) {
    let rest = &text.as_bytes()[at..];
    let len = rest.iter().take_while(|b| is_word(**b)).count();
    let (name, after) = (&text[at..at + len], &rest[len..]);
    let hashes = after.iter().take_while(|b| **b == b'#').count();
    match name {
        "r" | "br" | "cr" if after.get(hashes) == Some(&b'"') => {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = len + hashes + 1;
            let found = text[at + body..].find(&end);
            (found.map_or(rest.len(), |found| body + found + end.len()), Some(Token::Literal))
        }
        "r" if hashes == 1 => {
            let raw = after[1..].iter().take_while(|b| is_word(**b)).count();
            (len + 1 + raw, Some(Token::Word(text[at + len + 1..at + len + 1 + raw].to_owned())))
        }
        "b" | "c" if after.first() == Some(&b'"') => (len + 1 + quoted(&after[1..]), Some(Token::Literal)),
        "b" if after.first() == Some(&b'\'') => (len + character_or_lifetime(after), Some(Token::Literal)),
        _ => (len, Some(Token::Word(name.to_owned()))),
    }
}

#[test]
fn what_is_quoted_or_commented_is_no_token() {
    let text = r##"
        // crate::a
        /// crate::b
        /* crate::c /* crate::d */ crate::e */
        let x = "crate::f \" crate::g"; let y = r#"crate::h "crate::i"#; let z = b"crate::j";
        let c = ('"', '\'', 'a', b'x'); let l: &'static str = f::<'a, 1.5, 0..7>();
        crate::k"##;
    let words: Vec<String> =
        tokens(text).into_iter().filter_map(|(token, _)| token.word().map(str::to_owned)).collect();
    assert_eq!(words, ["let", "x", "let", "y", "let", "z", "let", "c", "let", "l", "str", "f", "crate", "k"]);
    assert_eq!(tokens(text).last().unwrap().1, 7);
    assert_eq!(tokens("/* a\nb */ c"), [(Token::Word("c".into()), 2)]);
    assert_eq!(tokens("r#type"), [(Token::Word("type".into()), 1)]);
}
