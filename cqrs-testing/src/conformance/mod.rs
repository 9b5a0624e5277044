//! The laws of a store, one case each.
//!
//! Every backend runs all of them with [`conformance!`](mod@crate::conformance); the list stands
//! here and nowhere else, so no backend can forget one. A case gets stores of its own, says what
//! it needs, and prints its law when it fails.
//!
//! ```ignore
//! cqrs_testing::conformance! {
//!     store = MemoryStore::new(),
//!     skip = [streams_are_listed => "this store cannot list"],
//! }
//! ```
//!
//! Each case becomes a test under its own name; a skipped one is ignored with its reason. The
//! expression makes a fresh, empty store each time; it may `.await`.

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
mod streams;
mod subscribe;

use cqrs_core::{
    EventStore,
    store::{SnapshotStore, StateStore},
    subscription::CheckpointStore,
};

/// What the suite is run against.
pub trait Store: EventStore + SnapshotStore + StateStore + CheckpointStore + Clone {}

impl<S: EventStore + SnapshotStore + StateStore + CheckpointStore + Clone> Store for S {}

macro_rules! cases {
    (($d:tt) $($module:ident { $($name:ident: $law:literal,)* })*) => {
        /// Every case: its name and its law.
        pub const CASES: &[(&str, &str)] = &[$($((stringify!($name), $law),)*)*];

        /// Runs one case by name; `fresh` makes an empty store of its own each time.
        ///
        /// # Panics
        /// When the store breaks the law, and for a name that is not in [`CASES`].
        pub async fn run<S: Store>(name: &str, fresh: &impl AsyncFn() -> S) {
            match name {
                $($(stringify!($name) => $module::$name(fresh).await,)*)*
                _ => panic!("there is no case `{name}`"),
            }
        }

        /// The names, so that a skip of something else does not compile.
        #[doc(hidden)]
        #[allow(missing_docs, non_upper_case_globals)]
        pub mod names {
            $($(pub const $name: () = ();)*)*
        }

        /// Runs every case of the conformance suite against a store; see
        /// [`conformance`](mod@crate::conformance).
        #[macro_export]
        macro_rules! conformance {
            (store = $d store:expr $d(, skip = [$d($d skip:ident => $d why:literal),* $d(,)?])? $d(,)?) => {
                $d($d(const _: () = $crate::conformance::names::$d skip;)*)?
                $($($crate::conformance_case! {
                    $name, $d store, [$d($d($d skip => $d why,)*)?]
                })*)*
            };
        }

        /// One case: ignored if it is among the skipped ones.
        #[doc(hidden)]
        #[macro_export]
        macro_rules! conformance_case {
            $($(($name, $d store:expr, [$name => $d why:literal, $d($d rest:tt)*]) => {
                #[test]
                #[ignore = $d why]
                fn $name() {
                    $crate::conformance::check(stringify!($name), &async || $d store);
                }
            };)*)*
            ($d name:ident, $d store:expr, [$d other:ident => $d why:literal, $d($d rest:tt)*]) => {
                $crate::conformance_case! { $d name, $d store, [$d($d rest)*] }
            };
            ($d name:ident, $d store:expr, []) => {
                #[test]
                fn $d name() {
                    $crate::conformance::check(stringify!($d name), &async || $d store);
                }
            };
        }
    };
}

/// Runs one case to its end on a runtime of its own.
///
/// # Panics
/// When the store breaks the law.
pub fn check<S: Store>(name: &str, fresh: &impl AsyncFn() -> S) {
    if let Some((_, law)) = CASES.iter().find(|(known, _)| *known == name) {
        eprintln!("law: {law}");
    }
    // More threads than cores, so that what can meet does meet.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(name, fresh)),
        Err(error) => panic!("no runtime: {error}"),
    }
}

cases! { ($)
    append {
        events_are_stored_in_order: "Events of one append get the next versions and positions, in order.",
        streams_grow_independently: "Versions are dense in each stream, whatever happens in others.",
        any_continues_where_the_stream_is: "Any accepts every version.",
        no_stream_means_none: "NoStream accepts only a stream without events.",
        stream_exists_means_some: "StreamExists accepts only a stream with events.",
        exact_means_exactly: "Exact accepts that version alone.",
        exact_on_a_missing_stream: "Exact(0) is NoStream; any other exact version is a wrong one.",
        a_given_event_id_is_the_stored_one: "An event is stored under the id it brings.",
        metadata_is_kept: "Metadata comes back as it was given, absent parts absent.",
        recorded_at_is_given_or_the_stores_own: "An event's own time is kept; otherwise the append's time is used for all.",
        thousands_of_events_at_once: "An append of 8,001 events is stored whole and in order.",
        an_empty_append_is_a_condition: "An append without events writes nothing, and checks its expectation.",
        the_answer_tells_versions_and_positions: "The answer names the last version and position, and how many events.",
        a_conflict_tells_what_is: "A conflict names the stream, the expectation and the actual version.",
        several_streams_all_or_nothing: "Several streams are stored together or not at all.",
        positions_follow_the_order_of_the_streams: "Positions are given in the order of the streams, without a gap.",
        an_invalid_append_is_refused_before_anything_is_written: "Append::check is asked first.",
        schema_versions_are_kept: "An event's schema version comes back as it was given.",
    }
    repetition {
        the_same_append_again_is_answered_as_before: "The same events in the same streams and order give the first outcome again.",
        several_streams_again: "That holds for several streams, parts without events included.",
        an_id_stored_otherwise_is_a_duplicate: "An event id in other company, order or stream is refused.",
        the_same_content_under_new_ids_is_another_append: "Without its ids an append is a new one, and its expectation fails.",
        a_known_command_is_answered_as_before: "A recorded command gives its first outcome and stores nothing.",
        a_command_without_events_is_remembered: "A command is recorded also when it stored no events.",
        a_command_id_for_another_command_is_refused: "The same command id with another fingerprint is an error.",
        a_refused_append_records_no_command: "The command record is written if and only if the rest is.",
        commands_are_found_and_forgotten: "Records can be looked up, and forgotten by their time.",
    }
    order {
        one_of_several_writers_wins: "Of concurrent appends that expect one version exactly one succeeds.",
        writers_without_expectation_all_succeed: "Concurrent appends without expectation lose nothing.",
        a_reader_sees_every_event_once_and_in_order: "A tailing reader never skips, repeats or goes back; appends are contiguous.",
        streams_in_opposite_order_do_not_deadlock: "Appends over the same streams in opposite order all end.",
        stream_exists_under_load: "StreamExists holds under concurrent appends.",
        a_dropped_append_is_whole_or_absent: "Dropping an append leaves all of it or nothing.",
    }
    read {
        an_unknown_stream_is_not_found: "Reading a stream without events is an error, when the first page is asked for.",
        starts_behind_the_end_are_empty: "A start behind the end is an empty read.",
        forward_from_a_version_with_a_limit: "A stream is read from a version on, inclusive, up to a limit.",
        backward_from_a_version: "A stream is read backward from a version, inclusive.",
        page_sizes_do_not_change_what_is_read: "Pages of any size give the same events; none is larger or needlessly empty.",
        the_log_in_both_directions: "The log is read in order of position, each event once, from a position on.",
        an_empty_read_is_one_empty_page: "A read of the log with nothing to return gives one empty page.",
        a_dropped_read_frees_the_store: "Reads dropped half-way do no harm.",
        a_read_ends_at_the_head_it_began_at: "What is appended during a read is not part of it.",
        filters_let_through_what_they_say: "Stream, categories, types and their combinations, in both directions.",
        a_conversation_across_streams: "Events are found by their correlation.",
        a_filtered_read_moves_its_cursor_to_the_head: "Pages say how far the log was looked at.",
    }
    streams {
        what_is_known_about_a_stream: "A stream's info: version, newest position, times; nothing for one without events.",
        streams_are_listed: "Listing sorts, pages and searches literally; totals are right.",
        head_counts_every_event: "The head is the number of events in the log.",
    }
    hostile {
        names_are_data: "Quotes, percent signs, dashes, emoji and control characters in names have no effect.",
        content_is_kept_byte_for_byte: "Payloads come back byte for byte, beyond the basic plane and beyond 8 kB.",
        numbers_out_of_any_range: "The largest versions, positions, limits and pages are answered, not feared.",
        hostile_metadata_and_types: "Actors, headers and event types are data.",
    }
    snapshot {
        snapshots_are_kept_replaced_and_removed: "One snapshot a stream: kept, replaced, removed; a missing one is none.",
    }
    state {
        a_state_goes_with_its_events: "A state is written if and only if its events are, at the stream's version.",
        states_without_events_count_their_changes: "A state without events is kept if nobody changed it in between.",
        one_of_several_savers_wins: "Of concurrent saves of one version exactly one succeeds.",
    }
    subscribe {
        from_the_past_into_the_present: "A subscription delivers what is stored and what follows, each once, in order.",
        from_now_on: "A subscription from now on delivers only what follows.",
        from_a_position_on: "A subscription behind a position delivers what stands behind it.",
        a_filtered_subscription: "A filtered subscription delivers only what passes, past and present.",
        the_head_is_waited_for: "wait_for_head_after returns at once for what is there, and after an append.",
        a_slow_subscriber_holds_nothing_up: "A subscriber that does not read delays nobody and misses nothing.",
    }
    durable {
        it_goes_on_behind_its_checkpoint: "A durable subscription goes on behind what was acknowledged.",
        the_start_counts_once: "Where a durable subscription starts counts when its name is new.",
        acknowledging_one_by_one: "The checkpoint is the highest position below which everything is acknowledged.",
        what_is_passed_over_is_done: "Events that do not pass the filter move the checkpoint by themselves.",
        one_is_served_and_the_others_stand_by: "Of several under one name one is served, and another when it ends.",
        a_claim_is_given_to_one_at_a_time: "A claim is given out when nobody holds it, and renewed only by its holder.",
        a_lost_claim_moves_nothing: "A claim that is not the newest moves and releases nothing, whatever ended it.",
        a_checkpoint_never_decreases: "Saving a lower checkpoint changes nothing.",
        reset_and_removed_while_in_use: "A subscription that was reset or removed while in use begins anew.",
        checkpoints_are_listed_by_name: "Checkpoints are listed by name.",
    }
    isolation {
        stores_do_not_see_each_other: "Two stores share no streams, snapshots, states, commands or positions.",
    }
}
