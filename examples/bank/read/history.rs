//! The recent history of one account, read from its stream.

use cqrs::{
    Aggregate, Event, EventStore, EventStoreExt, Recorded, StreamName, Timestamp, Version,
    store::{Read, ReadError},
};

use crate::domain::{Account, AccountEvent, AccountId, Money, TransferId};

/// The number of events in a history.
pub const RECENT: u64 = 20;

/// One event of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its version in the stream of the account, from 1.
    pub version: Version,
    /// Its stored name.
    pub name: &'static str,
    /// When it happened.
    pub at: Timestamp,
    /// The change of the balance; negative for a withdrawal.
    pub change: Money,
    /// The balance afterwards.
    pub balance: Money,
    /// The transfer it belongs to, if any.
    pub transfer_id: Option<TransferId>,
}

/// Returns up to `limit` events of an account, the newest first, or none if it was never opened.
///
/// # Errors
/// Returns a [`ReadError`] if the events cannot be read.
pub async fn history(
    store: &dyn EventStore,
    account: AccountId,
    limit: u64,
) -> Result<Vec<Entry>, ReadError> {
    // An id that cannot name a stream has no history.
    let Ok(stream) = StreamName::of(Account::CATEGORY, &account) else { return Ok(Vec::new()) };
    let newest = Read::stream(stream).backward().limit(limit);
    let events = store.read_as(newest).await?.collect().await?;
    Ok(events.iter().map(entry).collect())
}

fn entry(recorded: &Recorded<AccountEvent>) -> Entry {
    let name = recorded.event.event_type().name();
    let (at, change, balance, transfer_id) = match &recorded.event {
        AccountEvent::AccountOpened { initial_balance, opened_at, .. } => {
            (*opened_at, *initial_balance, *initial_balance, None)
        }
        AccountEvent::MoneyDeposited { amount, new_balance, transfer_id, at, .. } => {
            (*at, *amount, *new_balance, *transfer_id)
        }
        AccountEvent::MoneyWithdrawn { amount, new_balance, transfer_id, at, .. } => {
            (*at, amount.negated(), *new_balance, *transfer_id)
        }
        AccountEvent::AccountClosed { at, .. } => (*at, Money::ZERO, Money::ZERO, None),
    };
    Entry { version: recorded.version, name, at, change, balance, transfer_id }
}
