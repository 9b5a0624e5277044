//! The newest events, shared by everybody in the process who follows the log.
//!
//! Invariant: `events` are all events from some position up to `through`, and at the moment of
//! the last question `through` was the head. Positions are dense and final, so what is remembered
//! never needs to be read again; a question fetches only what came since.
//!
//! A reader must see what was committed before it asked. So it is served from memory only after a
//! question that was *sent* after the reader came; all readers that came meanwhile share it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use cqrs_core::{Position, event::RecordedEvent, store::ReadError};
use tokio::sync::Mutex;

use crate::epoch::Epoch;
use crate::read::log::following;
use crate::store::Shared;

/// Most events in memory, and most bytes of their payloads.
const MOST_EVENTS: usize = 4_096;
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// Most events one question fetches. Whoever is further behind reads the log itself.
pub(crate) const MOST_FETCHED: usize = 1_000;

#[derive(Debug)]
pub(crate) struct Newest {
    epoch: Epoch,
    /// How many questions were ever begun.
    asked: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    learnt_in: u64,
    /// `None`: nothing is remembered.
    through: Option<u64>,
    events: VecDeque<RecordedEvent>,
    bytes: usize,
    /// The number of the last question that was answered.
    answered: u64,
}

impl Newest {
    pub(crate) fn new(epoch: Epoch) -> Self {
        let state = State {
            learnt_in: epoch.now(),
            through: None,
            events: VecDeque::new(),
            bytes: 0,
            answered: 0,
        };
        Self { epoch, asked: AtomicU64::new(0), state: Mutex::new(state) }
    }

    /// Starts to remember, if nothing is remembered yet, behind a head the database told.
    pub(crate) fn start_behind(&self, head: Position) {
        // Somebody at work here remembers already.
        if let Ok(mut state) = self.state.try_lock() {
            state.enter(self.epoch.now());
            state.through.get_or_insert(head.get());
        }
    }

    /// All events from a position on, and the head as it is now; `None` when they are not
    /// remembered.
    pub(crate) async fn read(
        &self,
        from: u64,
        shared: &Shared,
    ) -> Result<Option<(Vec<RecordedEvent>, Position)>, ReadError> {
        let asked_before = self.asked.load(Ordering::Acquire);
        let mut state = self.state.lock().await;
        let now = self.epoch.now();
        state.enter(now);
        let Some(through) = state.through.filter(|_| from >= state.first()) else {
            return Ok(None);
        };
        if state.answered <= asked_before {
            let question = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
            let fetched = following(shared, through).await?;
            if fetched.len() >= MOST_FETCHED || self.epoch.now() != now {
                state.forget();
                return Ok(None);
            }
            state.add(fetched);
            state.answered = question;
        }
        let head = Position::new(state.through.unwrap_or(through));
        shared.head.raise(head);
        let skip = usize::try_from(from - state.first()).unwrap_or(usize::MAX);
        Ok(Some((state.events.iter().skip(skip).cloned().collect(), head)))
    }
}

impl State {
    fn enter(&mut self, epoch: u64) {
        if self.learnt_in != epoch {
            self.forget();
            self.learnt_in = epoch;
        }
    }

    fn forget(&mut self) {
        self.through = None;
        self.events.clear();
        self.bytes = 0;
    }

    /// The first position that is remembered, or would be.
    fn first(&self) -> u64 {
        let behind = self.through.unwrap_or(0).saturating_add(1);
        self.events.front().map_or(behind, |event| event.position.get())
    }

    fn add(&mut self, events: Vec<RecordedEvent>) {
        for event in events {
            self.through = Some(event.position.get());
            self.bytes += event.event.payload.as_bytes().len();
            self.events.push_back(event);
        }
        while self.events.len() > MOST_EVENTS || self.bytes > MOST_BYTES {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.event.payload.as_bytes().len();
        }
    }
}
