//! Folding stored events into a state: the one place where events are applied.

use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::StreamExt;

use super::Loaded;
use crate::{
    Aggregate, Appended, EventStore, ReadError, RecordedEvent, StreamName, StreamRead, Version,
};

/// Applies what stands behind the loaded version.
pub(super) async fn catch_up<A: Aggregate>(
    store: &dyn EventStore,
    loaded: &mut Loaded<A>,
) -> Result<(), ReadError> {
    let next = loaded.version.next();
    fold_from(store, loaded, next).await.map(drop)
}

/// Applies what stands behind the loaded version and says whether the loaded version itself is
/// there. A stream without it is not the one that the state was made from.
pub(super) async fn catch_up_from_known<A: Aggregate>(
    store: &dyn EventStore,
    loaded: &mut Loaded<A>,
) -> Result<bool, ReadError> {
    let known = loaded.version;
    match fold_from(store, loaded, known).await {
        Ok(through) => Ok(through >= known),
        Err(ReadError::StreamNotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Applies the events from a version on that the state does not contain yet; returns the last
/// version that was there.
async fn fold_from<A: Aggregate>(
    store: &dyn EventStore,
    loaded: &mut Loaded<A>,
    from: Version,
) -> Result<Version, ReadError> {
    let mut pages = store.read_stream(StreamRead::forward(loaded.stream.clone()).from(from));
    let (start, mut last) = (loaded.version, Version::ZERO);
    while let Some(page) = pages.next().await {
        let page = page?;
        for event in page.events {
            last = event.version;
            // An event that an upcaster has split comes in parts of one version: compare with
            // where the fold started, not with the part before.
            if event.version > start {
                apply(&mut loaded.state, event)?;
            }
        }
        // Also over events that an upcaster left out.
        loaded.version = loaded.version.max(page.through);
    }
    Ok(last)
}

fn apply<A: Aggregate>(state: &mut A, event: RecordedEvent) -> Result<(), ReadError> {
    state.apply(&event.into_decoded::<A::Event>()?.event);
    Ok(())
}

/// The state of a stream from its events alone.
pub(super) async fn replay<A: Aggregate>(
    store: &dyn EventStore,
    stream: StreamName,
) -> Result<Loaded<A>, ReadError> {
    let mut loaded = Loaded::empty(stream);
    match catch_up(store, &mut loaded).await {
        Ok(()) | Err(ReadError::StreamNotFound { .. }) => Ok(loaded),
        Err(error) => Err(error),
    }
}

/// Takes in events that were just stored.
///
/// They are stored whatever happens here, so a panic in `apply` must not reach the caller, who
/// would take it for a failed command and ask again. The state stays at the old version, and
/// whoever loads the aggregate next meets the panic.
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
        Err(_) => tracing::error!(stream = %loaded.stream, "a stored event cannot be applied"),
    }
}
