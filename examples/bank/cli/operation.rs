//! One line of a story, parsed. An invalid line is an error that says what is wrong.

use cqrs::{Timestamp, event::Uuid};

use super::tokens;
use crate::domain::{AccountId, Money};
use crate::read::{Month, ReadModels};

/// The syntax of a story, shown by `--help`.
pub(super) const HELP: &str = r#"Operations, one per line; `#` starts a comment:
  open ACCOUNT "OWNER" AMOUNT      deposit ACCOUNT AMOUNT
  close ACCOUNT                    withdraw ACCOUNT AMOUNT
  transfer FROM TO AMOUNT          moves money; prints every step
  seed                             Alice with 100.00 and Bob with 50.00, once
  flags ACCOUNT                    its flagged withdrawals
  show                             all accounts
  history ACCOUNT                  its last 20 events, newest first
  feed                             the last 10 events of the bank
  statement ACCOUNT 2026-03        what was paid in and out in a month
  lag                              how far each table lags
  rebuild accounts|transfers|...   rebuilds a table; the old one stays in use
  drop-read                        drops and rebuilds all tables
  balance ACCOUNT                  the current balance
  balance ACCOUNT version N        the balance after its Nth event
  balance ACCOUNT at TIME          the balance at 2026-03-01T09:00:00Z
  time TIME                        sets the clock, until the next `time`
ACCOUNT is a word of letters, digits, `-` and `_`, or a UUID.

Exit code: 0 if every line was run, even if the bank rejected some;
1 if a line was invalid or failed; 2 if the story cannot be read."#;

/// The name of an account in a story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The name.
    pub name: String,
    /// The id, derived from the name: the same name is the same account in every run.
    pub id: AccountId,
}

/// The operation of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operation {
    Open { account: Label, owner: String, amount: Money },
    Deposit { account: Label, amount: Money },
    Withdraw { account: Label, amount: Money },
    Close { account: Label },
    Transfer { from: Label, to: Label, amount: Money },
    Seed,
    Flags { account: Label },
    Show,
    Feed,
    Statement { account: Label, month: Month },
    Lag,
    Rebuild { name: String },
    DropRead,
    History { account: Label },
    Balance { account: Label, when: When },
    Time { moment: Timestamp },
}

/// The time of a balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum When {
    Now,
    Version(u64),
    At(Timestamp),
}

/// Parses one line. Returns `None` if it is empty or a comment.
///
/// # Errors
/// If the line is invalid; the message says why.
pub fn parse(line: &str) -> Result<Option<Operation>, String> {
    let words = tokens::split(line)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let operation = match words.as_slice() {
        [] => return Ok(None),
        ["open", account, owner, amount] => Operation::Open {
            account: label(account)?,
            owner: (*owner).to_owned(),
            amount: money(amount)?,
        },
        ["deposit", account, amount] => {
            Operation::Deposit { account: label(account)?, amount: money(amount)? }
        }
        ["withdraw", account, amount] => {
            Operation::Withdraw { account: label(account)?, amount: money(amount)? }
        }
        ["close", account] => Operation::Close { account: label(account)? },
        ["transfer", from, to, amount] => {
            Operation::Transfer { from: label(from)?, to: label(to)?, amount: money(amount)? }
        }
        ["seed"] => Operation::Seed,
        ["flags", account] => Operation::Flags { account: label(account)? },
        ["show"] => Operation::Show,
        ["feed"] => Operation::Feed,
        ["statement", account, of] => {
            Operation::Statement { account: label(account)?, month: month(of)? }
        }
        ["lag"] => Operation::Lag,
        ["rebuild", name] => Operation::Rebuild { name: table(name)? },
        ["drop-read"] => Operation::DropRead,
        ["history", account] => Operation::History { account: label(account)? },
        ["balance", account, when @ ..] => {
            Operation::Balance { account: label(account)?, when: parse_when(when)? }
        }
        ["time", moment] => Operation::Time { moment: time(moment)? },
        [word, ..] => return Err(expected(word)),
    };
    Ok(Some(operation))
}

const USAGE: &[&str] = &[
    "open ACCOUNT \"OWNER\" AMOUNT",
    "deposit ACCOUNT AMOUNT",
    "withdraw ACCOUNT AMOUNT",
    "close ACCOUNT",
    "transfer FROM TO AMOUNT",
    "seed",
    "flags ACCOUNT",
    "show",
    "feed",
    "statement ACCOUNT 2026-03",
    "lag",
    "rebuild accounts|transfers|feed|statements",
    "drop-read",
    "history ACCOUNT",
    "balance ACCOUNT [version N | at TIME]",
    "time 2026-03-01T09:00:00Z",
];

/// Returns an error with the syntax of the operation that begins with `word`.
fn expected(word: &str) -> String {
    match USAGE.iter().find(|usage| usage.split(' ').next() == Some(word)) {
        Some(usage) => format!("expected `{usage}`"),
        None => format!("unknown operation `{}`", shortened(word)),
    }
}

fn parse_when(words: &[&str]) -> Result<When, String> {
    match words {
        [] => Ok(When::Now),
        ["version", number] => number
            .parse()
            .map(When::Version)
            .map_err(|_| format!("`{}` is not a version", shortened(number))),
        ["at", moment] => time(moment).map(When::At),
        _ => Err(expected("balance")),
    }
}

fn label(word: &str) -> Result<Label, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if word.is_empty() || word.len() > 36 || !word.chars().all(plain) {
        let word = shortened(word);
        return Err(format!("account `{word}`: use up to 36 letters, digits, `-` and `_`"));
    }
    let id = Uuid::try_parse(word)
        .unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, word.as_bytes()));
    Ok(Label { name: word.to_owned(), id: AccountId::from(id) })
}

fn month(word: &str) -> Result<Month, String> {
    word.parse().map_err(|error| format!("`{}`: {error}", shortened(word)))
}

fn table(word: &str) -> Result<String, String> {
    if ReadModels::NAMES.contains(&word) { Ok(word.to_owned()) } else { Err(expected("rebuild")) }
}

fn money(word: &str) -> Result<Money, String> {
    word.parse().map_err(|error| format!("amount `{}`: {error}", shortened(word)))
}

fn time(word: &str) -> Result<Timestamp, String> {
    word.parse()
        .map_err(|_| format!("`{}` is not a time such as 2026-03-01T09:00:00Z", shortened(word)))
}

/// Returns a word, shortened and escaped for a message.
fn shortened(word: &str) -> String {
    let mut short: String = word.chars().take(30).collect();
    if short.len() < word.len() {
        short.push('…');
    }
    short.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_parsed() {
        for (line, shown) in [
            ("open alice \"Alice L.\" 100", "Open"),
            ("deposit alice 0.01", "Deposit"),
            ("withdraw alice -5", "Withdraw"),
            ("close alice", "Close"),
            ("seed", "Seed"),
            ("flags alice", "Flags"),
            ("show", "Show"),
            ("feed", "Feed"),
            ("statement alice 2026-03", "Statement"),
            ("lag", "Lag"),
            ("rebuild feed", "Rebuild"),
            ("drop-read", "DropRead"),
            ("history alice", "History"),
            ("balance alice", "Now"),
            ("balance alice version 3", "Version(3)"),
            ("balance alice at 2026-03-01T09:00:00Z", "At"),
            ("time 2026-03-01T09:00:00Z", "Time"),
            ("show # all of them", "Show"),
        ] {
            let operation = format!("{:?}", parse(line).unwrap().unwrap());
            assert!(operation.contains(shown), "{line}: {operation}");
        }
        assert_eq!(parse("   # comment"), Ok(None));
        assert_eq!(parse("\r"), Ok(None));
    }

    #[test]
    fn an_invalid_line_reports_what_is_wrong() {
        for (line, message) in [
            ("deposit alice 10.005", "amount `10.005`: more than two decimals"),
            ("deposit alice ten", "amount `ten`: not an amount such as 125.50"),
            ("deposit alice", "expected `deposit ACCOUNT AMOUNT`"),
            ("deposit a/b 1", "account `a/b`: use up to 36 letters, digits, `-` and `_`"),
            ("steal alice 5", "unknown operation `steal`"),
            ("open alice \"Alice 5", "missing closing quotation mark"),
            ("balance alice version x", "`x` is not a version"),
            ("balance alice then", "expected `balance ACCOUNT [version N | at TIME]`"),
            ("rebuild money", "expected `rebuild accounts|transfers|feed|statements`"),
            ("statement alice 2026-13", "`2026-13`: not a month such as 2026-03"),
            ("time noon", "`noon` is not a time such as 2026-03-01T09:00:00Z"),
        ] {
            assert_eq!(parse(line), Err(message.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_name_is_always_the_same_account_and_a_uuid_is_its_own_id() {
        assert_eq!(label("alice").unwrap().id, label("alice").unwrap().id);
        assert_ne!(label("alice").unwrap().id, label("bob").unwrap().id);
        let uuid = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(label(uuid).unwrap().id.to_string(), uuid);
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics_on_a_line(line in ".{0,200}") {
            let _ = parse(&line);
        }

        #[test]
        fn parsing_never_panics_on_arguments(words in "(open|deposit|balance|time|history) .{0,30} .{0,30}") {
            let _ = parse(&words);
        }
    }
}
