//! How things look on a terminal of 80 columns.

use std::collections::HashMap;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use crate::domain::{AccountEvent, AccountId};
use crate::read::{AccountRow, Entry};

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
        shown.add_row([name, fit(&row.owner, 50), balance, row.opened_at.to_string()]);
    }
    shown
}

/// Events of one account.
pub(super) fn history(entries: &[Entry]) -> Table {
    let mut shown = table(["version", "event", "at", "change", "balance"], [0, 3, 4]);
    for entry in entries {
        shown.add_row([
            entry.version.to_string(),
            entry.name.to_owned(),
            entry.at.to_string(),
            entry.change.to_string(),
            entry.balance.to_string(),
        ]);
    }
    shown
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
