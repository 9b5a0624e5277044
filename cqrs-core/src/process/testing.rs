//! The steps of a process as plain functions, for kits that test process managers without a store.
//!
//! `given_process` in the crate `cqrs-testing` is built from these.

use std::sync::Arc;

use super::effects::{RejectedCommand, Rejection, Timeout};
use super::manager::Route;
use super::records::OutgoingCommand;
use crate::{Aggregate, Command, Payload, PayloadError, Timestamp};

pub use super::manager::RouteKind;

/// Returns the instance of a route, and how the event concerns it.
///
/// ```
/// use cqrs_core::process::{Route, testing};
///
/// let (instance, kind) = testing::routed(Route::continue_if_started("transfer-7"));
/// assert_eq!(instance, "transfer-7");
/// assert_eq!(kind, testing::RouteKind::ContinueIfStarted);
/// ```
#[must_use]
pub fn routed(route: Route) -> (String, RouteKind) {
    (route.instance, route.kind)
}

/// Returns a command that its aggregate rejected with an error.
///
/// # Errors
/// [`PayloadError`] if the command cannot be encoded.
pub fn rejected<C: Command>(
    command: C,
    error: impl std::error::Error + Send + Sync + 'static,
    at: Timestamp,
) -> Result<RejectedCommand, PayloadError> {
    with_rejection(command, Rejection::Error(Arc::new(error)), at)
}

/// Returns a command that a middleware denied for a reason.
///
/// # Errors
/// [`PayloadError`] if the command cannot be encoded.
pub fn denied<C: Command>(
    command: C,
    reason: impl Into<String>,
    at: Timestamp,
) -> Result<RejectedCommand, PayloadError> {
    with_rejection(command, Rejection::Denied(reason.into()), at)
}

/// Returns a command that was revoked with
/// [`Effects::revoke_commands`](super::Effects::revoke_commands).
///
/// # Errors
/// [`PayloadError`] if the command cannot be encoded.
pub fn revoked<C: Command>(command: C, at: Timestamp) -> Result<RejectedCommand, PayloadError> {
    with_rejection(command, Rejection::Revoked, at)
}

fn with_rejection<C: Command>(
    command: C,
    rejection: Rejection,
    at: Timestamp,
) -> Result<RejectedCommand, PayloadError> {
    let command = command.into_command();
    let (id, cause) = (uuid::Uuid::nil().into(), uuid::Uuid::nil().into());
    let category = C::Aggregate::CATEGORY.to_owned();
    let command = OutgoingCommand::new(id, category, Payload::encode(&command)?, cause);
    Ok(RejectedCommand { command, rejection, at })
}

/// Returns a timer that fired at `at`.
#[must_use]
pub fn timeout(name: &str, due: Timestamp, at: Timestamp) -> Timeout {
    Timeout { name: name.to_owned(), due, at }
}
