//! Concurrent writers.

use cqrs_core::{
    EventStoreExt, Position,
    store::{Append, AppendError, Read},
};
use futures_util::future::join_all;

use super::fixtures::{
    Any, Fresh, StreamExists, append, assert_sound, events, exact, log, read, stream,
};

pub(super) async fn exactly_one_of_several_writers_succeeds(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "acc-1", Any, 3).await.unwrap();
    for round in 0..10 {
        let at = 3 + round;
        let writers = (0..5).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { append(&store, "acc-1", exact(at), 1).await })
        });
        let results: Vec<_> = join_all(writers).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "round {round}");
        for result in results {
            match result {
                Ok(appended) => assert_eq!(appended.version().get(), at + 1),
                Err(AppendError::Conflict(conflict)) => assert_eq!(conflict.actual.get(), at + 1),
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(assert_sound(&store).await.len(), 13);
}

pub(super) async fn writers_without_an_expected_version_all_succeed(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let writers = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                append(&store, "a-1", Any, 2).await.unwrap();
            }
        })
    });
    join_all(writers).await.into_iter().for_each(Result::unwrap);
    assert_eq!(assert_sound(&store).await.len(), 160);
}

pub(super) async fn a_reader_sees_every_event_once_and_in_order(fresh: &Fresh<'_>) {
    const WRITERS: u64 = 16;
    const APPENDS: u64 = 20;
    let store = fresh().await;
    let writers = (0..WRITERS).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..APPENDS {
                let mut batch = Append::to(stream(&format!("w-{writer}")), Any, events(2));
                if n % 3 == 0 {
                    // Some appends span two streams, one of which is shared by all writers.
                    batch = batch.and_to(stream("shared-1"), Any, events(1));
                }
                let appended = store.append(batch).await.unwrap();
                // Positions are contiguous over all streams of the append.
                let mut next = appended.streams[0].first_position().unwrap();
                for part in &appended.streams {
                    assert_eq!(part.first_position(), Some(next));
                    next = part.position.next();
                }
            }
        })
    });
    let writers = join_all(writers);
    tokio::pin!(writers);
    let total = WRITERS * (APPENDS * 2 + APPENDS.div_ceil(3));
    let (mut cursor, mut seen, mut written) = (Position::START, 0, false);
    while seen < total {
        if !written {
            // Lets the writers continue between two reads.
            tokio::select! {
                done = &mut writers => {
                    done.into_iter().for_each(Result::unwrap);
                    written = true;
                }
                () = tokio::task::yield_now() => {}
            }
        }
        let read = Read::all().after(cursor).page_size(7);
        let events = store.read(read).await.unwrap().collect().await.unwrap();
        assert!(!(written && events.is_empty()), "only {seen} of {total} events can be read");
        for event in events {
            assert_eq!(event.position, cursor.next(), "nothing is skipped, repeated or late");
            cursor = event.position;
            seen += 1;
        }
    }
    assert_eq!(assert_sound(&store).await.len() as u64, total);
}

pub(super) async fn appends_in_opposite_stream_order_do_not_deadlock(fresh: &Fresh<'_>) {
    let store = fresh().await;
    let writers = (0..8).map(|n: u32| {
        let store = store.clone();
        tokio::spawn(async move {
            let (one, other) = if n.is_multiple_of(2) { ("a-1", "b-1") } else { ("b-1", "a-1") };
            for _ in 0..10 {
                let append = Append::to(stream(one), Any, events(1));
                store.append(append.and_to(stream(other), Any, events(1))).await.unwrap();
            }
        })
    });
    join_all(writers).await.into_iter().for_each(Result::unwrap);
    assert_eq!(assert_sound(&store).await.len(), 160);
    assert_eq!(read(&store, "a-1").await.len(), 80);
}

pub(super) async fn stream_exists_accepts_concurrent_appends(fresh: &Fresh<'_>) {
    let store = fresh().await;
    append(&store, "a-1", Any, 1).await.unwrap();
    let writers = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { append(&store, "a-1", StreamExists, 1).await })
    });
    for result in join_all(writers).await {
        result.unwrap().unwrap();
    }
    assert_eq!(assert_sound(&store).await.len(), 9);
}

pub(super) async fn a_cancelled_append_stores_all_or_nothing(fresh: &Fresh<'_>) {
    let store = fresh().await;
    for n in 0..60_u32 {
        let names = [stream(&format!("a-{n}")), stream(&format!("b-{n}"))];
        let append = Append::to(names[0].clone(), Any, events(3));
        let append = append.and_to(names[1].clone(), Any, events(2));
        let again = append.clone();
        let writer = store.clone();
        let task = tokio::spawn(async move { writer.append(append).await });
        for _ in 0..n % 6 {
            tokio::task::yield_now().await;
        }
        task.abort();
        let _ = task.await;
        // One read for both streams, because the append may still be running.
        let there = log(&store).await.into_iter().filter(|e| names.contains(&e.stream)).count();
        assert!(there == 0 || there == 5, "{there} of 5 events are stored");
        // Repeating the append under the same ids stores it in either case.
        store.append(again).await.unwrap();
        assert_eq!(read(&store, names[0].as_str()).await.len(), 3);
    }
    assert_sound(&store).await;
    assert_eq!(log(&store).await.len(), 300);
}
