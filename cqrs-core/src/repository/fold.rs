//! Folding stored events into a state: the one place where events are applied.

use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::StreamExt;

use super::Loaded;
use crate::{
    Aggregate, Appended, EventStore, ReadError, RecordedEvent, StreamName, StreamRead, Version,
};

/// Applies what stands behind the loaded version, and says whether that version itself is there.
///
/// A stream without it is not the one that the state was made from: it was removed, or an older
/// backup is running. The state is of no use then.
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
            // An event that an upcaster has split comes in parts of one version: compare with
            // where the fold started, not with the part before.
            if event.version > known {
                apply(&mut loaded.state, event)?;
            }
        }
        // Also over events that an upcaster left out.
        loaded.version = loaded.version.max(page.through);
    }
    Ok(last >= known)
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
    catch_up(store, &mut loaded).await?;
    Ok(loaded)
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
