//! Splitting a line into words; `"two words"` in quotation marks count as one.

/// Returns the words of a line up to a `#`, which starts a comment.
///
/// # Errors
/// If a quotation mark is not closed.
pub(super) fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("missing closing quotation mark")?,
            None => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn lines_are_split_into_words_quotations_and_comments() {
        assert_eq!(split("a  b\tc\r").unwrap(), ["a", "b", "c"]);
        assert_eq!(split(r#"open a "Ann B." 1 # why"#).unwrap(), ["open", "a", "Ann B.", "1"]);
        assert_eq!(split(r#""" a#b"#).unwrap(), ["", "a#b"]);
        assert!(split("  # nothing").unwrap().is_empty());
        assert!(split(r#"open "Ann"#).is_err());
    }
}
