//! All accounts, folded from the log.

use std::collections::HashMap;

use cqrs::{Event, EventStore, EventStoreExt, Filter, LogRead, ReadError, Timestamp};
use futures_util::TryStreamExt;

use crate::domain::{AccountEvent, AccountId, Money};

/// One account as people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Which account.
    pub id: AccountId,
    /// Whose it is.
    pub owner: String,
    /// What is on it.
    pub balance: Money,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Whether it has been closed since.
    pub closed: bool,
}

/// All accounts, the oldest first. Reads every event of every account.
///
/// # Errors
/// [`ReadError`]; its `retry` says whether asking again can help.
pub async fn accounts(store: &dyn EventStore) -> Result<Vec<AccountRow>, ReadError> {
    let read = LogRead::forward().filter(Filter::types(AccountEvent::TYPES));
    let mut events = store.log_events_as::<AccountEvent>(read);
    let mut rows = Vec::new();
    let mut places = HashMap::new();
    while let Some(recorded) = events.try_next().await? {
        match recorded.event {
            AccountEvent::AccountOpened { account_id: id, owner, initial_balance, opened_at } => {
                places.insert(id, rows.len());
                let balance = initial_balance;
                rows.push(AccountRow { id, owner, balance, opened_at, closed: false });
            }
            AccountEvent::MoneyDeposited { account_id, new_balance, .. }
            | AccountEvent::MoneyWithdrawn { account_id, new_balance, .. } => {
                if let Some(row) = places.get(&account_id).and_then(|place| rows.get_mut(*place)) {
                    row.balance = new_balance;
                }
            }
            AccountEvent::AccountClosed { account_id, .. } => {
                if let Some(row) = places.get(&account_id).and_then(|place| rows.get_mut(*place)) {
                    row.closed = true;
                }
            }
        }
    }
    Ok(rows)
}
