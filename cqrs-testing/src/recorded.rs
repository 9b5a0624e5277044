//! Events as a log would record them.

use std::fmt::Display;

use cqrs_core::{
    Event, EventId, Metadata, Position, Recorded, StreamName, Timestamp, Version, event::Uuid,
};

/// The stream of events for which a test names none.
pub(crate) const STREAM: &str = "given-1";

/// Records events at consecutive positions.
#[derive(Debug)]
pub(crate) struct Recorder {
    events: u64,
    pub(crate) now: Timestamp,
}

impl Recorder {
    pub(crate) const fn new() -> Self {
        Self { events: 0, now: Timestamp::UNIX_EPOCH }
    }

    #[track_caller]
    pub(crate) fn record<E: Event>(&mut self, stream: impl Display, event: E) -> Recorded<E> {
        self.events += 1;
        let stream = match StreamName::new(stream.to_string()) {
            Ok(stream) => stream,
            Err(error) => panic!("{error}"),
        };
        let (version, position) = (Version::new(self.events), Position::new(self.events));
        let id = EventId::from(Uuid::from_u128(u128::from(self.events)));
        let metadata = Metadata::default().into();
        let event = crate::aggregate::stored(event);
        Recorded::new(stream, version, position, id, self.now, metadata, event)
    }
}
