//! Interleaves two writers and checks the guarantees afterwards.

use std::collections::{HashMap, HashSet};

use cluster::Database;
use cqrs_core::{
    CommandId, EventStore, EventStoreExt, ExpectedVersion, Position, StreamName, Version,
    event::{NewEvent, Payload, RecordedEvent},
    store::{Append, AppendError, CommandKey, LogRead},
    subscription::{Subscription, SubscriptionOptions},
};
use cqrs_postgres::PgStore;
use futures_util::TryStreamExt;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use crate::gates::{self, GateControl};
use crate::sides::{End, Outcome, Side, run};

/// How the two appends are related.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// Both expect the same version of the same streams: one succeeds.
    SameVersion,
    /// They have nothing in common: both succeed.
    OtherStreams,
    /// They are the same append: it is stored once, and both return its positions.
    SameEvents,
    /// They carry the same command with other events: the first is stored, and both return its
    /// positions.
    SameCommand,
}

pub(crate) struct Harness {
    options: PgConnectOptions,
    gates: GateControl,
    free: PgStore,
    one: Vec<String>,
    several: Vec<String>,
    /// Follows the log from its origin until the end of the test.
    tail: Subscription,
    tailed: u64,
    rounds: u64,
}

/// A side that stops at a gate.
pub(crate) struct Holder {
    side: Side,
    gate: String,
    store: PgStore,
    options: PgConnectOptions,
}

impl Harness {
    pub(crate) async fn new(database: &Database) -> Self {
        Self::with(database, false).await
    }

    pub(crate) async fn without_the_lock(database: &Database) -> Self {
        Self::with(database, true).await
    }

    async fn with(database: &Database, without_lock: bool) -> Self {
        let options = database.options();
        let free = PgStore::builder().options(options.clone()).migrate().await.unwrap();
        let mut connection = options.connect().await.unwrap();
        let (one, several) = gates::install(&mut connection, without_lock).await;
        let rows = "create table public.callers_rows (n int)";
        sqlx::raw_sql(rows).execute(&mut connection).await.unwrap();
        let tail = free.subscribe(SubscriptionOptions::all()).await.unwrap();
        let gates = GateControl::new(connection);
        Self { options, gates, free, one, several, tail, tailed: 0, rounds: 0 }
    }

    /// Returns the gates at which a side can be held.
    pub(crate) fn gates_of(&self, side: Side) -> Vec<String> {
        // Fails if the parser no longer finds the statements of a function.
        assert!(
            self.one.len() >= 10 && self.several.len() >= 14,
            "{:?} {:?}",
            self.one,
            self.several
        );
        match side {
            Side::One => self.one.clone(),
            Side::Several => self.several.clone(),
            Side::Transaction(_) => {
                let own = ["transaction:0", "transaction:1"].map(str::to_owned);
                self.several.iter().cloned().chain(own).collect()
            }
        }
    }

    pub(crate) async fn holder(&self, side: Side, gate: &str) -> Holder {
        let options = gates::stopping_at(&self.options, gate);
        let store =
            PgStore::builder().options(options.clone()).listen(false).connect().await.unwrap();
        Holder { side, gate: gate.to_owned(), store, options }
    }

    /// Holds one side at its gate, lets the other run, and checks the result. Returns `true` if the
    /// first side reached the gate.
    pub(crate) async fn interleave(
        &mut self,
        holder: &mut Holder,
        other: Side,
        relation: Relation,
    ) -> bool {
        self.rounds += 1;
        let before = self.free.head().await.unwrap();
        let [first, second] = self.appends(holder.side, other, relation).await;
        let place = format!("{:?} held at {}, {other:?}, {relation:?}", holder.side, holder.gate);

        self.gates.close().await;
        let held = tokio::spawn(run(
            holder.side,
            first.clone(),
            holder.store.clone(),
            holder.options.clone(),
        ));
        let arrived = async || held.is_finished() || self.gates.at_gate().await.is_some();
        self.gates.until(&format!("at the gate: {place}"), arrived).await;
        let session = self.gates.at_gate().await;

        let free =
            tokio::spawn(run(other, second.clone(), self.free.clone(), self.options.clone()));
        let settled = async || free.is_finished() || self.gates.at_lock().await;
        self.gates.until(&format!("finished or waiting: {place}"), settled).await;

        match session {
            Some(session) if holder.side == Side::Transaction(End::Killed) => {
                self.gates.kill(session).await;
            }
            _ => {}
        }
        self.gates.open().await;
        let outcomes = [(first, held.await.unwrap()), (second, free.await.unwrap())];
        self.check(before, relation, &outcomes, &place).await;
        session.is_some()
    }

    /// Returns the appends of both sides, to streams that have one event each.
    async fn appends(&self, held: Side, other: Side, relation: Relation) -> [Append; 2] {
        let stream = |name: &str| StreamName::new(format!("{name}-{}", self.rounds)).unwrap();
        let event = || vec![NewEvent::json("interleaving.happened", &self.rounds).unwrap()];
        let names = match relation {
            Relation::OtherStreams => [["a", "b"], ["c", "d"]],
            // In the opposite order, which invites a deadlock.
            _ => [["a", "b"], ["b", "a"]],
        };
        let expected = match relation {
            Relation::SameVersion | Relation::OtherStreams => {
                ExpectedVersion::Exact(Version::new(1))
            }
            Relation::SameEvents | Relation::SameCommand => ExpectedVersion::Any,
        };
        for name in ["a", "b", "c", "d"] {
            let append = Append::to(stream(name), ExpectedVersion::NoStream, event());
            self.free.append(append).await.unwrap();
        }
        let append = |side: Side, names: [&str; 2]| {
            // A single event goes to the stream that both write to.
            let first = if side == Side::One && relation != Relation::OtherStreams {
                "a"
            } else {
                names[0]
            };
            let append = Append::to(stream(first), expected, event());
            if side == Side::One {
                append
            } else {
                append.and_to(stream(names[1]), expected, event())
            }
        };
        let mut both = [append(held, names[0]), append(other, names[1])];
        match relation {
            Relation::SameEvents => both[1] = both[0].clone(),
            Relation::SameCommand => {
                let content = Payload::encode(&self.rounds).unwrap();
                let key = CommandKey::new(CommandId::random(), &stream("a"), &content);
                both = both.map(|append| append.with_command(key));
            }
            Relation::SameVersion | Relation::OtherStreams => {}
        }
        both
    }

    async fn check(
        &mut self,
        before: Position,
        relation: Relation,
        outcomes: &[(Append, Outcome); 2],
        place: &str,
    ) {
        let log = self.log_after(before).await;
        // The log without the four events that the streams started with.
        let log = &log[4..];
        let place = format!("{place}: {outcomes:?} {log:?}");
        let at: HashMap<Uuid, &RecordedEvent> =
            log.iter().map(|event| (event.id.as_uuid(), event)).collect();
        assert_eq!(at.len(), log.len(), "an event is stored twice: {place}");
        // G2, G3: positions and versions are dense.
        let mut versions = HashMap::new();
        for (position, event) in (before.get() + 5..).zip(log) {
            assert_eq!(event.position.get(), position, "G2: {place}");
            let version = versions.entry(&event.stream).or_insert(1);
            *version += 1;
            assert_eq!(event.version.get(), *version, "G3: {place}");
        }
        // G1: an acknowledged append is stored completely, at the positions that were returned.
        let mut stored = HashSet::new();
        let mut winners = 0;
        for (append, outcome) in outcomes {
            let ids: Vec<Uuid> = append.events().map(|event| event.id.as_uuid()).collect();
            let there = ids.iter().filter(|id| at.contains_key(id)).count();
            match outcome {
                Outcome::Stored(appended) if appended.repeated => {
                    assert!(
                        log.iter().any(|event| event.position == appended.position()),
                        "G7: {place}"
                    );
                }
                Outcome::Stored(appended) => {
                    winners += 1;
                    stored.extend(ids.iter().copied());
                    assert_eq!(there, ids.len(), "G1: {place}");
                    let last = at[ids.last().unwrap()];
                    assert_eq!(
                        last.position,
                        appended.streams.last().unwrap().position,
                        "G1: {place}"
                    );
                }
                Outcome::Rejected(AppendError::Conflict(conflict)) => {
                    assert_eq!(relation, Relation::SameVersion, "unexpected conflict: {place}");
                    assert_eq!(conflict.actual, Version::new(2), "G3: {place}");
                    assert_eq!(there, 0, "G1: {place}");
                }
                Outcome::RolledBack if relation != Relation::SameEvents => {
                    assert_eq!(there, 0, "G1: {place}");
                }
                Outcome::RolledBack => {}
                Outcome::Unknown => {
                    assert!(there == 0 || there == ids.len(), "G1: {place}");
                    stored.extend(ids.iter().filter(|id| at.contains_key(id)));
                    winners += usize::from(there > 0);
                }
                Outcome::Rejected(error) => panic!("unexpected error {error:?}: {place}"),
            }
        }
        assert!(at.keys().all(|id| stored.contains(id)), "G1: an event of neither side: {place}");
        // One side succeeds if it can; if one rolls back, the other succeeds.
        let gave_up = outcomes.iter().any(|(append, outcome)| match outcome {
            Outcome::RolledBack => true,
            Outcome::Unknown => append.events().all(|event| !at.contains_key(&event.id.as_uuid())),
            _ => false,
        });
        match relation {
            Relation::OtherStreams => assert_eq!(winners, if gave_up { 1 } else { 2 }, "{place}"),
            // The log does not show which side stored the same events.
            Relation::SameEvents => assert!(!log.is_empty(), "G1: {place}"),
            _ => assert!(winners == 1 || gave_up && winners <= 1, "G3, G7: {place}"),
        }
        // G4, G5: a subscription returned the same events.
        self.follow().await;
    }

    async fn log_after(&self, position: Position) -> Vec<RecordedEvent> {
        let pages: Vec<_> =
            self.free.read_log(LogRead::forward().after(position)).try_collect().await.unwrap();
        pages.into_iter().flat_map(|page| page.events).collect()
    }

    async fn follow(&mut self) {
        let head = self.free.head().await.unwrap().get();
        while self.tailed < head {
            let event = self.tail.next().await.unwrap().unwrap();
            self.tailed += 1;
            assert_eq!(event.position.get(), self.tailed, "G4");
        }
    }

    pub(crate) async fn finish(mut self) -> u64 {
        self.follow().await;
        self.tailed
    }
}
