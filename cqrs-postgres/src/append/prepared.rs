//! What the caller's own task does for an append before it is queued.

use std::sync::Arc;

use cqrs_core::event::Uuid;
use cqrs_core::{
    Metadata, StreamName,
    event::Payload,
    store::{Append, AppendError, InvalidAppend, StoreError},
};

use super::types;
use crate::database::Database;

/// An append with everything that can be computed before its transaction.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) append: Append,
    /// The id of the type of each event.
    pub(super) types: Vec<i32>,
    /// The metadata of each event as JSON, unless it is empty.
    pub(super) metadata: Vec<Option<Arc<str>>>,
    bytes: usize,
    /// The epoch in which the ids of the types were read.
    epoch: u64,
}

impl Prepared {
    pub(crate) async fn new(append: Append, database: &Database) -> Result<Self, AppendError> {
        append.check()?;
        let (types, epoch) = types::ids(&append, database).await?;
        let metadata = metadata(&append)?;
        let states = append.streams.iter().filter_map(|part| part.state.as_ref());
        let bytes = append.events().map(|event| event.payload.as_bytes().len()).sum::<usize>()
            + metadata.iter().flatten().map(|json| json.len()).sum::<usize>()
            + states.map(|state| state.payload.as_bytes().len()).sum::<usize>();
        Ok(Self { append, types, metadata, bytes, epoch })
    }

    /// Returns `true` if the ids it contains were read in this epoch.
    pub(crate) const fn is_of(&self, epoch: u64) -> bool {
        self.epoch == epoch
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn streams(&self) -> impl Iterator<Item = &StreamName> {
        self.append.streams.iter().map(|part| &part.stream)
    }

    /// Its events with their streams, in another order than that of the streams.
    pub(crate) fn in_order(&self, order: &[usize]) -> Vec<(&StreamName, Uuid)> {
        let streams = &self.append.streams;
        let events: Vec<_> = streams
            .iter()
            .flat_map(|part| part.events.iter().map(|event| (&part.stream, event.id.as_uuid())))
            .collect();
        order.iter().filter_map(|at| events.get(*at).copied()).collect()
    }

    /// Finds the payload that the database rejected, if it is one that cannot be valid.
    pub(crate) fn explain(&self, error: StoreError) -> AppendError {
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

/// The events of one command share their metadata, which is then encoded once.
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
