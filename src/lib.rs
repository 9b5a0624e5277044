//! CQRS and event sourcing: pure domain code over a log that never loses or reorders an event.
//!
//! This page is a guide; read it from top to bottom.
//!
//! # 1. The model
//!
//! An [`Aggregate`] is one consistency boundary: an account, a product, an order. It is asked
//! commands and answers with events, and its state is what its events add up to. Both methods are
//! pure: no clock, no ids, no I/O, no async.
//!
//! ```
//! use cqrs::{Aggregate, Command, Event};
//! use serde::{Deserialize, Serialize};
//!
//! /// What the rules need to know, and no more.
//! #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
//! pub struct Account {
//!     cents: i64,
//! }
//!
//! /// A request with a fixed destination.
//! #[derive(Clone, Serialize, Deserialize, Command)]
//! #[command(aggregate = Account, id = account)]
//! pub struct Deposit { pub account: String, pub cents: i64 }
//!
//! #[derive(Clone, Serialize, Deserialize, Command)]
//! #[command(aggregate = Account, id = account)]
//! pub struct Withdraw { pub account: String, pub cents: i64 }
//!
//! /// Everything the account can be asked.
//! #[derive(Clone, Serialize, Deserialize, Command)]
//! #[command(aggregate = Account)]
//! pub enum AccountCommand { Deposit(Deposit), Withdraw(Withdraw) }
//!
//! /// Everything that can happen to it, under names that are stored for ever.
//! #[derive(Clone, Debug, PartialEq, Event)]
//! pub enum AccountEvent {
//!     #[event(name = "bank.money-deposited")]
//!     Deposited { cents: i64 },
//!     #[event(name = "bank.money-withdrawn")]
//!     Withdrawn { cents: i64 },
//! }
//!
//! #[derive(Debug, PartialEq, thiserror::Error)]
//! #[error("only {0} cents left")]
//! pub struct InsufficientFunds(pub i64);
//!
//! impl Aggregate for Account {
//!     const CATEGORY: &'static str = "account"; // its streams are called account-<id>
//!     type Id = String;
//!     type Command = AccountCommand;
//!     type Event = AccountEvent;
//!     type Error = InsufficientFunds;
//!
//!     fn execute(&self, command: AccountCommand) -> Result<Vec<AccountEvent>, InsufficientFunds> {
//!         match command {
//!             AccountCommand::Deposit(Deposit { cents, .. }) => {
//!                 Ok(vec![AccountEvent::Deposited { cents }])
//!             }
//!             AccountCommand::Withdraw(Withdraw { cents, .. }) if cents > self.cents => {
//!                 Err(InsufficientFunds(self.cents))
//!             }
//!             AccountCommand::Withdraw(Withdraw { cents, .. }) => {
//!                 Ok(vec![AccountEvent::Withdrawn { cents }])
//!             }
//!         }
//!     }
//!
//!     fn apply(&mut self, event: &AccountEvent) {
//!         match event {
//!             AccountEvent::Deposited { cents } => self.cents += cents,
//!             AccountEvent::Withdrawn { cents } => self.cents -= cents,
//!         }
//!     }
//! }
//! ```
//!
//! The derives save typing and hide nothing: [`Event`], [`Command`] and [`Aggregate`] show the same
//! written by hand. A decision in several steps, each seeing what the ones before led to, is what
//! [`Steps`] is for.
//!
//! # 2. The store
//!
//! An [`EventStore`] is one log of many streams. Each event has a *version* in its stream and a
//! *position* in the log, both counted from 1 without a gap. `memory::MemoryStore` needs nothing
//! installed; any other store keeps the same laws, which stand at the trait's methods.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use cqrs::memory::MemoryStore;
//! use cqrs::{EventStore, ExpectedVersion, StreamName, event::NewEvent, store::Append};
//!
//! let store = MemoryStore::new();
//! let cart = StreamName::new("cart-7")?;
//! let added = vec![NewEvent::json("cart.added", "abc123")?];
//! let appended = store.append(Append::to(cart, ExpectedVersion::NoStream, added)).await?;
//! assert_eq!(appended.version().get(), 1);
//! # Ok(()) }
//! ```
//!
//! On Postgres (feature `postgres`) it is the same behind one other line:
//!
//! ```
//! # #[cfg(feature = "postgres")]
//! # async fn run() -> Result<(), cqrs::store::StoreError> {
//! use cqrs::postgres::PgStore;
//!
//! let store = PgStore::builder().url("postgres://localhost/shop").migrate().await?;
//! # Ok(()) }
//! ```
//!
//! An append is a value: events for one or several streams, each with the version it expects, all
//! stored or none.
//!
//! # 3. Dispatch
//!
//! An [`App`] brings commands and store together: it loads the aggregate, asks it, appends what it
//! decided at the version it was decided on, and decides again when somebody else was faster.
//!
//! ```
//! # use cqrs::{Aggregate, Command, Event};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)] pub struct Account { cents: i64 }
//! # #[derive(Clone, Serialize, Deserialize, Command)] #[command(aggregate = Account, id = account)]
//! # pub struct Withdraw { pub account: String, pub cents: i64 }
//! # #[derive(Clone, Debug, PartialEq, Event)] pub enum AccountEvent { #[event(name = "bank.money-withdrawn")] Withdrawn { cents: i64 } }
//! # #[derive(Debug, PartialEq, thiserror::Error)] #[error("only {0} cents left")] pub struct InsufficientFunds(pub i64);
//! # impl Aggregate for Account {
//! #     const CATEGORY: &'static str = "account";
//! #     type Id = String; type Command = Withdraw; type Event = AccountEvent; type Error = InsufficientFunds;
//! #     fn execute(&self, Withdraw { cents, .. }: Withdraw) -> Result<Vec<AccountEvent>, InsufficientFunds> {
//! #         if cents > self.cents + 500 { Err(InsufficientFunds(self.cents + 500)) } else { Ok(vec![AccountEvent::Withdrawn { cents }]) }
//! #     }
//! #     fn apply(&mut self, AccountEvent::Withdrawn { cents }: &AccountEvent) { self.cents -= cents; }
//! # }
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use cqrs::memory::MemoryStore;
//! use cqrs::{App, CommandId, Metadata, app::DispatchError};
//!
//! let app = App::new(MemoryStore::new());
//! let withdraw = Withdraw { account: "alice".into(), cents: 300 };
//!
//! // With options: an id, so that asking twice is harmless, and who asks.
//! let id = CommandId::random();
//! let outcome = app
//!     .dispatch(withdraw.clone())
//!     .command_id(id)
//!     .metadata(Metadata::default().with_actor("teller-7"))
//!     .await?;
//! assert_eq!(outcome.version.get(), 1);
//! assert!(app.dispatch(withdraw.clone()).command_id(id).await?.repeated);
//!
//! // A refusal is the domain's own error.
//! match app.dispatch(withdraw).await {
//!     Err(DispatchError::Rejected(InsufficientFunds(left))) => assert_eq!(left, 200),
//!     other => panic!("{other:?}"),
//! }
//! # Ok(()) }
//! ```
//!
//! [`DispatchError`] says what happened and whether asking again can help; the one to know is
//! [`OutcomeUnknown`](DispatchError::OutcomeUnknown). [`App::builder`] adds snapshots, state rows,
//! hooks ([`Middleware`]), deadlines, a clock and ids of your own.
//!
//! # 4. Read
//!
//! Aggregates decide; they are not for showing. What is shown is made from the log: read it, or
//! follow it. [`App::load`] and [`App::load_as_of`] are for looking at a single aggregate, now and
//! as it once was.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use cqrs::memory::MemoryStore;
//! use cqrs::{EventStore, EventStoreExt, ExpectedVersion, event::NewEvent, store::{Append, Filter, Read}};
//! use cqrs::{StreamName, store::Category, subscription::SubscriptionOptions};
//!
//! let store = MemoryStore::new();
//! for (stream, sku) in [("cart-1", "abc"), ("order-1", "xyz"), ("cart-2", "abc")] {
//!     let event = NewEvent::json("added", sku)?;
//!     store.append(Append::to(StreamName::new(stream)?, ExpectedVersion::Any, vec![event])).await?;
//! }
//!
//! // Everything about carts, in the order in which it happened.
//! let carts = Filter::category(Category::new("cart")?);
//! let events = store.read(Read::filter(carts.clone())).await?.collect().await?;
//! assert_eq!(events.len(), 2);
//!
//! // The same, and then each new event as it comes.
//! let mut following = store.subscribe(SubscriptionOptions::to(carts)).await?;
//! assert_eq!(following.next().await.unwrap()?.position.get(), 1);
//! # Ok(()) }
//! ```
//!
//! A [`DurableSubscription`] follows under a name: what is acknowledged moves a checkpoint, and after
//! a restart delivery goes on behind it. Of several processes that open one name, one is served and
//! the others stand by.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let store = cqrs::memory::MemoryStore::new();
//! # let added = vec![cqrs::event::NewEvent::json("cart.added", "abc")?];
//! # use cqrs::{EventStore, ExpectedVersion, StreamName, store::Append};
//! # store.append(Append::to(StreamName::new("cart-1")?, ExpectedVersion::Any, added)).await?;
//! use cqrs::{EventStoreExt, subscription::{DurableOptions, SubscriptionName, SubscriptionOptions}};
//!
//! let billing = DurableOptions::new(SubscriptionName::new("billing")?, SubscriptionOptions::all());
//! let mut events = store.subscribe_durable(store.clone(), billing);
//! let event = events.next().await?;
//! println!("{} happened", event.event.name);
//! events.acks().ack(event.position).await?;
//! # Ok(()) }
//! ```
//!
//! Old events are read as today's through [`Upcasters`]; the stored bytes stay as they are.
//!
//! What is shown, counted and searched is a read model: a [`Projector`] says what an event changes
//! in its tables, and [`Projections`] runs it, exactly once for each event, over a read store in
//! memory or in Postgres. The README has a whole one. [`Projections::rebuild`] builds it anew beside
//! the one readers see; a new [`VERSION`](ReadModel::VERSION) or a dropped table does so by itself.
//! A command that wants to see its effect there waits for it:
//! `app.dispatch(command).wait_for(&waiter, within)`. A read model that a command's answer depends
//! on changes in the same transaction with an [`InlineStore`].
//!
//! What follows from events by itself, over several aggregates, is a process: a [`ProcessManager`]
//! says whom an event concerns and what is to be done about it, as data, and [`Processes`] does it:
//! commands under ids that make sending them again harmless, refusals answered, timers, a crash
//! survived at any step. The bank's transfer of money is one. A reaction that remembers nothing is
//! an [`EventHandler`]; what happens at a time is a [`RecurringCommand`], or a [`ScheduledCommand`] for once.
//!
//! What only one aggregate may have, an e-mail address or a seat, it reserves with
//! [`Aggregate::reservations`].
//!
//! # 5. Test
//!
//! Rules are sentences, and need neither a runtime nor a store (feature `testing`):
//!
#![cfg_attr(feature = "testing", doc = "```")]
#![cfg_attr(not(feature = "testing"), doc = "```ignore")]
//! # use cqrs::{Aggregate, Command, Event};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Default)] pub struct Account { cents: i64 }
//! # #[derive(Clone, Serialize, Deserialize, Command)] #[command(aggregate = Account, id = account)]
//! # pub struct Withdraw { pub account: String, pub cents: i64 }
//! # #[derive(Clone, Debug, PartialEq, Event)]
//! # pub enum AccountEvent {
//! #     #[event(name = "bank.money-deposited")] Deposited { cents: i64 },
//! #     #[event(name = "bank.money-withdrawn")] Withdrawn { cents: i64 },
//! # }
//! # #[derive(Debug, PartialEq, thiserror::Error)] #[error("only {0} cents left")] pub struct InsufficientFunds(pub i64);
//! # impl Aggregate for Account {
//! #     const CATEGORY: &'static str = "account";
//! #     type Id = String; type Command = Withdraw; type Event = AccountEvent; type Error = InsufficientFunds;
//! #     fn execute(&self, Withdraw { cents, .. }: Withdraw) -> Result<Vec<AccountEvent>, InsufficientFunds> {
//! #         if cents > self.cents { Err(InsufficientFunds(self.cents)) } else { Ok(vec![AccountEvent::Withdrawn { cents }]) }
//! #     }
//! #     fn apply(&mut self, event: &AccountEvent) {
//! #         match event { AccountEvent::Deposited { cents } => self.cents += cents, AccountEvent::Withdrawn { cents } => self.cents -= cents }
//! #     }
//! # }
//! use cqrs::testing::given;
//!
//! given::<Account>([AccountEvent::Deposited { cents: 100 }])
//!     .when(Withdraw { account: "alice".into(), cents: 150 })
//!     .then_error(InsufficientFunds(100));
//! ```
//!
//! Time stands still with `ManualClock`, ids repeat with `SeededIds`, and a store of your own proves
//! itself with `conformance!`.
//!
//! # Features
//!
//! | feature | on by default | what |
//! |---|---|---|
//! | `memory` | yes | the store in memory |
//! | `derive` | yes | `derive(Event)`, `derive(Command)` |
//! | `postgres` | no | the Postgres store |
//! | `testing` | no | given/when/then, clock, ids, the conformance suites |

#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(missing_docs)]
#![forbid(unsafe_code)]

// Listed, so that nothing becomes public by accident.
#[cfg(feature = "derive")]
pub use cqrs_core::Id;
pub use cqrs_core::{
    Aggregate, App, Command, CommandId, CorrelationId, Dispatch, Effects, Event, EventHandler,
    EventId, EventStore, EventStoreExt, ExpectedVersion, Metadata, Outcome, Position,
    ProcessManager, Processes, Projections, Projector, ReadModel, Recorded, StreamName, Timestamp,
    Upcasters, Version, aggregate, app, error_chain, event, process, projection, repository, store,
    subscription, upcast,
};
#[cfg(feature = "memory")]
pub use cqrs_memory as memory;
#[cfg(feature = "postgres")]
pub use cqrs_postgres as postgres;
#[cfg(feature = "testing")]
pub use cqrs_testing as testing;

/// What the derives expand to; not for people.
#[doc(hidden)]
pub use cqrs_core::private;

/// The README's example is a test.
#[cfg(all(doctest, feature = "memory", feature = "derive"))]
#[doc = include_str!("../README.md")]
struct Readme;
