//! Initial accounts for experiments.

use cqrs::{App, Outcome, Timestamp, app::DispatchError, event::Uuid};

use crate::domain::account::{DepositMoney, OpenAccount};
use crate::domain::{Account, AccountError, AccountId, Money};

/// 1 January 2026. Constant, so that the commands are the same in every run.
const AT: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// Opens accounts for Alice with 100.00 and Bob with 50.00.
///
/// It can be called again, even after a call that was interrupted: commands that were accepted before
/// are recognized by their ids.
///
/// # Errors
/// Those of a dispatch. A command is rejected if an account was opened in another way.
pub async fn seed(app: &App) -> Result<Vec<Outcome<Account>>, DispatchError<AccountError>> {
    let mut outcomes = Vec::new();
    for (name, owner, cents) in [("alice", "Alice", 10_000), ("bob", "Bob", 5_000)] {
        let account_id = named(name);
        let id = |step: &str| Uuid::new_v5(&account_id.as_uuid(), step.as_bytes());
        let (owner, initial_balance) = (owner.to_owned(), Money::ZERO);
        let open = OpenAccount { account_id, owner, initial_balance, at: AT };
        outcomes.push(app.dispatch(open).command_id(id("open")).await?);
        let (amount, transfer_id, refund) = (Money::cents(cents), None, false);
        let deposit = DepositMoney { account_id, amount, transfer_id, refund, at: AT };
        outcomes.push(app.dispatch(deposit).command_id(id("deposit")).await?);
    }
    Ok(outcomes)
}

/// Returns the id of the account with this name in stories.
#[must_use]
pub fn named(name: &str) -> AccountId {
    AccountId::from(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()))
}
