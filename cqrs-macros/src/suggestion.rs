//! Lists of names for error messages, and the name that was probably meant.

/// Returns ``: did you mean `name`?`` if one of the names is similar to what was written, or an
/// empty string.
pub(crate) fn did_you_mean(written: &str, names: &[impl AsRef<str>]) -> String {
    let closest = names.iter().map(AsRef::as_ref).min_by_key(|name| distance(written, name));
    match closest {
        Some(name) if is_similar(written, name) => format!(": did you mean `{name}`?"),
        _ => String::new(),
    }
}

/// Returns the names as in `a`, `b` or `c`, with the given word before the last name.
pub(crate) fn listed(names: &[impl AsRef<str>], word: &str) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} {word} {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// Returns `true` if one name is a prefix of the other, or if at most a third of the characters
/// differ.
fn is_similar(written: &str, name: &str) -> bool {
    let length = written.len().max(name.len());
    name.starts_with(written) || written.starts_with(name) || distance(written, name) * 3 <= length
}

/// Returns the number of characters to insert, delete or replace (the Levenshtein distance).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((b, substitute), delete) in to.iter().zip(&row).zip(row.iter().skip(1)) {
            let substitute = substitute + usize::from(a != *b);
            let insert = next.last().map_or(0, |cost| cost + 1);
            next.push(substitute.min(delete + 1).min(insert));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_similar_name_is_suggested() {
        let names = ["account_id", "cents"];
        assert_eq!(did_you_mean("acount_id", &names), ": did you mean `account_id`?");
        assert_eq!(did_you_mean("account", &names), ": did you mean `account_id`?");
        assert_eq!(did_you_mean("owner", &names), "");
        assert_eq!(did_you_mean("owner", &[""; 0]), "");
    }

    #[test]
    fn a_distance_counts_changed_characters() {
        assert_eq!(distance("", ""), 0);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn names_are_listed_as_in_a_sentence() {
        assert_eq!(listed(&["a"], "and"), "`a`");
        assert_eq!(listed(&["a", "b", "c"], "or"), "`a`, `b` or `c`");
    }
}
