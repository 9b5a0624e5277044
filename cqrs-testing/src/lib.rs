//! Tests for applications and stores built with [`cqrs`](https://docs.rs/cqrs). The `cqrs` crate
//! exports this one as `cqrs::testing` if its feature `testing` is enabled.
//!
//! # Aggregates
//!
//! An aggregate is tested without a runtime and without a store: [`given`] these events,
//! [`when`](Given::when) this command, [`then`](Then::then) those events.
//!
//! ```
//! use cqrs::{Aggregate, Command, Event, aggregate};
//! use cqrs_testing::given;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Serialize, Deserialize, Command)]
//! #[command(aggregate = Account, id = account)]
//! struct Withdraw { account: String, cents: i64 }
//!
//! #[derive(Debug, PartialEq, Event)]
//! enum AccountEvent {
//!     #[event(name = "account.opened")]
//!     Opened { cents: i64 },
//!     #[event(name = "account.withdrawn")]
//!     Withdrawn { cents: i64 },
//! }
//!
//! #[derive(Debug, PartialEq, thiserror::Error)]
//! #[error("the balance is {0}")]
//! struct Overdrawn(i64);
//!
//! #[derive(Default)]
//! struct Account { balance: i64 }
//!
//! #[aggregate(category = "account", id = String)]
//! impl Aggregate for Account {
//!     fn execute(&self, command: Withdraw) -> Result<Vec<AccountEvent>, Overdrawn> {
//!         let Withdraw { cents, .. } = command;
//!         if cents > self.balance { return Err(Overdrawn(self.balance)) }
//!         Ok(vec![AccountEvent::Withdrawn { cents }])
//!     }
//!
//!     fn apply(&mut self, event: &AccountEvent) {
//!         match event {
//!             AccountEvent::Opened { cents } => self.balance = *cents,
//!             AccountEvent::Withdrawn { cents } => self.balance -= cents,
//!         }
//!     }
//! }
//!
//! let withdraw = |cents| Withdraw { account: "alice".into(), cents };
//! let opened = AccountEvent::Opened { cents: 500 };
//!
//! given::<Account>([opened])
//!     .when(withdraw(300))
//!     .then([AccountEvent::Withdrawn { cents: 300 }])
//!     .and_when(withdraw(300))
//!     .then_error(Overdrawn(200));
//! ```
//!
//! [`then_reserves`](Then::then_reserves) and [`then_releases`](Then::then_releases) check unique
//! keys.
//!
//! # Stored events
//!
//! [`golden_files`] compares the stored form of events with files that are never edited, and reads
//! the files of earlier versions through the upcasters. It fails if a change of the code could no
//! longer read events that are in production.
//!
//! # Processes and handlers
//!
//! Process managers and event handlers are tested like aggregates, without a store:
//! [`given_process`] checks which effects a process returns for events, timers and rejected
//! commands; [`given_handler`] checks which commands a handler sends.
//!
//! # Read models
//!
//! [`given_events`] appends events, and [`project`] runs a projector over them; the test then reads
//! the model. With [`step_by_step`] the test controls when each event is projected.
//!
//! # Time and ids
//!
//! [`ManualClock`] and [`SeededIds`] make an application deterministic:
//!
//! ```
//! use std::time::Duration;
//!
//! use cqrs::{App, memory::MemoryStore};
//! use cqrs_testing::{ManualClock, SeededIds};
//!
//! let clock = ManualClock::new();
//! let store = MemoryStore::builder().clock(clock.clone()).build();
//! let app = App::builder(store).ids(SeededIds::new(7)).build()?;
//! clock.advance(Duration::from_secs(3600));
//! # drop(app);
//! # Ok::<(), cqrs::app::BuildError>(())
//! ```
//!
//! [`eventually`] waits for a result of concurrent work without fixed sleeps.
//!
//! # Crashes
//!
//! [`crash_at_every_step`] runs a scenario once for each step of its stores, with a crash there, and
//! requires that every run reaches the same final state. [`kill_at_many_moments`] does the same with
//! real processes.
//!
//! # Your own store
//!
//! The macros [`conformance!`](macro@conformance) and
//! [`read_store_conformance!`](macro@read_store_conformance) expand to one test for each law of
//! [`EventStore`](cqrs_core::EventStore) and [`ReadStore`](cqrs_core::projection::ReadStore); the
//! modules [`conformance`](mod@conformance) and [`read_conformance`] describe them.
//! [`model::compare`] runs the same random operations on two stores and compares the results.
//!
//! This crate is versioned separately from the others, because a new case can fail a store that
//! passed before.

#![deny(missing_docs)]
#![forbid(unsafe_code)]
// The functions of a test kit report failures by panicking.
#![allow(clippy::missing_panics_doc)]
// Tests read better without ampersands, and may end after any step.
#![allow(clippy::needless_pass_by_value, clippy::return_self_not_must_use)]

mod aggregate;
mod clock;
pub mod conformance;
mod crash;
mod eventually;
mod golden;
mod handler;
mod ids;
mod kill;
pub mod model;
mod process;
mod project;
pub mod read_conformance;
mod recorded;
mod runtime;
mod steps;
mod tables;

pub use aggregate::{Given, Then, given, given_nothing};
pub use clock::ManualClock;
pub use crash::{CrashPoint, Survived, crash_at_every_step};
pub use eventually::eventually;
pub use golden::{GoldenFiles, golden_files};
pub use handler::{GivenHandler, given_handler};
pub use ids::SeededIds;
pub use kill::{Killed, kill_at_many_moments};
pub use process::{GivenProcess, given_process};
pub use project::{given_events, project};
pub use steps::{Stepped, Steps, step_by_step};
pub use tables::{Row, Tables};
