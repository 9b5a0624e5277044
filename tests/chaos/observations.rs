//! What writers and readers observed, and the check that it is consistent.

use std::collections::{HashMap, HashSet};

use cqrs_core::{EventStore, Position, event::RecordedEvent, store::LogRead};
use cqrs_postgres::PgStore;
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An event as a reader saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) position: Position,
    stream: String,
    version: u64,
    id: Uuid,
}

impl Seen {
    pub(crate) fn of(event: &RecordedEvent) -> Self {
        Self {
            position: event.position,
            stream: event.stream.as_str().to_owned(),
            version: event.version.get(),
            id: event.id.as_uuid(),
        }
    }
}

/// What a writer recorded about one append.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Note {
    /// It was acknowledged: the ids of its events, and the positions returned for them.
    Acknowledged { ids: Vec<Uuid>, positions: Vec<u64> },
    /// Its caller rolled it back.
    RolledBack { ids: Vec<Uuid> },
    /// It is about to be appended. The writer may be killed before the outcome is known.
    Intended { ids: Vec<Uuid> },
    /// The store failed: nothing was stored, and the writer tried again.
    Failed,
}

#[derive(Default)]
pub(crate) struct Observations {
    pub(crate) notes: Vec<Note>,
    log: Vec<Seen>,
    read: Vec<(&'static str, Vec<Seen>)>,
}

impl Observations {
    pub(crate) fn read(&mut self, read: (&'static str, Vec<Seen>)) {
        self.read.push(read);
    }

    pub(crate) async fn log(&mut self, store: &PgStore) {
        let pages: Vec<_> = store.read_log(LogRead::forward()).try_collect().await.unwrap();
        self.log = pages.iter().flat_map(|page| &page.events).map(Seen::of).collect();
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.notes.iter().filter(|note| matches!(note, Note::Acknowledged { .. })).count()
    }

    pub(crate) fn failures(&self) -> usize {
        self.notes.iter().filter(|note| matches!(note, Note::Failed)).count()
    }

    pub(crate) fn summary(&self) -> String {
        let delivered: usize = self.read.iter().map(|(_, seen)| seen.len()).sum();
        let repeated: usize = self.read.iter().map(|(_, seen)| repeated(seen)).sum();
        let wanted = self.log.len() * self.read.len();
        let kind = |is: fn(&Note) -> bool| self.notes.iter().filter(|note| is(note)).count();
        format!(
            "delivered {delivered} / committed {} to {} readers / skipped {} / repeated {repeated}; \
             {} appends acknowledged, {} rolled back, {} interrupted because their writer was killed, {} failed and retried",
            self.log.len(),
            self.read.len(),
            wanted.saturating_sub(delivered - repeated),
            self.acknowledged(),
            kind(|note| matches!(note, Note::RolledBack { .. })),
            kind(|note| matches!(note, Note::Intended { .. }))
                - self.acknowledged()
                - kind(|note| matches!(note, Note::RolledBack { .. })),
            self.failures(),
        )
    }

    pub(crate) fn check(&self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "{violations:#?}");
    }

    /// Returns every contradiction, at most 20.
    pub(crate) fn violations(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        // G2: dense positions. G3: dense versions.
        let mut versions: HashMap<&str, u64> = HashMap::new();
        let mut places: HashMap<Uuid, Vec<u64>> = HashMap::new();
        for (expected, event) in (1..).zip(&self.log) {
            if event.position.get() != expected {
                wrong.push(format!("G2: {event:?} instead of position {expected}"));
            }
            let version = versions.entry(&event.stream).or_default();
            *version += 1;
            if event.version != *version {
                wrong.push(format!("G3: {event:?} instead of version {version}"));
            }
            places.entry(event.id).or_default().push(event.position.get());
        }
        // G1: an acknowledged append is stored once, at the returned positions; any other one is
        // stored completely or not at all.
        let empty = Vec::new();
        let place = |id: &Uuid| places.get(id).unwrap_or(&empty);
        let mut known = HashSet::<&Uuid>::new();
        for note in &self.notes {
            match note {
                Note::Acknowledged { ids, positions } => {
                    for (id, position) in ids.iter().zip(positions) {
                        if place(id) != &[*position] {
                            wrong.push(format!(
                                "G1: {id} acknowledged at {position}, is at {:?}",
                                place(id)
                            ));
                        }
                    }
                    known.extend(ids);
                }
                Note::RolledBack { ids } => {
                    wrong.extend(
                        ids.iter().filter(|id| !place(id).is_empty()).map(|id| {
                            format!("G1: {id} was rolled back and is at {:?}", place(id))
                        }),
                    );
                }
                Note::Intended { ids } => {
                    let there = ids.iter().filter(|id| place(id).len() == 1).count();
                    if there != 0 && there != ids.len() {
                        wrong.push(format!(
                            "G1: {there} of {} events are stored: {ids:?}",
                            ids.len()
                        ));
                    }
                    known.extend(ids);
                }
                Note::Failed => {}
            }
        }
        let strangers = self.log.iter().filter(|event| !known.contains(&event.id));
        wrong.extend(strangers.map(|event| format!("G1: no writer wrote {event:?}")));
        // G4, G5: every reader saw exactly the events of the log, in order.
        for (name, seen) in &self.read {
            if *seen != self.log {
                let at =
                    seen.iter().zip(&self.log).take_while(|(seen, event)| seen == event).count();
                wrong.push(format!(
                    "G4: `{name}` saw {} of {} events and differs from the {}th on: {:?} instead of {:?}",
                    seen.len(),
                    self.log.len(),
                    at + 1,
                    seen.get(at),
                    self.log.get(at)
                ));
            }
        }
        wrong.truncate(20);
        wrong
    }
}

fn repeated(seen: &[Seen]) -> usize {
    let distinct: HashSet<_> = seen.iter().map(|event| event.position).collect();
    seen.len() - distinct.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(position: u64, stream: &str, version: u64) -> Seen {
        let id = Uuid::from_u128(position.into());
        Seen { position: Position::new(position), stream: stream.to_owned(), version, id }
    }

    fn note(positions: std::ops::RangeInclusive<u64>) -> Note {
        let ids = positions.clone().map(|position| Uuid::from_u128(position.into())).collect();
        Note::Acknowledged { ids, positions: positions.collect() }
    }

    fn right() -> Observations {
        let log = vec![event(1, "a", 1), event(2, "b", 1), event(3, "a", 2), event(4, "a", 3)];
        let notes = vec![note(1..=1), note(2..=3), note(4..=4)];
        Observations { notes, read: vec![("reader", log.clone())], log }
    }

    fn wrong(change: impl FnOnce(&mut Observations), law: &str) {
        let mut observed = right();
        change(&mut observed);
        let violations = observed.violations();
        assert!(
            violations.iter().any(|violation| violation.starts_with(law)),
            "{law}: {violations:?}"
        );
    }

    #[test]
    fn every_kind_of_violation_is_detected() {
        right().check();
        wrong(|b| b.log[3].position = Position::new(5), "G2");
        wrong(|b| b.log.swap(1, 2), "G2");
        wrong(|b| b.log[3].version = 4, "G3");
        wrong(|b| b.log[3].id = b.log[2].id, "G1");
        wrong(|b| drop(b.log.pop()), "G1");
        wrong(|b| drop(b.notes.pop()), "G1: no writer");
        wrong(|b| b.notes.push(Note::RolledBack { ids: vec![Uuid::from_u128(1)] }), "G1");
        let torn = vec![Uuid::from_u128(1), Uuid::from_u128(77)];
        wrong(|b| b.notes.push(Note::Intended { ids: torn }), "G1");
        wrong(|b| drop(b.read[0].1.remove(1)), "G4");
        wrong(|b| b.read[0].1.swap(0, 1), "G4");
        wrong(
            |b| {
                let again = b.read[0].1[1].clone();
                b.read[0].1.push(again)
            },
            "G4",
        );
    }
}
