//! One line of a story: what it asks for. Parsing is pure and refuses nothing silently.

use cqrs::{Timestamp, event::Uuid};

use super::words;
use crate::domain::{AccountId, Money};
use crate::read::{Month, ReadSide};

/// What the lines of a story look like.
pub(super) const HELP: &str = r#"Operations, one a line; `#` starts a remark:
  open ACCOUNT "OWNER" AMOUNT      deposit ACCOUNT AMOUNT
  close ACCOUNT                    withdraw ACCOUNT AMOUNT
  transfer FROM TO AMOUNT          money on its way, and what came of it
  seed                             Alice with 100.00 and Bob with 50.00, once
  flags ACCOUNT                    its withdrawals that are looked into
  show                             all accounts
  history ACCOUNT                  its last 20 events, newest first
  feed                             the last 10 events of the bank
  statement ACCOUNT 2026-03        what came and went in a month
  lag                              how far the tables are behind the log
  rebuild accounts|transfers|...   builds a table anew beside the old one
  drop-read                        drops all tables; they come back from the log
  balance ACCOUNT                  as it is now
  balance ACCOUNT version N        as it was after its Nth event
  balance ACCOUNT at TIME          as it was at 2026-03-01T09:00:00Z
  time TIME                        what time it is from here on
ACCOUNT is a word of letters, digits, `-` and `_`, or a UUID.

Exit code: 0 when every line was carried out, also when the bank refused;
1 when a line was not understood or broke down; 2 when there is no story."#;

/// An account as a story calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// What it is called.
    pub name: String,
    /// Which one that is. The same word is the same account in every run.
    pub id: AccountId,
}

/// What one line asks for.
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

/// Which balance is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum When {
    Now,
    Version(u64),
    At(Timestamp),
}

/// Reads one line; `None` when there is nothing on it.
///
/// # Errors
/// What is wrong with it, for the person who wrote it.
pub fn parse(line: &str) -> Result<Option<Operation>, String> {
    let words = words::split(line)?;
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

/// What would have been right after this first word.
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
    if ReadSide::NAMES.contains(&word) { Ok(word.to_owned()) } else { Err(expected("rebuild")) }
}

fn money(word: &str) -> Result<Money, String> {
    word.parse().map_err(|error| format!("amount `{}`: {error}", shortened(word)))
}

fn time(word: &str) -> Result<Timestamp, String> {
    word.parse()
        .map_err(|_| format!("`{}` is not a time such as 2026-03-01T09:00:00Z", shortened(word)))
}

/// A word short enough to be repeated in a message.
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
    fn every_operation_is_understood() {
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
        assert_eq!(parse("   # remark"), Ok(None));
        assert_eq!(parse("\r"), Ok(None));
    }

    #[test]
    fn bank_b09_b11_what_is_wrong_is_said_in_full() {
        for (line, said) in [
            ("deposit alice 10.005", "amount `10.005`: more than two decimals"),
            ("deposit alice ten", "amount `ten`: not an amount such as 125.50"),
            ("deposit alice", "expected `deposit ACCOUNT AMOUNT`"),
            ("deposit a/b 1", "account `a/b`: use up to 36 letters, digits, `-` and `_`"),
            ("steal alice 5", "unknown operation `steal`"),
            ("open alice \"Alice 5", "a quotation does not end"),
            ("balance alice version x", "`x` is not a version"),
            ("balance alice then", "expected `balance ACCOUNT [version N | at TIME]`"),
            ("rebuild money", "expected `rebuild accounts|transfers|feed|statements`"),
            ("statement alice 2026-13", "`2026-13`: not a month such as 2026-03"),
            ("time noon", "`noon` is not a time such as 2026-03-01T09:00:00Z"),
        ] {
            assert_eq!(parse(line), Err(said.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_label_is_the_same_account_every_time_and_a_uuid_is_itself() {
        assert_eq!(label("alice").unwrap().id, label("alice").unwrap().id);
        assert_ne!(label("alice").unwrap().id, label("bob").unwrap().id);
        let uuid = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(label(uuid).unwrap().id.to_string(), uuid);
    }

    proptest::proptest! {
        #[test]
        fn no_line_does_harm(line in ".{0,200}") {
            let _ = parse(&line);
        }

        #[test]
        fn no_words_do_harm(words in "(open|deposit|balance|time|history) .{0,30} .{0,30}") {
            let _ = parse(&words);
        }
    }
}
