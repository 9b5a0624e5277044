//! The derives of the `cqrs` crates.
//!
//! | macro | what it generates |
//! |---|---|
//! | [`derive(Command)`](macro@Command) | `impl Command` for an enum or struct of commands |
//! | [`derive(Event)`](macro@Event) | `impl Event`: the stored name, version and content of each variant |
//! | [`derive(Id)`](macro@Id) | everything that the id of an aggregate needs |
//! | [`derive(ReadModel)`](macro@ReadModel) | `impl ReadModel`: the name, version, event and key |
//! | [`#[aggregate]`](macro@aggregate) | the associated items of an `impl Aggregate` |
//!
//! Use them through the crate `cqrs`, which re-exports them at its root. Each expands to code that
//! you can also write by hand; the documentation of the trait shows how.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod aggregate;
mod attributes;
mod command;
mod content;
mod event;
mod fields;
mod id;
mod read_model;
mod suggestion;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `Event` for an enum of events or a single struct.
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
/// # Attributes of a variant or a struct
///
/// - `#[event(name = "bank.account-opened")]` (required): the stored name, of 1 to 255 bytes. It is
///   part of the stored data, so never change it. Two variants cannot have the same name.
/// - `#[event(version = 2)]`: the schema version of new events. Default: 1. When you increment it,
///   add an upcaster from the previous version.
/// - `#[event(transparent)]` on a variant that holds one other event type: the variant holds any
///   event of that type. Use it for an enum with the events of several aggregates:
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
///
/// - `#[event(crate = cqrs_core)]`: the crate that contains the traits. Default: `::cqrs`.
///
/// # What is stored
///
/// The content of the variant as JSON, without its Rust name:
///
/// | variant | stored content |
/// |---|---|
/// | `Opened { owner: String }` | `{"owner":"Alice"}` |
/// | `Deposited(Money)` | `250`, the field itself |
/// | `Moved(Money, String)` | `[250,"rent"]` |
/// | `Closed` | `null`; accepts any content when read |
///
/// `#[serde(..)]` attributes of fields and variants work as they do in serde: `rename`,
/// `rename_all`, `default`, `skip`, `skip_serializing_if`, `with`, `flatten`. The type itself does
/// not need to derive serde's traits.
#[proc_macro_derive(Event, attributes(event, serde))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    event::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Implements `Command` for the commands of an aggregate.
///
/// # An enum whose variants have fields
///
/// Every variant has a field of the same name that holds the aggregate's id:
///
/// ```
/// # use cqrs::{Aggregate, Event};
/// # type AccountId = String;
/// # #[derive(Default)] struct Account;
/// # #[derive(Event)] #[event(name = "e")] struct Happened {}
/// # impl Aggregate for Account {
/// #     const CATEGORY: &'static str = "account";
/// #     type Id = AccountId; type Command = AccountCommand; type Event = Happened; type Error = std::fmt::Error;
/// #     fn execute(&self, _: AccountCommand) -> Result<Vec<Happened>, std::fmt::Error> { Ok(vec![]) }
/// #     fn apply(&mut self, _: &Happened) {}
/// # }
/// use cqrs::Command;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Serialize, Deserialize, Command)]
/// #[command(aggregate = Account, id = account)]
/// enum AccountCommand {
///     Open { account: AccountId, owner: String },
///     Withdraw { account: AccountId, cents: i64 },
/// }
///
/// let withdraw = AccountCommand::Withdraw { account: "alice".into(), cents: 250 };
/// assert_eq!(withdraw.aggregate_id(), "alice");
/// ```
///
/// The derive generates:
///
/// ```
/// # use cqrs::{Aggregate, Command, Event};
/// # type AccountId = String;
/// # #[derive(Default)] struct Account;
/// # #[derive(Event)] #[event(name = "e")] struct Happened {}
/// # impl Aggregate for Account {
/// #     const CATEGORY: &'static str = "account";
/// #     type Id = AccountId; type Command = AccountCommand; type Event = Happened; type Error = std::fmt::Error;
/// #     fn execute(&self, _: AccountCommand) -> Result<Vec<Happened>, std::fmt::Error> { Ok(vec![]) }
/// #     fn apply(&mut self, _: &Happened) {}
/// # }
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// # enum AccountCommand { Open { account: AccountId, owner: String }, Withdraw { account: AccountId, cents: i64 } }
/// impl Command for AccountCommand {
///     type Aggregate = Account;
///
///     fn aggregate_id(&self) -> AccountId {
///         match self {
///             Self::Open { account, .. } => account.clone(),
///             Self::Withdraw { account, .. } => account.clone(),
///         }
///     }
/// }
/// ```
///
/// # Structs, and an enum that holds them
///
/// Use a struct for each command in code that dispatches or passes on commands by their type:
///
/// ```
/// # use cqrs::{Aggregate, Event};
/// # type AccountId = u64;
/// # #[derive(Default)] struct Account;
/// # #[derive(Event)] #[event(name = "e")] struct Happened {}
/// # impl Aggregate for Account {
/// #     const CATEGORY: &'static str = "account";
/// #     type Id = AccountId; type Command = AccountCommand; type Event = Happened; type Error = std::fmt::Error;
/// #     fn execute(&self, _: AccountCommand) -> Result<Vec<Happened>, std::fmt::Error> { Ok(vec![]) }
/// #     fn apply(&mut self, _: &Happened) {}
/// # }
/// use cqrs::Command;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Serialize, Deserialize, Command)]
/// #[command(aggregate = Account, id = account)]
/// struct Open { account: AccountId, owner: String }
///
/// #[derive(Clone, Serialize, Deserialize, Command)]
/// #[command(aggregate = Account, id = account)]
/// struct Withdraw { account: AccountId, cents: i64 }
///
/// #[derive(Clone, Serialize, Deserialize, Command)]
/// #[command(aggregate = Account)]
/// enum AccountCommand { Open(Open), Withdraw(Withdraw) }
///
/// let withdraw = Withdraw { account: 7, cents: 250 };
/// assert_eq!(withdraw.aggregate_id(), 7);
/// assert_eq!(AccountCommand::from(withdraw).aggregate_id(), 7);
/// ```
///
/// On a struct, the derive generates `impl Command`, with `aggregate_id` cloned from the field. On
/// the enum, it also generates `impl From<Open> for AccountCommand` for every struct. One enum may
/// have variants of both kinds.
///
/// # Attributes of the type
///
/// - `#[command(aggregate = Account)]` (required): the aggregate that executes the command. A
///   compile error reports an aggregate whose `CATEGORY` is invalid.
/// - `#[command(id = account)]`: the field that holds the aggregate's id. Required for structs and
///   for enums with named fields. Implement `Command` by hand for an id that is computed.
/// - `#[command(crate = cqrs_core)]`: the crate that contains the traits. Default: `::cqrs`.
#[proc_macro_derive(Command, attributes(command))]
pub fn derive_command(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    command::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Implements everything that the id of an aggregate needs, for a newtype of `String` or `Uuid`.
///
/// # Text
///
/// ```
/// use cqrs::{Id, event::InvalidName};
///
/// #[derive(Id)]
/// struct AccountId(String);
///
/// let alice = AccountId::new("alice")?;
/// assert_eq!(alice.to_string(), "alice");
/// assert_eq!(alice, "alice".parse()?);
/// assert_eq!(AccountId::new("").unwrap_err().to_string(), "AccountId is empty");
/// # Ok::<(), InvalidName>(())
/// ```
///
/// `new` returns an error if the text cannot be part of a stream name: if it is empty, longer than
/// 1,792 bytes, or contains NUL. Deserializing an id applies the same checks.
///
/// - `AccountId::new(impl Into<String>) -> Result<AccountId, InvalidName>`, `as_str`
/// - `FromStr`, `TryFrom<&str>`, `TryFrom<String>`
/// - `AsRef<str>`, `Borrow<str>`, `From<AccountId> for String`
///
/// # UUID
///
/// ```
/// use cqrs::{Id, event::Uuid};
///
/// #[derive(Id)]
/// struct TransferId(Uuid);
///
/// let transfer = TransferId::random();
/// assert_eq!(transfer, transfer.to_string().parse()?);
/// assert_eq!(TransferId::new(Uuid::nil()).as_uuid(), Uuid::nil());
/// # Ok::<(), cqrs::event::InvalidName>(())
/// ```
///
/// - `TransferId::new(Uuid)`, `as_uuid`, and `random`, which returns a new UUIDv7
/// - `Copy`, `FromStr`, `From<Uuid>`, `From<TransferId> for Uuid`
///
/// # Both
///
/// - `Display`, which is the part of the stream name after the category
/// - `Clone`, `Debug`, `Eq`, `Ord`, `Hash`: do not derive these again
/// - serde's `Serialize` and `Deserialize`, as the text or UUID itself
///
/// # Attributes of the type
///
/// - `#[id(crate = cqrs_core)]`: the crate that contains the traits. Default: `::cqrs`.
#[proc_macro_derive(Id, attributes(id))]
pub fn derive_id(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    id::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Implements `ReadModel` for a projector.
///
/// ```
/// # use cqrs::Event;
/// # #[derive(Event)] #[event(name = "bank.money-deposited")] struct AccountEvent { cents: i64 }
/// use cqrs::ReadModel;
///
/// #[derive(ReadModel)]
/// #[read_model(name = "balances", version = 2, event = AccountEvent)]
/// struct Balances;
///
/// assert_eq!((Balances::NAME, Balances::VERSION), ("balances", 2));
/// assert!(Balances.key().is_stream());
/// ```
///
/// The derive generates:
///
/// ```
/// # use cqrs::{Event, ReadModel};
/// # #[derive(Event)] #[event(name = "bank.money-deposited")] struct AccountEvent { cents: i64 }
/// # struct Balances;
/// impl ReadModel for Balances {
///     type Event = AccountEvent;
///     const NAME: &'static str = "balances";
///     const VERSION: u32 = 2;
/// }
/// ```
///
/// `cargo check` reports an invalid name. In a hand-written impl, the name is checked only when the
/// program is built.
///
/// # Attributes of the type
///
/// - `#[read_model(name = "balances")]` (required): the name, with 1 to 32 lower-case letters, digits
///   and underscores, starting with a letter.
/// - `#[read_model(event = AccountEvent)]` (required): the events that the read model is built
///   from.
/// - `#[read_model(version = 2)]`: the version. Default: 1. Increment it to rebuild the read model.
/// - `#[read_model(key = product)]`: a function that returns the key of an event. Default: events are
///   ordered by their stream.
///
///   ```
///   # use cqrs::{Event, ReadModel, Recorded};
///   # #[derive(Event)] #[event(name = "shop.sold")] struct Sold { product: String }
///   use std::borrow::Cow;
///
///   #[derive(ReadModel)]
///   #[read_model(name = "sales_by_product", event = Sold, key = product)]
///   struct SalesByProduct;
///
///   fn product(sold: &Recorded<Sold>) -> Cow<'_, str> {
///       Cow::Borrowed(&sold.event.product)
///   }
///
///   assert!(!SalesByProduct.key().is_stream());
///   ```
/// - `#[read_model(crate = cqrs_core)]`: the crate that contains the traits. Default: `::cqrs`.
#[proc_macro_derive(ReadModel, attributes(read_model))]
pub fn derive_read_model(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    read_model::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Adds the associated items of an `impl Aggregate`, taken from its arguments and from the
/// signature of `execute`.
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
/// The attribute adds these items, which you can also write by hand:
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
    let parser = syn::meta::parser(|meta| attributes.parse(&meta));
    parse_macro_input!(attribute with parser);
    let item = parse_macro_input!(item as syn::ItemImpl);
    aggregate::expand(&attributes, item).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Runs the examples of the README as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
