//! Appending: many appends in one transaction of the database, each with its own outcome.
//!
//! The common case assumes that nothing repeats. The unique indexes and the version checks catch
//! what does, and only then [`repeated`] looks up what was answered the first time.

pub(crate) mod batch;
pub(crate) mod import;
pub(crate) mod repeated;
pub(crate) mod transaction;
pub(crate) mod types;
pub(crate) mod writer;

use std::sync::Arc;

use cqrs_core::{
    Metadata, StreamName,
    event::Payload,
    store::{Append, AppendError, Appended, Conflict, InvalidAppend, StoreError, StoreErrorKind},
};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::PgStore;
use crate::error::closed;
use crate::store::Shared;
use writer::Job;

/// An append with everything that can be worked out before its turn comes.
#[derive(Debug)]
pub(crate) struct Prepared {
    append: Append,
    /// For each event the number of its type.
    types: Vec<i32>,
    /// For each event its metadata as JSON, unless there is none.
    metadata: Vec<Option<Arc<str>>>,
    bytes: usize,
    /// The epoch in which the types got their numbers.
    epoch: u64,
}

/// What became of an append that reached the database.
#[derive(Debug)]
pub(crate) enum Verdict {
    Stored(Appended),
    Conflict(Conflict),
    /// Something of it is already stored. The conflict stands if that is forgotten meanwhile.
    Known(Option<Conflict>),
    /// The connection was lost since it was prepared. Nothing was stored.
    Stale,
}

impl Prepared {
    pub(crate) async fn new(append: Append, shared: &Shared) -> Result<Self, AppendError> {
        append.check()?;
        let (types, epoch) = types::ids(&append, shared).await?;
        let metadata = metadata(&append)?;
        let states = append.streams.iter().filter_map(|part| part.state.as_ref());
        let bytes = append.events().map(|event| event.payload.as_bytes().len()).sum::<usize>()
            + metadata.iter().flatten().map(|json| json.len()).sum::<usize>()
            + states.map(|state| state.payload.as_bytes().len()).sum::<usize>();
        Ok(Self { append, types, metadata, bytes, epoch })
    }

    /// Whether what it takes for granted was learnt in this epoch.
    pub(crate) const fn is_of(&self, epoch: u64) -> bool {
        self.epoch == epoch
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn streams(&self) -> impl Iterator<Item = &StreamName> {
        self.append.streams.iter().map(|part| &part.stream)
    }

    /// Its events and their streams, in another order than that of the streams.
    fn in_order(&self, order: &[usize]) -> Vec<(&StreamName, Uuid)> {
        let streams = &self.append.streams;
        let events: Vec<_> = streams
            .iter()
            .flat_map(|part| part.events.iter().map(|event| (&part.stream, event.id.as_uuid())))
            .collect();
        order.iter().filter_map(|at| events.get(*at).copied()).collect()
    }

    /// Says more precisely what the database only called unreadable.
    fn blame(&self, error: StoreError) -> AppendError {
        let states = self.append.streams.iter().filter_map(|part| part.state.as_ref());
        let payloads = self.append.events().map(|event| &event.payload);
        for payload in payloads.chain(states.map(|state| &state.payload)) {
            if let Err(error) = Payload::from_json(payload.to_bytes()) {
                return InvalidAppend::Payload(error).into();
            }
        }
        error.into()
    }
}

/// The events of one command share their metadata, which is then written once.
fn metadata(append: &Append) -> Result<Vec<Option<Arc<str>>>, AppendError> {
    let none = Metadata::default();
    let mut last: Option<(&Arc<Metadata>, Option<Arc<str>>)> = None;
    let mut texts = Vec::with_capacity(append.event_count());
    for event in append.events() {
        let text = match &last {
            Some((shared, text)) if Arc::ptr_eq(shared, &event.metadata) => text.clone(),
            _ if *event.metadata == none => None,
            _ => {
                let json = Payload::encode(&*event.metadata)
                    .map_err(|source| InvalidAppend::Metadata { id: event.id, source })?;
                Some(Arc::from(json.as_str()))
            }
        };
        last = Some((&event.metadata, text.clone()));
        texts.push(text);
    }
    Ok(texts)
}

/// How often an append is sent that is refused as known and then cannot be found.
const ATTEMPTS: usize = 3;

impl PgStore {
    pub(crate) async fn append_grouped(&self, append: Append) -> Result<Appended, AppendError> {
        let shared = &*self.shared;
        let mut prepared = Box::new(Prepared::new(append, shared).await?);
        for _ in 0..ATTEMPTS {
            let (reply, answer) = oneshot::channel();
            shared.queue.send(Job { prepared, reply }).await.map_err(|_| closed())?;
            // The writer answers everything it took; without an answer it was torn down.
            let answer = answer.await.map_err(|_| AppendError::OutcomeUnknown(closed()))?;
            prepared = answer.prepared;
            let conflict = match answer.verdict? {
                Verdict::Stored(appended) => return Ok(appended),
                Verdict::Conflict(conflict) => return Err(conflict.into()),
                Verdict::Known(conflict) => conflict,
                Verdict::Stale => {
                    prepared = Box::new(Prepared::new(prepared.append, shared).await?);
                    continue;
                }
            };
            let mut source = repeated::Source::Connections(&shared.connections);
            if let Some(first) = repeated::find(&mut source, &shared.sql, &prepared.append).await? {
                return Ok(first);
            }
            if let Some(conflict) = conflict {
                return Err(conflict.into());
            }
        }
        let message = "the append was not settled in several attempts";
        Err(StoreError::new(StoreErrorKind::Unavailable, message).into())
    }
}
