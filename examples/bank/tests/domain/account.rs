use bank::domain::account::{
    CloseAccount, DepositMoney, MAX_OWNER_CHARS, OpenAccount, WithdrawMoney,
};
use bank::domain::{Account, AccountError, AccountEvent, AccountId, Money};
use cqrs_testing::{Given, given, given_nothing};

use crate::{A, account, eur, noon, transfer};

fn open(owner: &str, initial_balance: &str) -> OpenAccount {
    let initial_balance = eur(initial_balance);
    OpenAccount { account_id: account(A), owner: owner.to_owned(), initial_balance, at: noon() }
}

fn deposit(amount: &str) -> DepositMoney {
    let (account_id, amount) = (account(A), eur(amount));
    DepositMoney { account_id, amount, transfer_id: None, refund: false, at: noon() }
}

fn withdraw(amount: &str) -> WithdrawMoney {
    WithdrawMoney { account_id: account(A), amount: eur(amount), transfer_id: None, at: noon() }
}

fn close() -> CloseAccount {
    CloseAccount { account_id: account(A), at: noon() }
}

fn opened(owner: &str, initial_balance: &str) -> AccountEvent {
    let (account_id, owner, initial_balance) = (account(A), owner.to_owned(), eur(initial_balance));
    AccountEvent::AccountOpened { account_id, owner, initial_balance, opened_at: noon() }
}

fn deposited(amount: &str, new_balance: &str) -> AccountEvent {
    AccountEvent::MoneyDeposited {
        account_id: account(A),
        amount: eur(amount),
        new_balance: eur(new_balance),
        transfer_id: None,
        refund: false,
        at: noon(),
    }
}

fn withdrawn(amount: &str, new_balance: &str) -> AccountEvent {
    AccountEvent::MoneyWithdrawn {
        account_id: account(A),
        amount: eur(amount),
        new_balance: eur(new_balance),
        transfer_id: None,
        at: noon(),
    }
}

fn closed() -> AccountEvent {
    AccountEvent::AccountClosed { account_id: account(A), at: noon() }
}

/// Returns Alice's account with a balance.
fn alice_with(balance: &str) -> Given<Account> {
    given([opened("Alice", balance)])
}

#[test]
fn an_account_opens_with_its_initial_balance() {
    given_nothing::<Account>()
        .when(open("Alice", "100.00"))
        .then([opened("Alice", "100.00")])
        .then_state(|account| assert_eq!(account.balance(), Ok(eur("100.00"))));
}

#[test]
fn the_initial_balance_may_be_zero() {
    given_nothing::<Account>().when(open("Alice", "0.00")).then([opened("Alice", "0.00")]);
}

#[test]
fn the_initial_balance_must_not_be_negative() {
    given_nothing::<Account>()
        .when(open("Alice", "-0.01"))
        .then_error(AccountError::NegativeInitialBalance)
        .then_state(|account| assert_eq!(*account, Account::Unopened));
}

#[test]
fn an_account_opens_once() {
    alice_with("100.00").when(open("Mallory", "5.00")).then_error(AccountError::AlreadyOpened);
    given::<Account>([opened("Alice", "0.00"), closed()])
        .when(open("Alice", "5.00"))
        .then_error(AccountError::AlreadyOpened);
}

#[test]
fn the_name_of_an_owner_must_be_printable() {
    let rejected = |owner: &str, error| {
        given_nothing::<Account>().when(open(owner, "1.00")).then_error(error);
    };
    rejected("", AccountError::BlankOwner);
    rejected("   ", AccountError::BlankOwner);
    rejected(&"a".repeat(300), AccountError::OwnerTooLong);
    rejected("Alice\n", AccountError::OwnerUnprintable);
    rejected("\u{1b}[2J", AccountError::OwnerUnprintable);
    // The limit is in characters, not bytes.
    let longest = "ä".repeat(MAX_OWNER_CHARS);
    given_nothing::<Account>().when(open(&longest, "1.00")).then([opened(&longest, "1.00")]);
}

#[test]
fn a_deposit_records_the_new_balance() {
    alice_with("100.00").when(deposit("25.50")).then([deposited("25.50", "125.50")]);
}

#[test]
fn amounts_must_be_greater_than_zero() {
    for amount in ["0.00", "-5.00"] {
        alice_with("100.00").when(deposit(amount)).then_error(AccountError::NonPositiveAmount);
        alice_with("100.00").when(withdraw(amount)).then_error(AccountError::NonPositiveAmount);
    }
    let mut least = withdraw("1.00");
    least.amount = Money::cents(i64::MIN);
    alice_with("100.00").when(least).then_error(AccountError::NonPositiveAmount);
}

#[test]
fn an_unopened_account_is_not_found() {
    let unopened = || given_nothing::<Account>();
    unopened().when(deposit("1.00")).then_error(AccountError::AccountNotFound);
    unopened().when(withdraw("1.00")).then_error(AccountError::AccountNotFound);
    unopened().when(close()).then_error(AccountError::AccountNotFound);
}

#[test]
fn a_malformed_id_is_a_typed_error() {
    for text in ["", "alice", "0198f6a4-7c1e-7d3a-9a64", "'; drop table accounts"] {
        let error = text.parse::<AccountId>().unwrap_err();
        assert!(error.to_string().contains("is not a UUID"), "{error}");
    }
    assert_eq!(account(A).to_string().parse(), Ok(account(A)));
}

#[test]
fn the_whole_balance_can_be_withdrawn() {
    alice_with("100.00").when(withdraw("100.00")).then([withdrawn("100.00", "0.00")]);
}

#[test]
fn more_than_the_balance_cannot_be_withdrawn() {
    let (balance, requested) = (eur("100.00"), eur("100.01"));
    alice_with("100.00")
        .when(withdraw("100.01"))
        .then_error(AccountError::InsufficientFunds { balance, requested })
        .then_state(|account| assert_eq!(account.balance(), Ok(eur("100.00"))));
}

#[test]
fn an_empty_account_can_be_closed_permanently() {
    let balance = eur("10.00");
    alice_with("10.00").when(close()).then_error(AccountError::BalanceLeft { balance });
    alice_with("0.00").when(close()).then([closed()]);
    let gone = || given::<Account>([opened("Alice", "0.00"), closed()]);
    gone().when(deposit("1.00")).then_error(AccountError::AccountClosed);
    gone().when(withdraw("1.00")).then_error(AccountError::AccountClosed);
    gone().when(close()).then_error(AccountError::AccountClosed);
}

#[test]
fn a_balance_above_the_maximum_is_rejected() {
    let almost = Money::MAX.checked_sub(Money::cents(1)).unwrap().to_string();
    let max = Money::MAX.to_string();
    alice_with(&almost).when(deposit("0.01")).then([deposited("0.01", &max)]);
    alice_with(&almost).when(deposit("0.02")).then_error(AccountError::AmountTooLarge);
    alice_with("0.00").when(deposit(&max)).then([deposited(&max, &max)]);
    alice_with(&max).when(withdraw(&max)).then([withdrawn(&max, "0.00")]);
}

#[test]
fn deposits_record_the_transfer_and_the_refund() {
    let mut back = deposit("30.00");
    (back.transfer_id, back.refund) = (Some(transfer()), true);
    let expected = AccountEvent::MoneyDeposited {
        account_id: account(A),
        amount: eur("30.00"),
        new_balance: eur("100.00"),
        transfer_id: Some(transfer()),
        refund: true,
        at: noon(),
    };
    alice_with("70.00").when(back).then([expected]);
}
