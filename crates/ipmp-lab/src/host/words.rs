//! A command line to words, as a shell would.

/// Splits `line` at blanks. Quotes of either kind keep blanks in a word; a backslash outside single
/// quotes takes the next character as it is. There is nothing else: no variables, no patterns.
pub(crate) fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let next = characters.next().ok_or("backslash at the end")?;
                word.get_or_insert_default().push(next);
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("quote without its end");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_are_split_as_a_shell_would() {
        let words = |line| split(line).unwrap();
        assert!(words("  ").is_empty());
        assert_eq!(words(" a  b\t'c d' "), ["a", "b", "c d"]);
        assert_eq!(
            words("eeprom 'local-mac-address?=true'"),
            ["eeprom", "local-mac-address?=true"]
        );
        assert_eq!(words(r#"a'b'"c"\ d '' "" "\"""#), ["abc d", "", "", "\""]);
        assert_eq!(words(r"'a\b'"), [r"a\b"]);
        for bad in ["'a", "\"a", "a\\"] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }
}
