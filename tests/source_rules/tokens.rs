//! As much of Rust's lexing as it takes to tell code from comments and literals.

/// Identifiers, `::` and single marks of Rust source, without comments and literals.
pub fn tokens(source: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let len = token_len(rest, first);
        let (token, after) = rest.split_at(len);
        let is_name = first.is_alphabetic() || first == '_';
        if (is_name && !token.ends_with(['"', '#', '\'']))
            || token == "::"
            || "{}(),;:*!".contains(first)
        {
            tokens.push(token.strip_prefix("r#").unwrap_or(token));
        }
        rest = after;
    }
    tokens
}

/// Comments and string literals of Rust source, each with the number of its first line.
pub fn texts(source: &str) -> Vec<(usize, &str)> {
    let mut texts = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let (token, after) = rest.split_at(token_len(rest, first));
        if token.starts_with("//") || token.starts_with("/*") || token.ends_with(['"', '#']) {
            texts.push((line, token));
        }
        line += token.matches('\n').count();
        rest = after;
    }
    texts
}

fn token_len(rest: &str, first: char) -> usize {
    let until = |end: &str| rest.find(end).map_or(rest.len(), |at| at + end.len());
    if rest.starts_with("//") {
        return until("\n");
    }
    if rest.starts_with("/*") {
        return block_comment_len(rest);
    }
    if rest.starts_with("::") {
        return 2;
    }
    if let Some(len) = string_len(rest).or_else(|| char_len(rest)) {
        return len;
    }
    if first.is_alphanumeric() || first == '_' {
        let start = if rest.starts_with("r#") { 2 } else { 0 };
        let name = |c: char| c.is_alphanumeric() || c == '_';
        return rest[start..]
            .find(|c| !name(c))
            .map_or(rest.len(), |at| start + at);
    }
    first.len_utf8()
}

/// They nest.
fn block_comment_len(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            [] => return rest.len(),
            _ => at += 1,
        }
    }
}

/// `"..."`, `b"..."`, `c"..."`, and the raw ones with any number of `#`.
fn string_len(rest: &str) -> Option<usize> {
    let bare = rest.trim_start_matches(['b', 'c']);
    if rest.len() - bare.len() > 1 {
        return None;
    }
    if let Some(raw) = bare.strip_prefix('r') {
        let content = raw.trim_start_matches('#');
        let end = format!("\"{}", "#".repeat(raw.len() - content.len()));
        let content = content.strip_prefix('"')?;
        let start = rest.len() - content.len();
        return Some(
            content
                .find(&end)
                .map_or(rest.len(), |at| start + at + end.len()),
        );
    }
    let content = bare.strip_prefix('"')?;
    let mut escaped = false;
    let end = content.find(|c| {
        let is_end = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        is_end
    });
    Some(end.map_or(rest.len(), |at| rest.len() - content.len() + at + 1))
}

/// `'x'`, `'\n'`, `b'x'`; not the lifetime `'x`.
fn char_len(rest: &str) -> Option<usize> {
    let content = rest.strip_prefix('b').unwrap_or(rest).strip_prefix('\'')?;
    let mut chars = content.char_indices();
    let (_, first) = chars.next()?;
    let end = if first == '\\' {
        2 + content.get(2..)?.find('\'')?
    } else {
        chars.next().filter(|(_, c)| *c == '\'')?.0
    };
    Some(rest.len() - content.len() + end + 1)
}
