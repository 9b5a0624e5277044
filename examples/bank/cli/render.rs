//! Text and tables for a terminal of 80 columns.

use std::collections::HashMap;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use cqrs::{Timestamp, projection::Health};

use super::operation::Label;
use crate::domain::{AccountEvent, AccountId, TransferEvent};
use crate::read::{AccountRow, Entry, FeedEntry, Month, Statement};

/// The maximum width of a line.
const COLUMNS: u16 = 80;

/// A table with a single rule, below the header.
const RULED: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('-').junction('-'));

/// Shortens a text to one line after an indent, without control characters. A non-ASCII character
/// counts as two columns, the most it can take.
pub(super) fn fit(text: &str, indent: usize) -> String {
    let room = usize::from(COLUMNS).saturating_sub(indent);
    let wide = |c: char| if c.is_ascii() { 1 } else { 2 };
    let mut fitting = String::new();
    let mut used = 0;
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        // Leaves three columns for the dots.
        if used + wide(c) > room.saturating_sub(3) && text.chars().map(wide).sum::<usize>() > room {
            fitting.push_str("...");
            break;
        }
        fitting.push(c);
        used += wide(c);
    }
    fitting
}

/// Wraps a sentence between words; continuation lines are indented.
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

/// Describes an event of an account.
pub(super) fn event(event: &AccountEvent) -> String {
    match event {
        AccountEvent::AccountOpened { initial_balance, .. } => format!("balance {initial_balance}"),
        AccountEvent::MoneyDeposited { amount, new_balance, .. } => {
            format!("+{amount}, balance {new_balance}")
        }
        AccountEvent::MoneyWithdrawn { amount, new_balance, .. } => {
            format!("-{amount}, balance {new_balance}")
        }
        AccountEvent::AccountClosed { .. } => "permanently".to_owned(),
    }
}

/// Lists accounts under the names that the story uses.
pub(super) fn accounts(rows: &[AccountRow], names: &HashMap<AccountId, String>) -> Table {
    let mut shown = table(["account", "owner", "balance", "opened at"], [2]);
    for row in rows {
        let name = names.get(&row.id).cloned().unwrap_or_else(|| row.id.to_string());
        let balance = if row.closed { "closed".to_owned() } else { row.balance.to_string() };
        shown.add_row([name, fit(&row.owner, 50), balance, to_the_second(row.opened_at)]);
    }
    shown
}

/// Describes an event of a transfer.
pub(super) fn transfer(event: &TransferEvent) -> String {
    match event {
        TransferEvent::TransferStarted { amount, .. } => format!("{amount} to transfer"),
        TransferEvent::TransferDebited { amount, .. } => format!("{amount} debited"),
        TransferEvent::TransferCredited { amount, .. } => format!("{amount} credited"),
        TransferEvent::TransferFailed { reason, refunded: true, .. } => {
            format!("{reason}; refunded")
        }
        TransferEvent::TransferFailed { reason, .. } => reason.to_string(),
    }
}

/// Lists events of one account.
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

/// Lists the newest events of the bank.
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

/// Describes a month of an account.
pub(super) fn statement(account: &Label, month: Month, statement: Option<Statement>) -> String {
    let name = &account.name;
    let Some(Statement { opening, paid_in, paid_out, closing, entries, .. }) = statement else {
        return wrapped(&format!("  {name}, {month}: no entries"));
    };
    wrapped(&format!(
        "  {name}, {month}: {opening} + {paid_in} - {paid_out} = {closing} ({entries} entries)"
    ))
}

/// Lists the read models with their state and lag.
pub(super) fn lag(health: &[Health]) -> Table {
    let mut shown = table(["table", "state", "position", "lag"], [2, 3]);
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

/// Drops the fraction of a second, which would not fit into a table.
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
