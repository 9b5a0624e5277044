//! Independence of two stores.

use cqrs_core::{
    CommandId, Position, Timestamp, Version,
    event::Payload,
    store::{Append, CommandKey, Snapshot, State},
};

use super::fixtures::{Any, Fresh, append, assert_sound, events, stream};

pub(super) async fn separate_stores_share_nothing(fresh: &Fresh<'_>) {
    let (one, other) = (fresh().await, fresh().await);
    let name = stream("a-1");
    let json = Payload::encode("x").unwrap();
    let key = CommandKey::new(CommandId::random(), &name, &json);
    let append_all = Append::to(name.clone(), Any, events(3))
        .with_state(State::new("1", json.clone()))
        .with_command(key);
    one.append(append_all.clone()).await.unwrap();
    let snapshot = Snapshot::new(name.clone(), Version::new(3), "1", json, Timestamp::UNIX_EPOCH);
    one.save_snapshot(snapshot.clone()).await.unwrap();

    assert!(assert_sound(&other).await.is_empty());
    assert_eq!(other.stream_info(&name).await.unwrap(), None);
    assert_eq!(other.load_snapshot(&name).await.unwrap(), None);
    assert_eq!(other.load_state(&name).await.unwrap(), None);
    assert_eq!(other.find_command(key.id).await.unwrap(), None);
    // The same names, ids and command are new in the other store.
    let appended = other.append(append_all).await.unwrap();
    assert!(!appended.repeated);
    assert_eq!(appended.position(), Position::new(3));
    append(&other, "a-1", Any, 1).await.unwrap();
    other.delete_snapshot(&name).await.unwrap();
    assert_eq!(one.load_snapshot(&name).await.unwrap(), Some(snapshot));
    assert_eq!(assert_sound(&one).await.len(), 3);
    assert_eq!(assert_sound(&other).await.len(), 4);
}
