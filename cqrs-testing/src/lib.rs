//! Testing kit: sentences about aggregates, time and ids that stand still, waiting without
//! sleeping, and the conformance suite that every event store must pass.
//!
//! It has its own version because a new case in the suite can turn a store red that was green.
//!
//! # Aggregates
//! [`given`] these events, [`when`](Given::when) this command, [`then`](Then::then) those events:
//! no runtime, no store.
//!
//! # Stores
//! [`conformance!`](macro@conformance) expands to one test for each law of
//! [`EventStore`](cqrs_core::EventStore), under its own name. [`model::compare`] does the same
//! random operations on two stores and compares what they answer.
//!
//! # Read models
//! [`given_events`], when [`project`]ed, then rows; or [`step_by_step`]. A read store of your own proves itself with
//! [`read_store_conformance!`](macro@read_store_conformance).
//!
//! # Processes
//! [`given_process`], when an event, a refusal or a timer, then these effects.
//!
//! # Crashes
//! [`crash_at_every_step`] runs a scenario once for each step of its stores, killed there, and
//! compares how it ends; [`kill_at_many_moments`] does so with real processes.
//!
//! # Time, ids, waiting
//! [`ManualClock`], [`SeededIds`], [`eventually`].

#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(missing_docs)]
#![forbid(unsafe_code)]
// A testing kit speaks by panicking.
#![allow(clippy::missing_panics_doc)]
// Sentences read better without ampersands, and may end anywhere.
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
