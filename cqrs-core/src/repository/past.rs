//! States of aggregates in the past.

use futures_util::StreamExt;

use crate::{Aggregate, EventStore, ReadError, StreamName, StreamRead, Timestamp, Version};

/// The point in the past at which to load a state; see [`App::load_as_of`](crate::App::load_as_of).
///
/// ```
/// use cqrs_core::{Timestamp, Version, repository::AsOf};
///
/// let after_the_first_event = AsOf::Version(Version::new(1));
/// let at_the_end_of_the_year = AsOf::Time("2026-12-31T23:59:59Z".parse::<Timestamp>()?);
/// assert_ne!(after_the_first_event, at_the_end_of_the_year);
/// # Ok::<(), cqrs_core::event::InvalidTimestamp>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// After the event with this version. If the stream has fewer events, the current state.
    Version(Version),
    /// At this time: after all events before the first one that was recorded later.
    Time(Timestamp),
}

/// The state of an aggregate in the past. It cannot be saved.
#[derive(Clone, Debug, PartialEq)]
pub struct PastState<A> {
    version: Version,
    state: A,
}

impl<A> PastState<A> {
    /// Returns the version of the last applied event, or [`Version::ZERO`] if there is none.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Returns the state.
    #[must_use]
    pub const fn state(&self) -> &A {
        &self.state
    }
}

/// Loads the state that an aggregate had at a version or a time, or the default state before its
/// first event. Always applies the events, even if the aggregate has snapshots or a stored state.
///
/// # Errors
/// Returns a [`ReadError`] if the store fails or an event cannot be decoded; never
/// [`StreamNotFound`](ReadError::StreamNotFound).
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
