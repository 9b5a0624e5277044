//! Aggregates as they once were.

use futures_util::StreamExt;

use crate::{Aggregate, EventStore, ReadError, StreamName, StreamRead, Timestamp, Version};

/// How far back to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// After the event with this version; the newest state when there are fewer.
    Version(Version),
    /// After the last event before the first one recorded later than this moment.
    Time(Timestamp),
}

/// A state of the past. It can be looked at, and nothing can be decided on it or stored from it.
#[derive(Clone, Debug, PartialEq)]
pub struct PastState<A> {
    version: Version,
    state: A,
}

impl<A> PastState<A> {
    /// The version of the last event in the state.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The state.
    #[must_use]
    pub const fn state(&self) -> &A {
        &self.state
    }
}

/// The state of an aggregate as of a version or a moment; the default state before its first
/// event. Always folded from the events, however the aggregate is kept today.
///
/// # Errors
/// [`ReadError`], never `StreamNotFound`.
pub async fn load_as_of<A: Aggregate>(
    store: &dyn EventStore,
    stream: StreamName,
    as_of: AsOf,
) -> Result<PastState<A>, ReadError> {
    let mut past = PastState { version: Version::ZERO, state: A::default() };
    let mut read = StreamRead::forward(stream);
    if let AsOf::Version(version) = as_of {
        read = read.limit(version.get());
    }
    let mut pages = store.read_stream(read);
    while let Some(page) = pages.next().await {
        let page = match page {
            Err(ReadError::StreamNotFound { .. }) => break,
            other => other?,
        };
        for event in page.events {
            if matches!(as_of, AsOf::Time(moment) if event.recorded_at > moment) {
                return Ok(past);
            }
            let event = event.into_decoded::<A::Event>()?;
            past.state.apply(&event.event);
            past.version = event.version;
        }
    }
    Ok(past)
}
