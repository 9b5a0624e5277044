//! Bulk import: events that happened elsewhere, with the times they have.

use std::collections::HashMap;
use std::pin::pin;

use cqrs_core::{
    ExpectedVersion, Position, StreamName,
    event::NewEvent,
    store::{Append, AppendError, StreamAppend},
};
use futures_util::{Stream, StreamExt};
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::time::timeout;

use super::repeated::{self, Source};
use super::writer::durable;
use super::{Prepared, batch};
use crate::PgStore;
use crate::error::{is_duplicate, is_lost, no_answer, store_error};

/// A commit ends with the event that reaches one of these. Small enough that other writers do not
/// wait long, and that a failed one leaves little behind to be vacuumed.
const MOST_EVENTS: usize = 10_000;
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// How far an import has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Events that were stored.
    pub events: u64,
    /// Events that had been stored by an earlier attempt.
    pub repeated: u64,
    /// The position of the last of them.
    pub position: Position,
}

/// An import stopped. What `imported` counts is stored; of the piece behind it nothing is, unless
/// the source is `OutcomeUnknown`. Importing the same events again goes on where it stopped.
#[derive(Debug, thiserror::Error)]
#[error("the import stopped behind {} events", imported.events + imported.repeated)]
#[non_exhaustive]
pub struct ImportError {
    /// What was imported before.
    pub imported: Imported,
    /// What is wrong. Its [`retry`](AppendError::retry) says whether trying again can help.
    pub source: AppendError,
}

impl PgStore {
    /// Stores events that happened elsewhere, in the order given, each at the end of its stream.
    ///
    /// Meant for moving an old system's history in: an event keeps the time it brings
    /// ([`NewEvent::with_recorded_at`]). It is several times faster than appending one by one,
    /// because thousands of events share a commit; between two such commits other appends go on.
    /// What is imported becomes visible piece by piece.
    ///
    /// Events whose ids are stored already, by an import of the same events that was interrupted,
    /// are passed over. Other ids that are stored already end the import.
    ///
    /// ```no_run
    /// # use cqrs_core::{StreamName, Timestamp, event::NewEvent};
    /// # async fn run(store: cqrs_postgres::PgStore) -> Result<(), Box<dyn std::error::Error>> {
    /// let old = [("account-7", "bank.account-opened", "2011-04-05T10:00:00Z")];
    /// let mut events = Vec::new();
    /// for (stream, name, time) in old {
    ///     let event = NewEvent::json(name, &())?.with_recorded_at(time.parse()?);
    ///     events.push((StreamName::new(stream)?, event));
    /// }
    /// let imported = store.import(futures_util::stream::iter(events)).await?;
    /// assert_eq!(imported.events, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ImportError`], with how far it came.
    ///
    /// # Cancel safety
    /// Dropping the future leaves whole pieces. Import the same events again to go on.
    pub async fn import(
        &self,
        events: impl Stream<Item = (StreamName, NewEvent)> + Send,
    ) -> Result<Imported, ImportError> {
        let mut imported = Imported::default();
        match self.import_pieces(events, &mut imported).await {
            Ok(()) => Ok(imported),
            Err(source) => Err(ImportError { imported, source }),
        }
    }

    async fn import_pieces(
        &self,
        events: impl Stream<Item = (StreamName, NewEvent)> + Send,
        imported: &mut Imported,
    ) -> Result<(), AppendError> {
        let mut events = pin!(events);
        let mut connection = durable(self.shared.connections.open().await?).await?;
        let mut piece = Piece::of(&mut events).await;
        while let Some(current) = piece {
            // The next piece is collected while the server works on this one.
            let (stored, next) = tokio::join!(
                self.import_piece(current, &mut connection, imported),
                Piece::of(&mut events)
            );
            stored?;
            piece = next;
        }
        // Everything is stored; how the connection ends does not matter.
        let _ = connection.close().await;
        Ok(())
    }

    async fn import_piece(
        &self,
        piece: Piece,
        connection: &mut PgConnection,
        imported: &mut Imported,
    ) -> Result<(), AppendError> {
        let shared = &*self.shared;
        let count = piece.order.len() as u64;
        let order = piece.positions();
        let prepared = Prepared::new(piece.append, shared).await?;
        let sending = batch::send_ordered(
            connection,
            &shared.sql,
            &shared.names,
            &prepared,
            &order,
            shared.now(),
        );
        let error = match timeout(shared.connections.within(), sending).await {
            Ok(Ok(head)) => {
                shared.head.raise(head);
                imported.events += count;
                imported.position = head;
                return Ok(());
            }
            Ok(Err(error)) => error,
            Err(_) => return Err(AppendError::OutcomeUnknown(no_answer())),
        };
        if is_lost(&error) {
            return Err(AppendError::OutcomeUnknown(store_error(error)));
        }
        if !is_duplicate(&error) {
            return Err(prepared.blame(store_error(error)));
        }
        let mut source = Source::Connections(&shared.connections);
        let wanted = prepared.in_order(&order);
        match repeated::find_all(&mut source, &shared.sql, &wanted).await? {
            Some(position) => {
                imported.repeated += count;
                imported.position = position;
                Ok(())
            }
            None => Err(store_error(error).into()),
        }
    }
}

/// Events that share a commit: grouped by stream, as the database takes them, and the order in
/// which they were given.
struct Piece {
    append: Append,
    parts: HashMap<StreamName, usize>,
    /// For each event its part and its place there.
    order: Vec<(usize, usize)>,
    bytes: usize,
}

impl Default for Piece {
    fn default() -> Self {
        Self { append: Append::empty(), parts: HashMap::new(), order: Vec::new(), bytes: 0 }
    }
}

impl Piece {
    /// The next events, as many as share a commit.
    async fn of(events: &mut (impl Stream<Item = (StreamName, NewEvent)> + Unpin)) -> Option<Self> {
        let mut piece = Self::default();
        while !piece.is_full() {
            let Some((stream, event)) = events.next().await else { break };
            piece.add(stream, event);
        }
        (!piece.order.is_empty()).then_some(piece)
    }

    fn add(&mut self, stream: StreamName, event: NewEvent) {
        self.bytes += event.payload.as_bytes().len();
        let streams = &mut self.append.streams;
        let part = *self.parts.entry(stream.clone()).or_insert(streams.len());
        if part == streams.len() {
            streams.push(StreamAppend::new(stream, ExpectedVersion::Any));
        }
        if let Some(stream) = streams.get_mut(part) {
            self.order.push((part, stream.events.len()));
            stream.events.push(event);
        }
    }

    const fn is_full(&self) -> bool {
        self.order.len() >= MOST_EVENTS || self.bytes >= MOST_BYTES
    }

    /// For each event, in the order given, its place among all events grouped by stream.
    fn positions(&self) -> Vec<usize> {
        let starts: Vec<usize> = self
            .append
            .streams
            .iter()
            .scan(0, |start, stream| {
                let this = *start;
                *start += stream.events.len();
                Some(this)
            })
            .collect();
        let places = self.order.iter();
        places.map(|(part, at)| starts.get(*part).map_or(*at, |start| start + at)).collect()
    }
}
