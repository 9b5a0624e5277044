//! How things look on a terminal of 80 columns.

use std::collections::HashMap;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use cqrs::{Timestamp, projection::Health};

use super::operation::Label;
use crate::domain::{AccountEvent, AccountId, TransferEvent};
use crate::read::{AccountRow, Entry, FeedEntry, Month, Statement};

/// No line is wider.
const COLUMNS: u16 = 80;

/// One rule, below the header.
const RULED: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('-').junction('-'));

/// A line that fits behind an indent, without what could move the cursor. Characters beyond ASCII
/// count as two columns, the most that one can take.
pub(super) fn fit(text: &str, indent: usize) -> String {
    let room = usize::from(COLUMNS).saturating_sub(indent);
    let wide = |c: char| if c.is_ascii() { 1 } else { 2 };
    let mut fitting = String::new();
    let mut used = 0;
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        // Three columns stay free for the dots.
        if used + wide(c) > room.saturating_sub(3) && text.chars().map(wide).sum::<usize>() > room {
            fitting.push_str("...");
            break;
        }
        fitting.push(c);
        used += wide(c);
    }
    fitting
}

/// A sentence over as many lines as it needs, broken between words; later lines are indented.
pub(super) fn wrapped(sentence: &str) -> String {
    let mut lines = String::new();
    let mut used = 0;
    for word in sentence.split_inclusive(' ') {
        if used > 0 && used + word.trim_end().len() > usize::from(COLUMNS) {
            lines.truncate(lines.trim_end().len());
            lines.push_str("\n      ");
            used = 6;
        }
        lines.push_str(word);
        used += word.len();
    }
    lines
}

/// What happened, in half a line.
pub(super) fn event(event: &AccountEvent) -> String {
    match event {
        AccountEvent::AccountOpened { initial_balance, .. } => format!("balance {initial_balance}"),
        AccountEvent::MoneyDeposited { amount, new_balance, .. } => {
            format!("+{amount}, balance {new_balance}")
        }
        AccountEvent::MoneyWithdrawn { amount, new_balance, .. } => {
            format!("-{amount}, balance {new_balance}")
        }
        AccountEvent::AccountClosed { .. } => "for good".to_owned(),
    }
}

/// The accounts under the names that the story gave them.
pub(super) fn accounts(rows: &[AccountRow], names: &HashMap<AccountId, String>) -> Table {
    let mut shown = table(["account", "owner", "balance", "opened at"], [2]);
    for row in rows {
        let name = names.get(&row.id).cloned().unwrap_or_else(|| row.id.to_string());
        let balance = if row.closed { "closed".to_owned() } else { row.balance.to_string() };
        shown.add_row([name, fit(&row.owner, 50), balance, to_the_second(row.opened_at)]);
    }
    shown
}

/// What an event of a transfer says.
pub(super) fn transfer(event: &TransferEvent) -> String {
    match event {
        TransferEvent::TransferStarted { amount, .. } => format!("{amount} are to move"),
        TransferEvent::TransferDebited { amount, .. } => format!("{amount} are on their way"),
        TransferEvent::TransferCredited { amount, .. } => format!("{amount} have arrived"),
        TransferEvent::TransferFailed { reason, refunded: true, .. } => {
            format!("{reason}, paid back")
        }
        TransferEvent::TransferFailed { reason, .. } => reason.to_string(),
    }
}

/// Events of one account.
pub(super) fn history(entries: &[Entry]) -> Table {
    let mut shown = table(["version", "event", "at", "change", "balance"], [0, 3, 4]);
    for entry in entries {
        shown.add_row([
            entry.version.to_string(),
            entry.name.to_owned(),
            to_the_second(entry.at),
            entry.change.to_string(),
            entry.balance.to_string(),
        ]);
    }
    shown
}

/// The newest events of the bank.
pub(super) fn feed(entries: &[FeedEntry]) -> Table {
    let mut shown = table(["position", "event", "at", "amount"], [0, 3]);
    for entry in entries {
        shown.add_row([
            entry.position.to_string(),
            entry.name.clone(),
            to_the_second(entry.at),
            entry.amount.map(|amount| amount.to_string()).unwrap_or_default(),
        ]);
    }
    shown
}

/// A month of an account.
pub(super) fn statement(account: &Label, month: Month, statement: Option<Statement>) -> String {
    let name = &account.name;
    let Some(Statement { opening, paid_in, paid_out, closing, entries, .. }) = statement else {
        return wrapped(&format!("  {name}, {month}: no entries"));
    };
    wrapped(&format!(
        "  {name}, {month}: {opening} + {paid_in} - {paid_out} = {closing}, {entries} entries"
    ))
}

/// How the tables are doing.
pub(super) fn lag(health: &[Health]) -> Table {
    let mut shown = table(["table", "state", "position", "behind"], [2, 3]);
    for health in health {
        shown.add_row([
            health.name.to_string(),
            format!("{:?}", health.state).to_lowercase(),
            health.position.to_string(),
            health.lag.to_string(),
        ]);
    }
    shown
}

/// Fractions would cost a table its columns.
fn to_the_second(moment: Timestamp) -> String {
    let micros = moment.as_micros();
    Timestamp::from_micros(micros - micros.rem_euclid(1_000_000)).to_string()
}

fn table<const N: usize, const R: usize>(header: [&str; N], right: [usize; R]) -> Table {
    let mut table = Table::new();
    table
        .load_style(RULED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(COLUMNS)
        .set_header(header);
    for column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
