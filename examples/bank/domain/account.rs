//! An account: opened once, never overdrawn, closed when it is empty.
#![allow(missing_docs, reason = "the names of fields and variants say it all")]

use cqrs_core::{Aggregate, Command, Event, Timestamp};
use serde::{Deserialize, Serialize};

use super::{AccountId, Money, TransferId};

/// The state of an account: what the rules need. No rule needs the owner, so it is not part of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Account {
    #[default]
    Unopened,
    Open {
        balance: Money,
    },
    Closed,
}

/// Every command to an account.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Account)]
pub enum AccountCommand {
    Open(OpenAccount),
    Deposit(DepositMoney),
    Withdraw(WithdrawMoney),
    Close(CloseAccount),
}

/// Opens an account. It can be opened once.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Account, id = account_id)]
pub struct OpenAccount {
    pub account_id: AccountId,
    pub owner: String,
    pub initial_balance: Money,
    pub at: Timestamp,
}

/// Deposits money: directly, from a transfer, or as the refund of a failed transfer (`refund`).
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Account, id = account_id)]
pub struct DepositMoney {
    pub account_id: AccountId,
    pub amount: Money,
    pub transfer_id: Option<TransferId>,
    pub refund: bool,
    pub at: Timestamp,
}

/// Withdraws money, directly or for a transfer. The balance never becomes negative.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Account, id = account_id)]
pub struct WithdrawMoney {
    pub account_id: AccountId,
    pub amount: Money,
    pub transfer_id: Option<TransferId>,
    pub at: Timestamp,
}

/// Closes an empty account for good.
#[derive(Clone, Debug, Serialize, Deserialize, Command)]
#[command(aggregate = Account, id = account_id)]
pub struct CloseAccount {
    pub account_id: AccountId,
    pub at: Timestamp,
}

/// Every event of an account. Golden files pin the stored form.
#[derive(Clone, Debug, PartialEq, Event)]
#[rustfmt::skip] // reads as a table
pub enum AccountEvent {
    #[event(name = "bank.account-opened")]
    AccountOpened { account_id: AccountId, owner: String, initial_balance: Money, opened_at: Timestamp },
    #[event(name = "bank.money-deposited")]
    MoneyDeposited { account_id: AccountId, amount: Money, new_balance: Money,
                     transfer_id: Option<TransferId>, refund: bool, at: Timestamp },
    #[event(name = "bank.money-withdrawn")]
    MoneyWithdrawn { account_id: AccountId, amount: Money, new_balance: Money,
                     transfer_id: Option<TransferId>, at: Timestamp },
    #[event(name = "bank.account-closed")]
    AccountClosed { account_id: AccountId, at: Timestamp },
}

/// Why an account rejected a command. Nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[rustfmt::skip]
pub enum AccountError {
    #[error("an account needs an owner")] BlankOwner,
    #[error("the owner's name has more than {MAX_OWNER_CHARS} characters")] OwnerTooLong,
    #[error("the owner's name contains control characters")] OwnerUnprintable,
    #[error("the initial balance must not be negative")] NegativeInitialBalance,
    #[error("the account already exists")] AlreadyOpened,
    #[error("account not found")] AccountNotFound,
    #[error("the account is closed")] AccountClosed,
    #[error("the amount must be greater than zero")] NonPositiveAmount,
    #[error("the balance would exceed the maximum")] AmountTooLarge,
    #[error("insufficient funds: balance {balance}, requested {requested}")]
    InsufficientFunds { balance: Money, requested: Money },
    #[error("the balance must be zero, but is {balance}")] BalanceLeft { balance: Money },
}

/// The maximum length of an owner's name, in characters.
pub const MAX_OWNER_CHARS: usize = 200;

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = AccountId;
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Error = AccountError;

    fn execute(&self, command: AccountCommand) -> Result<Vec<AccountEvent>, AccountError> {
        use AccountError::{AmountTooLarge, InsufficientFunds};
        use AccountEvent::{AccountClosed, AccountOpened, MoneyDeposited, MoneyWithdrawn};

        Ok(vec![match command {
            AccountCommand::Open(OpenAccount { account_id, owner, initial_balance, at }) => {
                self.check_opening(&owner, initial_balance)?;
                AccountOpened { account_id, owner, initial_balance, opened_at: at }
            }
            AccountCommand::Deposit(c) => {
                let DepositMoney { account_id, amount, transfer_id, refund, at } = c;
                let sum = self.balance()?.checked_add(positive(amount)?);
                let new_balance = sum.ok_or(AmountTooLarge)?;
                MoneyDeposited { account_id, amount, new_balance, transfer_id, refund, at }
            }
            AccountCommand::Withdraw(c) => {
                let WithdrawMoney { account_id, amount, transfer_id, at } = c;
                let (balance, requested) = (self.balance()?, positive(amount)?);
                let left = balance.checked_sub(requested).filter(|left| *left >= Money::ZERO);
                let new_balance = left.ok_or(InsufficientFunds { balance, requested })?;
                MoneyWithdrawn { account_id, amount, new_balance, transfer_id, at }
            }
            AccountCommand::Close(CloseAccount { account_id, at }) => match self.balance()? {
                Money::ZERO => AccountClosed { account_id, at },
                balance => return Err(AccountError::BalanceLeft { balance }),
            },
        }])
    }

    fn apply(&mut self, event: &AccountEvent) {
        *self = match event {
            AccountEvent::AccountOpened { initial_balance: balance, .. }
            | AccountEvent::MoneyDeposited { new_balance: balance, .. }
            | AccountEvent::MoneyWithdrawn { new_balance: balance, .. } => {
                Self::Open { balance: *balance }
            }
            AccountEvent::AccountClosed { .. } => Self::Closed,
        };
    }
}

impl Account {
    /// Returns the balance of an open account.
    ///
    /// # Errors
    /// [`AccountError::AccountNotFound`] before it is opened, [`AccountError::AccountClosed`] after it is
    /// closed.
    pub const fn balance(&self) -> Result<Money, AccountError> {
        match self {
            Self::Unopened => Err(AccountError::AccountNotFound),
            Self::Open { balance } => Ok(*balance),
            Self::Closed => Err(AccountError::AccountClosed),
        }
    }

    fn check_opening(&self, owner: &str, initial_balance: Money) -> Result<(), AccountError> {
        match self {
            Self::Open { .. } | Self::Closed => Err(AccountError::AlreadyOpened),
            _ if owner.trim().is_empty() => Err(AccountError::BlankOwner),
            _ if owner.chars().count() > MAX_OWNER_CHARS => Err(AccountError::OwnerTooLong),
            _ if owner.chars().any(char::is_control) => Err(AccountError::OwnerUnprintable),
            _ if initial_balance < Money::ZERO => Err(AccountError::NegativeInitialBalance),
            Self::Unopened => Ok(()),
        }
    }
}

fn positive(amount: Money) -> Result<Money, AccountError> {
    if amount > Money::ZERO { Ok(amount) } else { Err(AccountError::NonPositiveAmount) }
}
