//! What a turn of an instance is made of, for kits that test processes.

use std::sync::Arc;

use super::effects::{RejectedCommand, Rejection, Timeout};
use super::manager::{How, ProcessManager, Route};
use super::records::OutgoingCommand;
use crate::{Aggregate, Command, Payload, PayloadError, Recorded, Timestamp};

/// Which instances an event concerns, and whether it begins those that have not begun.
pub fn routed<M: ProcessManager>(manager: &M, event: &Recorded<M::Event>) -> Vec<(String, bool)> {
    let begins = |how| !matches!(how, How::ContinueIfStarted | How::End);
    let routes = manager.route(event).into_iter();
    routes.map(|Route { instance, how }| (instance, begins(how))).collect()
}

/// A command that its aggregate refused.
///
/// # Errors
/// [`PayloadError`] when the command cannot be stored.
pub fn rejected<C: Command>(
    command: C,
    error: impl std::error::Error + Send + Sync + 'static,
    at: Timestamp,
) -> Result<RejectedCommand, PayloadError> {
    let command: <C::Aggregate as Aggregate>::Command = command.into_command();
    let (id, nobody) = (uuid::Uuid::nil().into(), uuid::Uuid::nil().into());
    let category = C::Aggregate::CATEGORY.to_owned();
    let command = OutgoingCommand::new(id, category, Payload::encode(&command)?, nobody);
    Ok(RejectedCommand { command, rejection: Rejection::Error(Arc::new(error)), at })
}

/// A timer that went off.
#[must_use]
pub fn timeout(name: &str, due: Timestamp, at: Timestamp) -> Timeout {
    Timeout { name: name.to_owned(), due, at }
}
