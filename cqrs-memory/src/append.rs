//! Appends in two phases: [`Contents::check`] decides and changes nothing, then [`Contents::commit`]
//! stores and cannot fail.
//!
//! Invariant: both run under one lock, `commit` directly after the `check` that accepted the
//! append. Therefore an append is stored completely or not at all, without a rollback.

use cqrs_core::{
    Position, Timestamp, Version,
    store::{Append, AppendError, Appended, AppendedStream, CommandRecord, Conflict, StoredState},
};

use crate::contents::Contents;

/// The result of a commit.
pub(crate) struct Committed {
    pub(crate) appended: Appended,
    /// The states that were replaced. Drop them without the lock, because a payload can run user
    /// code when its memory is freed.
    pub(crate) replaced: Vec<StoredState>,
}

impl Contents {
    /// Returns `None` if the append can be committed, or the first outcome if it was stored before.
    pub(crate) fn check(&self, append: &Append) -> Result<Option<Appended>, AppendError> {
        // Repetitions come first: the version that a repeated append expects is out of date.
        if let Some(first) = self.known_command(append)? {
            return Ok(Some(first));
        }
        if let Some(first) = self.known_events(append)? {
            return Ok(Some(first));
        }
        for part in &append.streams {
            let actual = self.log.version(&part.stream);
            if !part.expected.accepts(actual) {
                return Err(Conflict::new(part.stream.clone(), part.expected, actual).into());
            }
        }
        Ok(None)
    }

    fn known_command(&self, append: &Append) -> Result<Option<Appended>, AppendError> {
        let Some(key) = append.command else { return Ok(None) };
        match self.commands.get(&key.id) {
            None => Ok(None),
            Some(record) if record.key == key => Ok(Some(record.appended.clone().again())),
            Some(_) => Err(AppendError::CommandIdReused { id: key.id }),
        }
    }

    fn known_events(&self, append: &Append) -> Result<Option<Appended>, AppendError> {
        let known = append.events().find_map(|event| self.log.find(event.id));
        let Some(known) = known.and_then(|position| self.log.event(position)) else {
            return Ok(None);
        };
        // One of its events is stored, so the append is either a repetition as a whole or a
        // duplicate.
        self.stored_as_one(append).map(|first| Some(first.again())).ok_or_else(|| {
            AppendError::DuplicateEvent { id: known.id, stream: known.stream.clone() }
        })
    }

    /// Returns the first outcome of the append if the log contains exactly its events, in order, from
    /// its first event on.
    fn stored_as_one(&self, append: &Append) -> Option<Appended> {
        let first = self.log.find(append.events().next()?.id)?;
        let (mut next, mut stored_at) = (first, Timestamp::default());
        let mut streams = Vec::with_capacity(append.streams.len());
        for part in &append.streams {
            for event in &part.events {
                let stored = self.log.get(next)?;
                if stored.event.id != event.id || stored.event.stream != part.stream {
                    return None;
                }
                next = next.next();
                stored_at = stored.stored_at;
            }
            let before = Position::new(next.get() - 1);
            let position = if part.events.is_empty() { Position::START } else { before };
            // A stream without events had this version when the append was stored.
            let places = self.log.index.stream(&part.stream);
            let version = places.partition_point(|place| *place <= before) as u64;
            streams.push(AppendedStream::new(
                part.stream.clone(),
                Version::new(version),
                part.events.len() as u64,
                position,
            ));
        }
        Some(Appended::new(streams, stored_at))
    }

    /// Stores an append that [`check`](Self::check) accepted under the same lock.
    pub(crate) fn commit(&mut self, append: Append, now: Timestamp) -> Committed {
        let mut replaced = Vec::new();
        let mut streams = Vec::with_capacity(append.streams.len());
        for part in append.streams {
            let done = self.log.push(part.stream, part.events, now);
            if let Some(state) = part.state {
                let state = StoredState::new(done.version, state);
                replaced.extend(self.states.insert(done.stream.clone(), state));
            }
            streams.push(done);
        }
        let appended = Appended::new(streams, now);
        if let Some(key) = append.command {
            self.commands.insert(key.id, CommandRecord::new(key, appended.clone()));
        }
        Committed { appended, replaced }
    }
}
