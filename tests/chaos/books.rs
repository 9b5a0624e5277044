//! What everybody saw, and whether it agrees.

use std::collections::{HashMap, HashSet};

use cqrs_core::{EventStore, Position, event::RecordedEvent, store::LogRead};
use cqrs_postgres::PgStore;
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An event as somebody saw it.
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

/// What a writer noted of one append.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Note {
    /// Acknowledged: its events by id, and the positions they were said to have.
    Acknowledged { ids: Vec<Uuid>, positions: Vec<u64> },
    /// Rolled back by its own caller.
    RolledBack { ids: Vec<Uuid> },
    /// About to be appended: the writer may be killed before it learns what came of it.
    Intended { ids: Vec<Uuid> },
    /// Rejected for a reason of the store's: nothing was stored, and it was tried again.
    Failed,
}

#[derive(Default)]
pub(crate) struct Books {
    pub(crate) notes: Vec<Note>,
    log: Vec<Seen>,
    read: Vec<(&'static str, Vec<Seen>)>,
}

impl Books {
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
             {} appends acknowledged, {} rolled back, {} cut off with their writer, {} refused and tried again",
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

    /// Everything that does not agree.
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
        // G1: acknowledged is there once, where it was said to be; the rest is whole or absent.
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
                            "G1: {there} of {} events are there: {ids:?}",
                            ids.len()
                        ));
                    }
                    known.extend(ids);
                }
                Note::Failed => {}
            }
        }
        let strangers = self.log.iter().filter(|event| !known.contains(&event.id));
        wrong.extend(strangers.map(|event| format!("G1: nobody wrote {event:?}")));
        // G4, G5: every reader saw exactly the log.
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

    fn right() -> Books {
        let log = vec![event(1, "a", 1), event(2, "b", 1), event(3, "a", 2), event(4, "a", 3)];
        let notes = vec![note(1..=1), note(2..=3), note(4..=4)];
        Books { notes, read: vec![("reader", log.clone())], log }
    }

    fn wrong(change: impl FnOnce(&mut Books), law: &str) {
        let mut books = right();
        change(&mut books);
        let violations = books.violations();
        assert!(violations.iter().any(|told| told.starts_with(law)), "{law}: {violations:?}");
    }

    #[test]
    fn books_that_agree_are_right_and_others_are_not() {
        right().check();
        wrong(|b| b.log[3].position = Position::new(5), "G2");
        wrong(|b| b.log.swap(1, 2), "G2");
        wrong(|b| b.log[3].version = 4, "G3");
        wrong(|b| b.log[3].id = b.log[2].id, "G1");
        wrong(|b| drop(b.log.pop()), "G1");
        wrong(|b| drop(b.notes.pop()), "G1: nobody");
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
