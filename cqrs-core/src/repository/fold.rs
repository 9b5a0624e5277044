//! Applying stored events to a state.

use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::StreamExt;

use super::Loaded;
use crate::{
    Aggregate, Appended, EventStore, ReadError, RecordedEvent, StreamName, StreamRead, Version,
};

/// Applies the events after the loaded version. Returns `false` if the stream has no event of that
/// version.
///
/// Such a stream is not the one that the state comes from: it was removed, or an older backup was
/// restored. In that case, discard the state.
pub(super) async fn catch_up<A: Aggregate>(
    store: &dyn EventStore,
    loaded: &mut Loaded<A>,
) -> Result<bool, ReadError> {
    let known = loaded.version;
    let mut last = Version::ZERO;
    let mut pages = store.read_stream(StreamRead::forward(loaded.stream.clone()).from(known));
    while let Some(page) = pages.next().await {
        let page = match page {
            Err(ReadError::StreamNotFound { .. }) => break,
            other => other?,
        };
        last = last.max(page.through);
        for event in page.events {
            // If an upcaster split an event, its parts have the same version: compare with the
            // version at the start, not with that of the previous event.
            if event.version > known {
                apply(&mut loaded.state, event)?;
            }
        }
        // Advances over events that an upcaster dropped, too.
        loaded.version = loaded.version.max(page.through);
    }
    Ok(last >= known)
}

fn apply<A: Aggregate>(state: &mut A, event: RecordedEvent) -> Result<(), ReadError> {
    state.apply(&event.into_decoded::<A::Event>()?.event);
    Ok(())
}

/// Loads a state from the events alone.
pub(super) async fn replay<A: Aggregate>(
    store: &dyn EventStore,
    stream: StreamName,
) -> Result<Loaded<A>, ReadError> {
    let mut loaded = Loaded::empty(stream);
    catch_up(store, &mut loaded).await?;
    Ok(loaded)
}

/// Applies events that were just stored.
///
/// A panic in `apply` must not reach the caller, who would take it for a failed command and send it
/// again, although the events are stored. The state stays at the old version, and the panic is
/// reported when the aggregate is loaded next.
pub(super) fn advance<A: Aggregate>(
    loaded: &mut Loaded<A>,
    appended: &Appended,
    events: &[A::Event],
) {
    if appended.repeated {
        return;
    }
    let applied = catch_unwind(AssertUnwindSafe(|| {
        events.iter().for_each(|event| loaded.state.apply(event));
    }));
    match applied {
        Ok(()) => loaded.version = appended.version(),
        Err(_) => tracing::error!(stream = %loaded.stream, "applying a stored event panicked"),
    }
}
