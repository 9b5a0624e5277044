//! Bulk import: events of another system, with their own times.

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

use super::PgStore;
use crate::append::batch;
use crate::append::prepared::Prepared;
use crate::append::repeated::{self, Source};
use crate::database::connect::with_durable_commits;
use crate::database::error::{is_duplicate, is_lost, no_response, store_error};

/// A transaction ends with the event that reaches one of these limits. Small enough that other
/// writers do not wait long, and that a failed one leaves few dead rows.
const MAX_EVENTS: usize = 10_000;
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// How far an import has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Number of events that were stored.
    pub events: u64,
    /// Number of events that an earlier attempt had stored.
    pub repeated: u64,
    /// The position of the last event of both.
    pub position: Position,
}

/// An import failed. The events that `imported` counts are stored. No later event is, unless the
/// source is [`OutcomeUnknown`](AppendError::OutcomeUnknown). Importing the same events again
/// continues where it stopped.
#[derive(Debug, thiserror::Error)]
#[error("import stopped after {} events", imported.events + imported.repeated)]
#[non_exhaustive]
pub struct ImportError {
    /// How far it has got.
    pub imported: Imported,
    /// The cause. Its [`retry`](AppendError::retry) says whether trying again can help.
    pub source: AppendError,
}

impl PgStore {
    /// Stores events of another system in the order given, each at the end of its stream.
    ///
    /// Use it to migrate an existing history: an event keeps the time that it has
    /// ([`NewEvent::with_recorded_at`]). It is several times faster than single appends, because
    /// thousands of events share a transaction; other appends run between these. Events become
    /// visible transaction by transaction.
    ///
    /// Events that an interrupted import of the same events has stored are skipped. Any other event
    /// id that is already stored ends the import.
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
    /// [`ImportError`], with how far it has got.
    ///
    /// # Cancel safety
    /// If you drop the future, whole transactions are stored. Import the same events again to
    /// continue.
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
        let mut connection =
            with_durable_commits(self.database().connections.open().await?).await?;
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
        // Everything is stored, so a failure to say goodbye does not matter.
        let _ = connection.close().await;
        Ok(())
    }

    async fn import_piece(
        &self,
        piece: Piece,
        connection: &mut PgConnection,
        imported: &mut Imported,
    ) -> Result<(), AppendError> {
        let database = self.database();
        let count = piece.order.len() as u64;
        let order = piece.positions();
        let prepared = Prepared::new(piece.append, database).await?;
        let sent = batch::send_ordered(
            connection,
            &database.sql,
            &database.names,
            &prepared,
            &order,
            database.now(),
        );
        let error = match timeout(database.connections.response_timeout(), sent).await {
            Ok(Ok(head)) => {
                database.head.raise(head);
                imported.events += count;
                imported.position = head;
                return Ok(());
            }
            Ok(Err(error)) => error,
            Err(_) => return Err(AppendError::OutcomeUnknown(no_response())),
        };
        if is_lost(&error) {
            return Err(AppendError::OutcomeUnknown(store_error(error)));
        }
        if !is_duplicate(&error) {
            return Err(prepared.explain(store_error(error)));
        }
        let mut source = Source::Connections(&database.connections);
        let wanted = prepared.in_order(&order);
        match repeated::find_all(&mut source, &database.sql, &wanted).await? {
            Some(position) => {
                imported.repeated += count;
                imported.position = position;
                Ok(())
            }
            None => Err(store_error(error).into()),
        }
    }
}

/// Events that share a transaction: grouped by stream, as the database expects them, and the order
/// in which they were given.
struct Piece {
    append: Append,
    parts: HashMap<StreamName, usize>,
    /// For each event the index of its stream and its own index there.
    order: Vec<(usize, usize)>,
    bytes: usize,
}

impl Default for Piece {
    fn default() -> Self {
        Self { append: Append::empty(), parts: HashMap::new(), order: Vec::new(), bytes: 0 }
    }
}

impl Piece {
    /// Collects the events of the next transaction.
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
        self.order.len() >= MAX_EVENTS || self.bytes >= MAX_BYTES
    }

    /// For each event, in the order given, its index among all events grouped by stream.
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
