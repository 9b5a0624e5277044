//! A test of an aggregate.

use cqrs::testing::given;

use crate::aggregate::{Account, AccountCommand, AccountEvent, InsufficientFunds};

#[test]
fn an_account_is_never_overdrawn() {
    given::<Account>([AccountEvent::Deposited { cents: 100 }])
        .when(AccountCommand::Withdraw { account: "alice".into(), cents: 150 })
        .then_error(InsufficientFunds);
}
