//! Splitting a line into words; `"two words"` are one.

/// The words of a line up to a `#` that starts one.
///
/// # Errors
/// When a quotation does not end.
pub(super) fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let (word, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("a quotation does not end")?,
            None => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        words.push(word.to_owned());
        rest = behind.trim_start();
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_quotations_and_remarks() {
        assert_eq!(split("a  b\tc\r").unwrap(), ["a", "b", "c"]);
        assert_eq!(split(r#"open a "Ann B." 1 # why"#).unwrap(), ["open", "a", "Ann B.", "1"]);
        assert_eq!(split(r#""" a#b"#).unwrap(), ["", "a#b"]);
        assert!(split("  # nothing").unwrap().is_empty());
        assert!(split(r#"open "Ann"#).is_err());
    }
}
