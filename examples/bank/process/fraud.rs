//! Flagging unusually large withdrawals.

use cqrs::{
    EventHandler, Recorded,
    process::{HandlerContext, HandlerError},
};

use crate::domain::suspicion::FlagWithdrawal;
use crate::domain::{AccountEvent, Money};

/// Flags withdrawals above a limit.
#[derive(Clone, Copy, Debug)]
pub struct FlagLargeWithdrawals {
    limit: Money,
}

impl FlagLargeWithdrawals {
    /// Flags withdrawals of more than `limit`.
    #[must_use]
    pub const fn above(limit: Money) -> Self {
        Self { limit }
    }
}

impl Default for FlagLargeWithdrawals {
    /// Flags withdrawals of more than 10,000.00.
    fn default() -> Self {
        Self::above(Money::cents(1_000_000))
    }
}

impl EventHandler for FlagLargeWithdrawals {
    type Event = AccountEvent;
    const NAME: &'static str = "flag_large_withdrawals";

    async fn handle(
        &self,
        event: &Recorded<AccountEvent>,
        context: &mut HandlerContext<'_>,
    ) -> Result<(), HandlerError> {
        match event.event {
            AccountEvent::MoneyWithdrawn { account_id, amount, at, .. } if amount > self.limit => {
                context.dispatch(FlagWithdrawal { account_id, amount, at }).await?;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
