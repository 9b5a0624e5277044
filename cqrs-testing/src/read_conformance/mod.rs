//! The laws that every read store must follow, with one test case for each: generations, leases, fencing and parked events.
//!
//! [`read_store_conformance!`](macro@crate::read_store_conformance) expands to one test per case,
//! under the case's name. The cases write and read rows through your implementation of
//! [`Tables`]:
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use cqrs_core::projection::ProjectError;
//! use cqrs_memory::{MemoryReadStore, MemoryTransaction};
//! use cqrs_testing::{Row, Tables};
//!
//! #[derive(Clone, Default)]
//! struct Model(BTreeMap<String, Row>);
//!
//! struct MemoryTables;
//!
//! impl Tables for MemoryTables {
//!     type Store = MemoryReadStore;
//!
//!     async fn create(tx: &mut MemoryTransaction) -> Result<(), ProjectError> {
//!         tx.put(Model::default());
//!         Ok(())
//!     }
//!
//!     async fn add(
//!         tx: &mut MemoryTransaction,
//!         key: &str,
//!         amount: i64,
//!         position: u64,
//!     ) -> Result<(), ProjectError> {
//!         tx.model::<Model>()?.0.entry(key.to_owned()).or_default().add(amount, position);
//!         Ok(())
//!     }
//!
//!     async fn rows(store: &MemoryReadStore, projector: &str) -> Option<BTreeMap<String, Row>> {
//!         let view = store.view::<Model>(projector).ok()?;
//!         Some(view.get()?.0.clone())
//!     }
//! }
//!
//! mod memory {
//!     cqrs_testing::read_store_conformance! {
//!         tables = super::MemoryTables,
//!         store = cqrs_memory::MemoryReadStore::new()
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! The expression creates a new, empty store each time it is evaluated, and it may `.await`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // cases fail by panicking

mod fixtures;
mod generations;
mod leases;
mod parked;

use crate::tables::Tables;

macro_rules! cases {
    (($d:tt) $($module:ident { $($name:ident: $law:literal,)* })*) => {
        /// The name and the law of every case.
        pub const CASES: &[(&str, &str)] = &[$($((stringify!($name), $law),)*)*];

        /// Runs one case by name. `fresh` creates an empty read store at each call.
        ///
        /// # Panics
        /// Panics if the store breaks the law, or if the name is not in [`CASES`].
        pub async fn run<T: Tables>(name: &str, fresh: &impl AsyncFn() -> T::Store) {
            match name {
                $($(stringify!($name) => $module::$name::<T>(fresh).await,)*)*
                _ => panic!("no case `{name}`"),
            }
        }

        /// Expands to one test for each case of the read stores' conformance suite; see the
        /// module [`read_conformance`](mod@crate::read_conformance).
        ///
        /// Invoke it at most once per module.
        #[macro_export]
        macro_rules! read_store_conformance {
            (tables = $d tables:ty, store = $d store:expr $d(,)?) => {
                fn check_read_store(case: &str) {
                    $crate::read_conformance::check::<$d tables>(case, &async || $d store);
                }

                $($(
                    #[test]
                    fn $name() {
                        check_read_store(stringify!($name));
                    }
                )*)*
            };
        }
    };
}

cases! { ($)
    generations {
        a_generation_is_visible_after_its_swap: "Readers see a generation after its swap and not before.",
        rows_and_checkpoint_are_committed_together: "A transaction that is not committed changes neither rows nor checkpoint; a checkpoint never decreases.",
        only_one_generation_is_built_at_a_time: "Of concurrent attempts to begin a generation, one succeeds; a later version replaces it.",
        a_generation_starts_after_the_given_position: "A generation starts after the given position in all its partitions.",
        the_live_generation_stays_until_the_swap: "A rebuild does not change the live rows, and its swap replaces them completely.",
        a_generation_is_not_swapped_in_while_it_lags: "A swap never takes readers back in the log; a live generation that is only slightly ahead is paused until the swap.",
        a_cancelled_generation_accepts_no_writes: "A cancelled generation accepts no more writes, and the live one stays.",
        projectors_have_separate_tables: "Each projector has its own tables.",
    }
    leases {
        a_partition_has_one_owner_at_a_time: "A partition owned by a live node is granted to no other node.",
        an_owner_without_heartbeats_is_replaced: "A node that sends no heartbeat for longer than its lease owns nothing.",
        an_owner_that_lost_its_lease_writes_nothing: "A transaction begun under an older lease is never committed, and does not block the new owner for long.",
        a_leaving_node_releases_its_partitions: "The partitions of a leaving node are free at once.",
        progress_is_saved_under_the_newest_lease_only: "A heartbeat moves progress only forward, and only under the newest lease.",
        a_heartbeat_returns_the_live_nodes: "A heartbeat returns the live nodes and what each can run.",
        a_failure_is_recorded_until_it_is_cleared: "Every node sees a failure until it is cleared; only the newest lease may report one.",
        a_pause_is_visible_to_every_node: "Every node sees a pause, and resuming clears the failure.",
        a_lease_is_lost_if_its_checkpoint_went_back: "A stored checkpoint below that of the lease means that the lease is lost.",
        an_inline_write_enters_only_the_live_generation: "An append writes only to the live generation of its version.",
        an_inline_write_ends_the_lease: "What an append wrote is not written again by the partition's owner.",
    }
    parked {
        an_event_is_parked_with_its_transaction: "An event is parked if and only if its transaction commits; parked events are listed in order.",
        a_retry_is_requested_by_key: "A retry is requested by key, visible to the owner, and complete when its result is recorded.",
        a_discarded_event_stays_on_record: "A discarded event stays on record with its reason, and the other events of its key are retried.",
    }
}

/// Runs one case to completion on its own runtime, after printing its law.
///
/// # Panics
/// Panics if the store breaks the law, or if the name is not in [`CASES`].
pub fn check<T: Tables>(name: &str, fresh: &impl AsyncFn() -> T::Store) {
    if let Some((_, law)) = CASES.iter().find(|(known, _)| *known == name) {
        eprintln!("law: {law}");
    }
    crate::runtime::on_many_threads().block_on(run::<T>(name, fresh));
}
