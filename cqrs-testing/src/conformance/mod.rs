//! The laws that every event store must follow, with one test case for each.
//!
//! Every backend runs all of them with [`conformance!`](macro@crate::conformance), which expands
//! to one test per case, under the case's name:
//!
//! ```
//! use cqrs_memory::MemoryStore;
//!
//! mod memory {
//!     cqrs_testing::conformance! { store = super::MemoryStore::new() }
//! }
//!
//! mod without_listing {
//!     cqrs_testing::conformance! {
//!         store = super::MemoryStore::new(),
//!         skip = [streams_are_listed => "this store cannot list streams"],
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! The expression creates a new, empty store each time it is evaluated, and it may `.await`. A
//! skipped case is an ignored test with its reason; skipping a case that does not exist does not
//! compile. A failing case prints its law.
//!
//! The store's type is erased, so the suite is compiled with this crate and not with your tests.
//! To run a case yourself, for example with a paused clock, call [`run`]; [`CASES`] lists them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // cases fail by panicking

mod append;
mod durable;
mod fixtures;
mod hostile;
mod isolation;
mod order;
mod read;
mod repetition;
mod snapshot;
mod state;
mod store;
mod streams;
mod subscribe;

use std::future::Future;
use std::pin::Pin;

pub use store::Store;
use store::{Fresh, erase};

macro_rules! cases {
    (($d:tt) $($module:ident { $($name:ident: $law:literal,)* })*) => {
        /// The name and the law of every case.
        pub const CASES: &[(&str, &str)] = &[$($((stringify!($name), $law),)*)*];

        fn start<'f>(name: &str, fresh: &'f Fresh<'_>) -> Pin<Box<dyn Future<Output = ()> + 'f>> {
            match name {
                $($(stringify!($name) => Box::pin($module::$name(fresh)),)*)*
                _ => panic!("no case `{name}`"),
            }
        }

        /// The names of the cases, so that skipping an unknown one does not compile.
        #[doc(hidden)]
        #[allow(missing_docs, non_upper_case_globals)]
        pub mod names {
            $($(pub const $name: () = ();)*)*
        }

        /// Expands to one test for each case of the conformance suite; see the module
        /// [`conformance`](mod@crate::conformance).
        ///
        /// Invoke it at most once per module.
        #[macro_export]
        macro_rules! conformance {
            (store = $d store:expr $d(, skip = [$d($d skip:ident => $d why:literal),* $d(,)?])? $d(,)?) => {
                $d($d(const _: () = $crate::conformance::names::$d skip;)*)?

                fn check_store(case: &str) {
                    $crate::conformance::check(case, &async || $d store);
                }

                $($($crate::conformance_case! { $name, [$d($d($d skip => $d why,)*)?] })*)*
            };
        }

        /// One case, ignored if it is among the skipped ones.
        #[doc(hidden)]
        #[macro_export]
        macro_rules! conformance_case {
            $($(($name, [$name => $d why:literal, $d($d rest:tt)*]) => {
                #[test]
                #[ignore = $d why]
                fn $name() {
                    check_store(stringify!($name));
                }
            };)*)*
            ($d name:ident, [$d other:ident => $d why:literal, $d($d rest:tt)*]) => {
                $crate::conformance_case! { $d name, [$d($d rest)*] }
            };
            ($d name:ident, []) => {
                #[test]
                fn $d name() {
                    check_store(stringify!($d name));
                }
            };
        }
    };
}

/// Runs one case by name. `fresh` creates an empty store at each call.
///
/// # Panics
/// Panics if the store breaks the law, or if the name is not in [`CASES`].
pub async fn run<S: Store>(name: &str, fresh: &impl AsyncFn() -> S) {
    let fresh = erase(fresh);
    start(name, &*fresh).await;
}

/// Runs one case to completion on its own runtime, after printing its law.
///
/// # Panics
/// Panics if the store breaks the law, or if the name is not in [`CASES`].
pub fn check<S: Store>(name: &str, fresh: &impl AsyncFn() -> S) {
    check_erased(name, &*erase(fresh));
}

fn check_erased(name: &str, fresh: &Fresh<'_>) {
    if let Some((_, law)) = CASES.iter().find(|(known, _)| *known == name) {
        eprintln!("law: {law}");
    }
    crate::runtime::on_many_threads().block_on(start(name, fresh));
}

cases! { ($)
    append {
        events_are_stored_in_order: "The events of one append get consecutive versions and positions, in order.",
        versions_are_dense_in_each_stream: "Versions are dense in each stream, regardless of other streams.",
        any_appends_at_the_current_version: "Any accepts every current version.",
        no_stream_accepts_only_a_missing_stream: "NoStream accepts only a stream without events.",
        stream_exists_rejects_a_missing_stream: "StreamExists accepts only a stream with events.",
        exact_accepts_only_that_version: "Exact accepts only the given version.",
        exact_zero_accepts_only_a_missing_stream: "Exact(0) means the same as NoStream; any other exact version conflicts on a missing stream.",
        an_event_keeps_its_id: "An event is stored under the id it was created with.",
        metadata_is_stored_unchanged: "Metadata is read back as it was written; missing fields stay missing.",
        recorded_at_is_kept_or_set_by_the_store: "An event keeps its own time; the events without one share the time of the append.",
        an_append_can_hold_thousands_of_events: "An append of 8,001 events is stored completely and in order.",
        an_empty_append_checks_its_expected_version: "An append without events writes nothing, but checks its expected version.",
        an_append_reports_versions_and_positions: "The result of an append contains the last version, the last position and the number of events.",
        a_conflict_reports_the_actual_version: "A conflict contains the stream, the expected version and the actual version.",
        several_streams_are_appended_atomically: "An append to several streams stores all of its events or none.",
        positions_follow_the_order_of_streams_in_the_append: "Positions are assigned in the order of the streams in the append, without gaps.",
        an_invalid_append_writes_nothing: "Append::check runs before anything is written.",
        schema_versions_are_stored_unchanged: "An event's schema version is read back as it was written.",
    }
    repetition {
        a_repeated_append_returns_the_first_outcome: "Appending the same events to the same streams in the same order again returns the first outcome.",
        a_repeated_append_to_several_streams_returns_the_first_outcome: "A repeated append to several streams returns the first outcome, including parts without events.",
        an_event_id_in_another_append_is_a_duplicate: "An event id that is already stored in another append, order or stream is an error.",
        new_event_ids_make_a_new_append: "The same events under new ids are a new append, whose expected version is checked.",
        a_repeated_command_returns_the_first_outcome: "Appending for a recorded command returns its first outcome and stores nothing.",
        a_command_without_events_is_recorded: "A command is recorded even if its append has no events.",
        reusing_a_command_id_for_another_command_fails: "A recorded command id with another fingerprint is an error.",
        a_failed_append_records_no_command: "The command record is written if and only if the rest of the append is.",
        command_records_are_found_and_forgotten: "Command records can be looked up by id and deleted by time.",
    }
    order {
        exactly_one_of_several_writers_succeeds: "Of concurrent appends with the same expected version, exactly one succeeds.",
        writers_without_an_expected_version_all_succeed: "Concurrent appends without an expected version all succeed and lose nothing.",
        a_reader_sees_every_event_once_and_in_order: "A reader that polls the log never skips or repeats an event, and appends are contiguous.",
        appends_in_opposite_stream_order_do_not_deadlock: "Concurrent appends to the same streams in opposite order all complete.",
        stream_exists_accepts_concurrent_appends: "Concurrent appends that expect StreamExists all succeed.",
        a_cancelled_append_stores_all_or_nothing: "Dropping the future of an append stores all of it or nothing.",
    }
    read {
        a_missing_stream_is_not_found: "Reading a stream without events fails when the first page is requested.",
        a_read_from_after_the_end_is_empty: "A read that starts after the end is empty.",
        a_stream_is_read_forward_from_a_version_up_to_a_limit: "A forward read starts at the given version, inclusive, and ends at the limit.",
        a_stream_is_read_backward_from_a_version: "A backward read starts at the given version, inclusive.",
        the_page_size_does_not_change_what_is_read: "Every page size returns the same events; no page is larger than the page size or needlessly empty.",
        the_log_is_read_in_both_directions: "The log is read in order of position, each event once, from the given position.",
        an_empty_read_returns_one_empty_page: "A read of the log that matches nothing returns one empty page.",
        a_dropped_read_releases_its_resources: "Reads that are dropped halfway do not block the store.",
        a_read_ends_at_the_head_it_started_with: "Events appended during a read are not part of it.",
        filters_select_the_matching_events: "Filters by stream, category, type and their combinations work in both directions.",
        a_correlation_id_selects_events_across_streams: "A filter by correlation id finds events across streams.",
        a_filtered_read_ends_at_the_head: "Each page of a filtered read reports the position up to which the log was searched.",
    }
    streams {
        stream_info_reports_version_position_and_times: "stream_info returns version, newest position and times, or None for a stream without events.",
        streams_are_listed: "list_streams sorts, pages, searches literally and reports the right total.",
        the_head_is_the_number_of_events: "The head equals the number of events in the log.",
    }
    hostile {
        special_characters_in_names_are_data: "Quotes, percent signs, dashes, emoji and control characters in names have no special meaning.",
        payloads_are_stored_byte_for_byte: "Payloads are read back byte for byte, including astral characters and more than 8 kB.",
        extreme_numbers_are_accepted: "The largest versions, positions, limits and page numbers do not overflow.",
        special_characters_in_metadata_and_types_are_data: "Special characters in actors, headers and event types have no special meaning.",
    }
    snapshot {
        snapshots_are_saved_replaced_and_deleted: "A stream has at most one snapshot, which can be saved, replaced and deleted.",
    }
    state {
        a_state_is_written_with_its_events: "A state is written if and only if its events are, at the stream's version.",
        a_state_without_events_has_its_own_version: "A state without events is saved only if its version is still the expected one.",
        exactly_one_of_several_state_writers_succeeds: "Of concurrent saves with the same expected version, exactly one succeeds.",
    }
    subscribe {
        a_subscription_delivers_stored_and_new_events: "A subscription delivers stored and new events, each once, in order.",
        a_subscription_from_now_delivers_only_new_events: "A subscription that starts now delivers only events appended later.",
        a_subscription_starts_after_its_position: "A subscription after a position delivers only events with a higher position.",
        a_filtered_subscription_delivers_only_matching_events: "A filtered subscription delivers only matching events, stored and new.",
        waiting_for_the_head_ends_with_an_append: "wait_for_head_after returns at once for a known event, and after an append.",
        a_slow_subscriber_does_not_delay_others: "A subscriber that does not read neither delays the others nor misses an event.",
    }
    durable {
        a_durable_subscription_continues_after_its_checkpoint: "A durable subscription continues after the last acknowledged event.",
        the_start_applies_only_to_a_new_name: "The start of a durable subscription applies only when its name is new.",
        the_checkpoint_is_below_the_first_unacknowledged_event: "The checkpoint is the highest position up to which every event is acknowledged.",
        filtered_events_move_the_checkpoint: "Events that do not match the filter count as acknowledged.",
        one_subscriber_per_name_receives_events: "Of several subscribers with one name, one receives events, and another takes over when it ends.",
        a_lease_has_one_owner_at_a_time: "A lease is granted only if it is free, and renewed only by its owner.",
        a_lost_lease_moves_no_checkpoint: "A lease that is not the newest can neither move the checkpoint nor release the subscription.",
        a_checkpoint_never_decreases: "Saving a lower checkpoint changes nothing.",
        a_reset_or_deleted_checkpoint_restarts_the_subscription: "A subscription whose checkpoint is reset or deleted while in use starts again.",
        checkpoints_are_listed_by_name: "list_checkpoints sorts by name.",
    }
    isolation {
        separate_stores_share_nothing: "Two stores share no streams, snapshots, states, commands or positions.",
    }
}

/// A skipped case must exist.
///
/// ```compile_fail,E0425
/// cqrs_testing::conformance! {
///     store = cqrs_memory::MemoryStore::new(),
///     skip = [no_such_case => "a typing error"],
/// }
/// # fn main() {}
/// ```
#[cfg(doctest)]
struct SkippedCasesExist;
