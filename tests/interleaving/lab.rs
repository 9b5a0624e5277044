//! Where two sides meet, and what must hold afterwards.

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

use crate::gates::{self, Keeper};
use crate::sides::{End, Outcome, Side, run};

/// How what the two sides append is related.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// Both expect the same version of the same streams: one wins.
    SameVersion,
    /// They have nothing in common: both win.
    OtherStreams,
    /// It is the same append: it is stored once, and both hear where.
    SameEvents,
    /// The same command with other events: the first is stored, and both hear where.
    SameCommand,
}

pub(crate) struct Lab {
    options: PgConnectOptions,
    keeper: Keeper,
    free: PgStore,
    one: Vec<String>,
    several: Vec<String>,
    /// Follows from the beginning to the end.
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

impl Lab {
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
        let keeper = Keeper::new(connection);
        Self { options, keeper, free, one, several, tail, tailed: 0, rounds: 0 }
    }

    /// Where a side can be held.
    pub(crate) fn gates_of(&self, side: Side) -> Vec<String> {
        // Were a statement added to a function, it would get a gate; were the parser blind to
        // them, this would say so.
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

    /// Holds one side at its gate, lets the other run, and checks what came of it. Says whether
    /// the gate was on the way.
    pub(crate) async fn meet(
        &mut self,
        holder: &mut Holder,
        other: Side,
        relation: Relation,
    ) -> bool {
        self.rounds += 1;
        let before = self.free.head().await.unwrap();
        let [first, second] = self.appends(holder.side, other, relation).await;
        let place = format!("{:?} held at {}, {other:?}, {relation:?}", holder.side, holder.gate);

        self.keeper.close().await;
        let held = tokio::spawn(run(
            holder.side,
            first.clone(),
            holder.store.clone(),
            holder.options.clone(),
        ));
        let arrived = async || held.is_finished() || self.keeper.at_gate().await.is_some();
        self.keeper.until(&format!("at the gate: {place}"), arrived).await;
        let session = self.keeper.at_gate().await;

        let free =
            tokio::spawn(run(other, second.clone(), self.free.clone(), self.options.clone()));
        let settled = async || free.is_finished() || self.keeper.at_lock().await;
        self.keeper.until(&format!("past or waiting: {place}"), settled).await;

        match session {
            Some(session) if holder.side == Side::Transaction(End::Killed) => {
                self.keeper.kill(session).await;
            }
            _ => {}
        }
        self.keeper.open().await;
        let outcomes = [(first, held.await.unwrap()), (second, free.await.unwrap())];
        self.check(before, relation, &outcomes, &place).await;
        session.is_some()
    }

    /// The appends of both sides, to streams that have one event each.
    async fn appends(&self, held: Side, other: Side, relation: Relation) -> [Append; 2] {
        let stream = |name: &str| StreamName::new(format!("{name}-{}", self.rounds)).unwrap();
        let event = || vec![NewEvent::json("schedule.happened", &self.rounds).unwrap()];
        let names = match relation {
            Relation::OtherStreams => [["a", "b"], ["c", "d"]],
            // The other way round, as two who would lock each other out.
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
            // One event goes to the stream they both know.
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
        // The four events that the streams began with.
        let log = &log[4..];
        let place = format!("lab: {place}: {outcomes:?} {log:?}");
        let at: HashMap<Uuid, &RecordedEvent> =
            log.iter().map(|event| (event.id.as_uuid(), event)).collect();
        assert_eq!(at.len(), log.len(), "an event twice: {place}");
        // G2, G3: dense, in the log and in each stream.
        let mut versions = HashMap::new();
        for (position, event) in (before.get() + 5..).zip(log) {
            assert_eq!(event.position.get(), position, "G2: {place}");
            let version = versions.entry(&event.stream).or_insert(1);
            *version += 1;
            assert_eq!(event.version.get(), *version, "G3: {place}");
        }
        // G1: what was acknowledged is there as it was said, all of it.
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
                    assert_eq!(relation, Relation::SameVersion, "a conflict: {place}");
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
                Outcome::Rejected(error) => panic!("refused {error:?}: {place}"),
            }
        }
        assert!(at.keys().all(|id| stored.contains(id)), "G1: nobody wrote it: {place}");
        // One wins where one can; where one rolls back, the other does.
        let gave_up = outcomes.iter().any(|(append, outcome)| match outcome {
            Outcome::RolledBack => true,
            Outcome::Unknown => append.events().all(|event| !at.contains_key(&event.id.as_uuid())),
            _ => false,
        });
        match relation {
            Relation::OtherStreams => assert_eq!(winners, if gave_up { 1 } else { 2 }, "{place}"),
            // Of the same events it cannot be told whose they are.
            Relation::SameEvents => assert!(!log.is_empty(), "G1: {place}"),
            _ => assert!(winners == 1 || gave_up && winners <= 1, "G3, G7: {place}"),
        }
        // G4, G5: whoever follows saw the same.
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
            assert_eq!(event.position.get(), self.tailed, "lab: G4");
        }
    }

    pub(crate) async fn finish(mut self) -> u64 {
        self.follow().await;
        self.tailed
    }
}
