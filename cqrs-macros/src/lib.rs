//! The derives of the `cqrs` crates. They save typing and hide nothing: each expands to the impl
//! that the trait's own documentation shows written by hand.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod aggregate;
mod attributes;
mod command;
mod content;
mod event;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Gives every variant of an enum, or a struct, its stored name and content.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Money(i64);
/// # #[derive(Serialize, Deserialize)] struct TransferId(u64);
/// use cqrs::Event;
///
/// #[derive(Event)]
/// enum AccountEvent {
///     #[event(name = "bank.account-opened")]
///     Opened { owner: String, initial_balance: Money },
///     #[event(name = "bank.money-deposited", version = 2)]
///     Deposited { amount: Money, #[serde(default)] transfer: Option<TransferId> },
///     #[event(name = "bank.account-closed")]
///     Closed,
/// }
///
/// let deposited = AccountEvent::Deposited { amount: Money(250), transfer: None };
/// assert_eq!(deposited.event_type().to_string(), "bank.money-deposited v2");
/// assert_eq!(deposited.encode()?.as_str(), r#"{"amount":250,"transfer":null}"#);
/// assert_eq!(AccountEvent::Closed.encode()?.as_str(), "null");
/// # Ok::<(), cqrs::event::PayloadError>(())
/// ```
///
/// # Attributes of a variant, or of a struct
/// - `#[event(name = "...")]`: the stored name. Needed, for it is part of the data for ever.
/// - `#[event(version = 2)]`: the schema version that is written today; 1 if left out. It goes up
///   together with an upcaster from the version before.
/// - `#[event(transparent)]` on a variant that holds one other event type: the variant stands for
///   all of that type's events. This makes a union over several aggregates:
///
///   ```
///   # use cqrs::Event;
///   # #[derive(Event)] #[event(name = "a")] struct AccountEvent {}
///   # #[derive(Event)] #[event(name = "t")] struct TransferEvent {}
///   #[derive(Event)]
///   enum BankEvent {
///       #[event(transparent)]
///       Account(AccountEvent),
///       #[event(transparent)]
///       Transfer(TransferEvent),
///   }
///   ```
///
/// # Attributes of the type
/// - `#[event(crate = cqrs_core)]`: where the traits are, if not in `::cqrs`.
///
/// # What is stored
/// The content of the variant and never its Rust name: a variant with named fields as an object,
/// one with a single field as that field, one with several as an array, one without as `null`.
/// A variant without fields reads whatever is there.
///
/// `#[serde(..)]` attributes of fields and variants work as they do in serde: `rename`,
/// `rename_all`, `default`, `skip`, `skip_serializing_if`, `with`, `flatten`. The type itself
/// needs no serde derive.
#[proc_macro_derive(Event, attributes(event, serde))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    event::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Addresses a command struct to its aggregate, or gathers the commands of an aggregate.
///
/// ```
/// # use cqrs::{Aggregate, Event};
/// # type AccountId = u64;
/// # type Money = i64;
/// # #[derive(Default)] struct Account;
/// # #[derive(Event)] #[event(name = "e")] struct Happened {}
/// # impl Aggregate for Account {
/// #     const CATEGORY: &'static str = "account";
/// #     type Id = AccountId; type Command = AccountCommand; type Event = Happened; type Error = std::fmt::Error;
/// #     fn execute(&self, _: AccountCommand) -> Result<Vec<Happened>, std::fmt::Error> { Ok(vec![]) }
/// #     fn apply(&mut self, _: &Happened) {}
/// # }
/// # #[derive(Clone, Serialize, Deserialize, Command)]
/// # #[command(aggregate = Account, id = account_id)]
/// # struct OpenAccount { account_id: AccountId }
/// use cqrs::Command;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Serialize, Deserialize, Command)]
/// #[command(aggregate = Account, id = account_id)]
/// struct DepositMoney { account_id: AccountId, amount: Money }
///
/// #[derive(Clone, Serialize, Deserialize, Command)]
/// #[command(aggregate = Account)]
/// enum AccountCommand { Open(OpenAccount), Deposit(DepositMoney) }
///
/// let deposit = DepositMoney { account_id: 7, amount: 250 };
/// assert_eq!(AccountCommand::from(deposit).aggregate_id(), 7);
/// ```
///
/// On a struct: `impl Command`, with the id cloned from the field. On an enum of command structs:
/// `From` for each of them, and `impl Command` that asks the one inside.
///
/// # Attributes
/// - `#[command(aggregate = Account)]`: who decides it.
/// - `#[command(id = account_id)]`: the field that says which one; for structs. An id that is
///   computed calls for an `impl` by hand, which is five lines.
/// - `#[command(crate = cqrs_core)]`: where the traits are, if not in `::cqrs`.
#[proc_macro_derive(Command, attributes(command))]
pub fn derive_command(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    command::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Fills in the associated items of an `impl Aggregate` that its signatures already name.
///
/// ```
/// # use cqrs::{Command, Event};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Clone, Serialize, Deserialize, Command)] #[command(aggregate = Counter, id = counter)]
/// # struct Count { counter: String }
/// # #[derive(Event)] #[event(name = "counter.counted")] struct Counted {}
/// use cqrs::{Aggregate, aggregate};
///
/// #[derive(Default)]
/// struct Counter(u32);
///
/// #[aggregate(category = "counter", id = String)]
/// impl Aggregate for Counter {
///     fn execute(&self, _: Count) -> Result<Vec<Counted>, std::convert::Infallible> {
///         Ok(vec![Counted {}])
///     }
///
///     fn apply(&mut self, _: &Counted) {
///         self.0 += 1;
///     }
/// }
///
/// assert_eq!(Counter::CATEGORY, "counter");
/// assert_eq!(Counter::replay(&[Counted {}, Counted {}]).0, 2);
/// ```
///
/// The impl gets these items, which you can also write by hand instead of using the attribute:
///
/// - `const CATEGORY`, from `category`. An invalid category is a compile error.
/// - `type Id`, from `id`.
/// - `type Command`, `type Event` and `type Error`, from the signature of `execute`, which must be
///   `fn execute(&self, command: Command) -> Result<Vec<Event>, Error>`.
///
/// `crate = cqrs_core` names the crate with the traits if it is not `::cqrs`.
#[proc_macro_attribute]
pub fn aggregate(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut attributes = aggregate::AggregateAttributes::default();
    let parser = syn::meta::parser(|meta| attributes.read(&meta));
    parse_macro_input!(attribute with parser);
    let item = parse_macro_input!(item as syn::ItemImpl);
    aggregate::expand(&attributes, item).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Runs the examples of the README as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
