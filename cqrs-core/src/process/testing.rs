//! The steps of a process as plain functions, for test kits that run process managers and event
//! handlers without a store.
//!
//! `given_process` and `given_handler` in the crate `cqrs-testing` are built from these.

use std::sync::Arc;

use super::effects::{Effects, RejectedCommand, Rejection, Timeout};
use super::handler::{EventHandler, HandlerContext, HandlerError};
use super::manager::Route;
use super::records::OutgoingCommand;
use crate::{Aggregate, App, Command, Payload, PayloadError, Recorded, Timestamp};

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
/// Returns [`PayloadError`] if the command cannot be encoded.
pub fn rejected<C: Command>(
    command: C,
    error: impl std::error::Error + Send + Sync + 'static,
    at: Timestamp,
) -> Result<RejectedCommand, PayloadError> {
    with_rejection(command, Rejection::Error(Arc::new(error)), at)
}

/// Returns a command that middleware denied for a reason.
///
/// # Errors
/// Returns [`PayloadError`] if the command cannot be encoded.
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
/// Returns [`PayloadError`] if the command cannot be encoded.
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

/// Calls an event handler and returns the commands that it sent, as effects, and its result.
///
/// The commands are recorded and not executed: each dispatch returns an outcome without events. The
/// application is used only for [`HandlerContext::app`].
pub async fn handle<H: EventHandler>(
    handler: &H,
    event: &Recorded<H::Event>,
    app: &App,
) -> (Effects, Result<(), HandlerError>) {
    let mut commands = Effects::new();
    let mut context = HandlerContext::recording(app, H::NAME, &mut commands);
    let result = handler.handle(event, &mut context).await;
    (commands, result)
}
