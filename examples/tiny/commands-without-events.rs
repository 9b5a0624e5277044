//! Commands over a table of states, without events: each writer states the version that it has read,
//! and a write based on an old version is a conflict.
//!
//! `cargo run --example tiny-commands-without-events`

use cqrs::memory::MemoryStore;
use cqrs::{
    StreamName, Version,
    event::Payload,
    store::{SaveStateError, State, StateStore},
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Settings {
    language: String,
}

/// Changes the language if the settings are still at the version `seen`.
async fn change_language(
    store: &impl StateStore,
    seen: Version,
    language: &str,
) -> Result<Version, Box<dyn std::error::Error>> {
    let settings = Settings { language: language.to_owned() };
    let state = State::new("settings 1", Payload::encode(&settings)?);
    Ok(store.save_state(&StreamName::new("settings-alice")?, seen, state).await?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = MemoryStore::new();
    let first = change_language(&store, Version::ZERO, "de").await?;
    change_language(&store, first, "fr").await?;

    match change_language(&store, first, "it").await {
        Err(error) => {
            println!("rejected: {error}");
            assert!(matches!(error.downcast_ref(), Some(SaveStateError::Conflict(_))));
        }
        Ok(version) => panic!("version {version} was overwritten"),
    }

    let row = store.load_state(&StreamName::new("settings-alice")?).await?.ok_or("no row")?;
    let settings: Settings = row.state.payload.decode()?;
    println!("version {}: {settings:?}", row.version);
    assert_eq!(settings.language, "fr");
    Ok(())
}
