//! The newest events, shared by all readers in this process that follow the log.
//!
//! Invariant: `events` are all events from some position to `through`, and `through` was the head
//! when the database was last queried. Positions are dense and final, so a cached event never has
//! to be read again; a query fetches only what was appended since.
//!
//! A reader has to see everything committed before it asked. So it is served from memory only after
//! a query that was *sent* after the reader asked; all readers that asked in the meantime share it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use cqrs_core::{Position, event::RecordedEvent, store::ReadError};
use tokio::sync::Mutex;

use super::rows::{check_dense, events, gap};
use crate::database::Database;
use crate::database::arguments::arguments;
use crate::database::epoch::Epoch;
use crate::database::numbers::signed;

/// Maximum number of events in memory, and of bytes of their payloads.
const MAX_EVENTS: usize = 4_096;
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Maximum number of events of one query. Readers that lag further read the log itself.
const MAX_FETCHED: usize = 1_000;

#[derive(Debug)]
pub(crate) struct Newest {
    epoch: Epoch,
    /// Number of queries ever sent.
    sent: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    epoch: u64,
    /// `None`: nothing is cached.
    through: Option<u64>,
    events: VecDeque<RecordedEvent>,
    bytes: usize,
    /// The number of the last query that was answered.
    answered: u64,
}

impl Newest {
    pub(crate) fn new(epoch: Epoch) -> Self {
        let state = State {
            epoch: epoch.now(),
            through: None,
            events: VecDeque::new(),
            bytes: 0,
            answered: 0,
        };
        Self { epoch, sent: AtomicU64::new(0), state: Mutex::new(state) }
    }

    /// Starts to cache after a head read from the database, if nothing is cached yet.
    pub(crate) fn start_after(&self, head: Position) {
        // If it is locked, another reader is filling it.
        if let Ok(mut state) = self.state.try_lock() {
            state.enter(self.epoch.now());
            state.through.get_or_insert(head.get());
        }
    }

    /// Returns all events from a position, and the present head; `None` if they are not cached.
    pub(crate) async fn read(
        &self,
        from: u64,
        database: &Database,
    ) -> Result<Option<(Vec<RecordedEvent>, Position)>, ReadError> {
        let sent_before = self.sent.load(Ordering::Acquire);
        let mut state = self.state.lock().await;
        let now = self.epoch.now();
        state.enter(now);
        let Some(through) = state.through.filter(|_| from >= state.first()) else {
            return Ok(None);
        };
        if state.answered <= sent_before {
            let query = self.sent.fetch_add(1, Ordering::AcqRel) + 1;
            let fetched = events_after(database, through).await?;
            if fetched.len() >= MAX_FETCHED || self.epoch.now() != now {
                state.forget();
                return Ok(None);
            }
            state.add(fetched);
            state.answered = query;
        }
        let head = Position::new(state.through.unwrap_or(through));
        database.head.raise(head);
        let skip = usize::try_from(from - state.first()).unwrap_or(usize::MAX);
        Ok(Some((state.events.iter().skip(skip).cloned().collect(), head)))
    }
}

impl State {
    fn enter(&mut self, epoch: u64) {
        if self.epoch != epoch {
            self.forget();
            self.epoch = epoch;
        }
    }

    fn forget(&mut self) {
        self.through = None;
        self.events.clear();
        self.bytes = 0;
    }

    /// The first position that is cached, or would be.
    fn first(&self) -> u64 {
        let next = self.through.unwrap_or(0).saturating_add(1);
        self.events.front().map_or(next, |event| event.position.get())
    }

    fn add(&mut self, events: Vec<RecordedEvent>) {
        for event in events {
            self.through = Some(event.position.get());
            self.bytes += event.event.payload.as_bytes().len();
            self.events.push_back(event);
        }
        while self.events.len() > MAX_EVENTS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.event.payload.as_bytes().len();
        }
    }
}

/// The events after a position, at most [`MAX_FETCHED`].
async fn events_after(database: &Database, position: u64) -> Result<Vec<RecordedEvent>, ReadError> {
    let given = arguments![signed(position), signed(MAX_FETCHED as u64)];
    let rows = database.connections.fetch(&database.sql.events_after, given).await?;
    let events = events(&rows, database).await?;
    check_dense(&events)?;
    if events.first().is_some_and(|event| event.position.get() != position + 1) {
        return Err(gap().into());
    }
    Ok(events)
}
