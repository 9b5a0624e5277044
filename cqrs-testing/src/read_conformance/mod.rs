//! The laws of a read store, one case each: generations, leases, fencing, events put aside.
//!
//! ```ignore
//! mod read_store {
//!     cqrs_testing::read_store_conformance! { tables = MyTables, store = MyReadStore::new() }
//! }
//! ```

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // cases fail by panicking

mod generations;
mod leases;
mod parked;

use std::collections::BTreeMap;
use std::time::Duration;

use cqrs_core::projection::{
    Capability, CommitError, ConsumerRecord, LeaseError, Partition, PartitionLease, Swap,
};
use cqrs_core::{
    Position,
    projection::{ConsumerName, ReadStore},
};
use uuid::Uuid;

use crate::tables::{Row, Tables};

macro_rules! cases {
    (($d:tt) $($module:ident { $($name:ident: $law:literal,)* })*) => {
        /// Every case: its name and its law.
        pub const CASES: &[(&str, &str)] = &[$($((stringify!($name), $law),)*)*];

        /// Runs one case by name; `fresh` makes an empty read store of its own each time.
        ///
        /// # Panics
        /// When the store breaks the law, and for a name that is not in [`CASES`].
        pub async fn run<T: Tables>(name: &str, fresh: &impl AsyncFn() -> T::Store) {
            match name {
                $($(stringify!($name) => $module::$name::<T>(fresh).await,)*)*
                _ => panic!("there is no case `{name}`"),
            }
        }

        /// Runs every case against a read store; see
        /// [`read_conformance`](mod@crate::read_conformance).
        #[macro_export]
        macro_rules! read_store_conformance {
            (tables = $d tables:ty, store = $d store:expr $d(,)?) => {
                $($(
                    #[test]
                    fn $name() {
                        $crate::read_conformance::check::<$d tables>(
                            stringify!($name),
                            &async || $d store,
                        );
                    }
                )*)*
            };
        }
    };
}

cases! { ($)
    generations {
        a_generation_is_seen_when_it_is_swapped_in: "Readers see a generation from its swap on, never before.",
        rows_and_checkpoint_come_together: "What is not committed leaves neither rows nor a checkpoint; a checkpoint never decreases.",
        one_generation_is_built_at_a_time: "Of two that begin a generation at once one does; a later version replaces it.",
        a_generation_begins_where_it_is_told: "A generation begins behind the position it is given, in all its partitions.",
        the_live_one_stays_until_the_new_one_is_swapped_in: "A rebuild leaves the live rows alone and replaces them whole.",
        a_generation_is_not_swapped_in_while_the_live_one_knows_more: "Readers never go back; a live generation that is little ahead is held back.",
        a_generation_that_is_given_up_is_gone: "A cancelled generation takes no more writes, and the live one stays.",
        tables_of_projectors_do_not_mix: "Projectors have tables of their own.",
    }
    leases {
        one_owner_at_a_time: "A partition that a living node has is given to nobody else.",
        a_silent_owner_is_replaced: "A node that is silent for longer than its lease owns nothing.",
        a_lost_owner_writes_nothing: "What was begun under an older lease is never committed, and does not block the new owner for long.",
        a_node_that_leaves_gives_everything_back: "Others get what a leaving node had at once.",
        progress_moves_forward_under_the_newest_lease_only: "A heartbeat saves progress forward, and only under the newest lease.",
        nodes_see_each_other: "A heartbeat tells the living nodes and what they can run.",
        trouble_is_on_record_until_it_is_over: "Failure is seen by all until it is over, and reported under the newest lease only.",
        a_pause_is_seen_by_all: "A pause is seen by all, and a resume clears failure.",
        a_store_that_forgot_something_is_noticed: "A checkpoint below that of the lease means that the lease is lost.",
        an_append_enters_the_live_generation: "An append writes to the live generation of its version only.",
        an_append_that_writes_ends_the_lease: "What an append wrote is never written again by who had the partition.",
    }
    parked {
        events_are_put_aside_with_the_transaction: "An event is put aside with its transaction or not at all, and listed in order.",
        a_retry_is_asked_for_by_key: "A retry is asked for by key, seen by the owner, and over when it is noted.",
        a_discarded_event_stays_on_record: "A discarded event stays on record with its reason, and its key is tried again.",
    }
}

/// Runs one case to its end on a runtime of its own.
///
/// # Panics
/// When the store breaks the law.
pub fn check<T: Tables>(name: &str, fresh: &impl AsyncFn() -> T::Store) {
    if let Some((_, law)) = CASES.iter().find(|(known, _)| *known == name) {
        eprintln!("law: {law}");
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(run::<T>(name, fresh)),
        Err(error) => panic!("no runtime: {error}"),
    }
}

/// A lease that does not run out in a test.
const LONG: Duration = Duration::from_secs(600);

fn node() -> Uuid {
    Uuid::now_v7()
}

fn name(name: &str) -> ConsumerName {
    ConsumerName::new(name).unwrap()
}

fn at(position: u64) -> Position {
    Position::new(position)
}

fn capability(projector: &ConsumerName, version: u32) -> Capability {
    Capability { consumer: projector.clone(), version, inline: false }
}

async fn alive<S: ReadStore>(store: &S, node: Uuid, lease: Duration) {
    store.heartbeat(node, lease, &[], &[]).await.unwrap();
}

/// Begins a generation with an empty table.
async fn begin_generation<T: Tables>(
    store: &T::Store,
    projector: &ConsumerName,
    version: u32,
    partitions: u32,
) -> u64 {
    let mut new = store
        .new_generation(projector, version, partitions, Position::START)
        .await
        .unwrap()
        .unwrap();
    T::create(&mut new.tx).await.unwrap();
    let number = new.number;
    store.commit_new(new.tx).await.unwrap();
    number
}

/// A live generation of one partition, with nothing in it.
async fn live<T: Tables>(store: &T::Store, projector: &ConsumerName) -> u64 {
    let generation = begin_generation::<T>(store, projector, 1, 1).await;
    assert_eq!(store.swap(projector, generation).await.unwrap(), Swap::Done);
    generation
}

fn partition(projector: &ConsumerName, generation: u64, number: u32) -> Partition {
    Partition { consumer: projector.clone(), generation, number }
}

async fn lease<S: ReadStore>(store: &S, node: Uuid, partition: &Partition) -> PartitionLease {
    store.acquire(node, partition).await.unwrap().expect("the partition is free")
}

/// Adds amounts to one key and moves the checkpoint.
async fn write<T: Tables>(store: &T::Store, lease: &PartitionLease, amounts: &[i64], through: u64) {
    let mut tx = store.begin(lease).await.unwrap();
    for amount in amounts {
        T::add(&mut tx, "a", *amount, through).await.unwrap();
    }
    store.commit(tx, lease, at(through)).await.unwrap();
}

/// The sum of the one key that the cases write.
async fn sum<T: Tables>(store: &T::Store, projector: &ConsumerName) -> Option<i64> {
    let rows: BTreeMap<String, Row> = T::rows(store, projector.as_str()).await?;
    Some(rows.get("a").map_or(0, |row| row.sum))
}

async fn record<S: ReadStore>(store: &S, projector: &ConsumerName) -> ConsumerRecord {
    store.inspect(Some(projector)).await.unwrap().into_iter().next().expect("it is on record")
}

async fn is_lost<S: ReadStore>(store: &S, lease: &PartitionLease) -> bool {
    match store.begin(lease).await {
        Err(LeaseError::Lost) => true,
        // Some stores find out at the commit.
        Ok(tx) => {
            let committed = store.commit(tx, lease, Position::START).await;
            matches!(committed, Err(CommitError::Lost))
        }
        Err(error) => panic!("{error}"),
    }
}
