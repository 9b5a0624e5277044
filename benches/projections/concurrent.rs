//! Throughput of appends while read models run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use cqrs::{
    EventStore, ExpectedVersion, Projections, StreamName, projection::ProjectorOptions,
    store::Append,
};
use cqrs_postgres::{PgReadStore, PgStore};

use crate::projectors::Entries;
use crate::shared::filled;
use crate::shared::report::{Report, Target};
use crate::shared::samples::{Spread, events};
use crate::{Effort, known};

pub(crate) async fn measure(effort: &Effort, report: &mut Report) {
    report.section("Appends of 8 callers while read models are updated, relative to appends alone");
    let (database, store) = filled(effort.rows).await;
    let read = || async {
        let options = database.options();
        PgReadStore::builder().options(options).migrate().await.unwrap()
    };
    let (mut rebuilding, mut ten) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds.min(3) {
        let before = appends(&store, effort).await;
        let read = read().await;
        let running = Projections::builder_over(store.clone(), read.clone())
            .projector_with(Entries::<0>, ProjectorOptions::new())
            .start()
            .await
            .unwrap();
        // The log is long enough that the build takes the whole time.
        let busy = appends(&store, effort).await;
        running.stop().await;
        read.drop_everything().await.unwrap();
        // Measured before and after, because the growing log and maintenance change the rate.
        let alone = before.midpoint(appends(&store, effort).await);
        rebuilding.push(busy / alone);
    }
    report.ratio(
        "while a read model is being built",
        Spread::of(rebuilding),
        Some(Target::AtLeast(0.9)),
    );

    let (_few, store) = filled(1_000).await;
    for _ in 0..effort.rounds.min(3) {
        let before = appends(&store, effort).await;
        let read = read().await;
        let running = Projections::builder_over(store.clone(), read.clone())
            .projector(Entries::<0>)
            .projector(Entries::<1>)
            .projector(Entries::<2>)
            .projector(Entries::<3>)
            .projector(Entries::<4>)
            .projector(Entries::<5>)
            .projector(Entries::<6>)
            .projector(Entries::<7>)
            .projector(Entries::<8>)
            .projector(Entries::<9>)
            .start()
            .await
            .unwrap();
        for name in ["entries", "j"] {
            known(&running, name, store.head().await.unwrap()).await;
        }
        let busy = appends(&store, effort).await;
        running.stop().await;
        read.drop_everything().await.unwrap();
        let alone = before.midpoint(appends(&store, effort).await);
        ten.push(busy / alone);
    }
    report.ratio("with ten projectors at the head", Spread::of(ten), None);
}

/// Returns single appends per second of 8 callers.
async fn appends(store: &PgStore, effort: &Effort) -> f64 {
    let over = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let (store, over) = (store.clone(), Arc::clone(&over));
            tokio::spawn(async move {
                let stream = StreamName::of("caller", &caller).unwrap();
                let mut count = 0_u64;
                while !over.load(Ordering::Relaxed) {
                    let append = Append::to(stream.clone(), ExpectedVersion::Any, events(1));
                    store.append(append).await.unwrap();
                    count += 1;
                }
                count
            })
        })
        .collect();
    tokio::time::sleep(effort.duration).await;
    over.store(true, Ordering::Relaxed);
    let mut count = 0;
    for caller in callers {
        count += caller.await.unwrap();
    }
    count as f64 / start.elapsed().as_secs_f64()
}
