//! Commands that were stored before: recognizing them by id, and answering with their first
//! outcome.

use std::sync::Arc;

use futures_util::StreamExt;

use super::decide::{Decision, Failure};
use super::{DispatchError, Outcome};
use crate::repository::Repository;
use crate::{Aggregate, Appended, AppendedStream, CommandKey, Payload, ReadError, StreamRead};

impl<A: Aggregate> Decision<'_, A> {
    /// Returns the key under which the command is recorded, or `None` if the caller gave no id:
    /// without one, the command cannot be sent again.
    pub(super) fn key(&self, command: &A::Command) -> Result<Option<CommandKey>, Failure<A>> {
        if self.options.command_id.is_none() {
            return Ok(None);
        }
        let content = Payload::encode(command).map_err(|error| self.unstorable(error))?;
        Ok(Some(CommandKey::new(self.command_id, &self.stream, &content)))
    }

    /// Returns the append that stored the command, or `None` if the command is not known.
    pub(super) async fn find_first(
        &self,
        key: Option<CommandKey>,
    ) -> Result<Option<Appended>, Failure<A>> {
        let Some(key) = key else { return Ok(None) };
        let found = self.app.shared.store.find_command(key.id).await;
        match found.map_err(|error| self.unreadable(error.into()))? {
            Some(record) if record.key == key => Ok(Some(record.appended)),
            Some(_) => Err(DispatchError::CommandIdReused { command_id: key.id }),
            None => Ok(None),
        }
    }

    /// Returns the outcome of an append that was stored before, with its events read back.
    pub(super) async fn repeated(
        &self,
        repository: &dyn Repository<A>,
        first: Appended,
    ) -> Result<Outcome<A>, Failure<A>> {
        let mut outcome = self.outcome(&first);
        outcome.repeated = true;
        if let Some(read) = first.streams.first().and_then(events_of) {
            let mut pages = self.app.shared.store.read_stream(read);
            while let Some(page) = pages.next().await {
                for event in page.map_err(|error| self.unreadable(error))?.events {
                    let event = event.into_decoded().map_err(ReadError::Decode);
                    let event = event.map_err(|error| self.unreadable(error))?;
                    outcome.metadata = Arc::clone(&event.metadata);
                    outcome.events.push(event);
                }
            }
        }
        if let Some(copy) = self.options.copy {
            outcome.state = Some(copy(self.load(repository).await?.state()));
        }
        Ok(outcome)
    }

    /// Returns the outcome of an append, without its events.
    pub(super) fn outcome(&self, appended: &Appended) -> Outcome<A> {
        let mut outcome =
            Outcome::unchanged(self.stream.clone(), appended.version(), self.command_id);
        outcome.position = appended.position();
        outcome
    }
}

/// Returns a read of just the events that an append stored in a stream.
fn events_of(part: &AppendedStream) -> Option<StreamRead> {
    let first = part.first_version()?;
    Some(StreamRead::forward(part.stream.clone()).from(first).limit(part.events))
}
