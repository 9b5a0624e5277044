//! Which headers and actors commands carry, written once for every pair of stores.

use std::time::Duration;

use cqrs::{
    App, EventHandler, EventStoreExt, Metadata, Processes, Recorded,
    app::Clock,
    process::{
        CommandScheduler, Destinations, HandlerContext, HandlerError, Instance, InstanceQuery,
        ProcessOptions, ScheduledCommand,
    },
    store::Read,
};
use cqrs_testing::{ManualClock, eventually};

use super::fresh::TestStore;
use crate::script::{Failure, Said, Script, Speaker, say};

const WITHIN: Duration = Duration::from_secs(60);

/// Repeats every word that is not its own.
struct Repeat;

impl EventHandler for Repeat {
    type Event = Said;
    const NAME: &'static str = "repeat";

    async fn handle(
        &self,
        event: &Recorded<Said>,
        context: &mut HandlerContext<'_>,
    ) -> Result<(), HandlerError> {
        if event.stream.as_str() == "speaker-us" {
            context.dispatch(say("repeat", "again")).await?;
        }
        Ok(())
    }
}

struct World {
    app: App,
    process_store: TestStore,
    clock: ManualClock,
    failure: Failure,
}

impl World {
    async fn new() -> Self {
        let clock = ManualClock::new();
        let (store, process_store) = super::fresh::stores(&clock).await;
        let failure = Failure::default();
        let app = App::builder(store).middleware(failure.clone()).propagate(["tenant"]);
        Self { app: app.build().unwrap(), process_store, clock, failure }
    }

    async fn start(&self) -> Processes {
        Processes::builder(&self.app, self.process_store.clone())
            .clock(self.clock.clone())
            .lease(Duration::from_millis(300))
            .poll_interval(Duration::from_millis(10))
            .process_with(Script::<1>::default(), ProcessOptions::new())
            .handler(Repeat)
            .scheduled_commands(Destinations::new().to::<Speaker>())
            .start()
            .await
            .unwrap()
    }

    /// Waits for the first event of a speaker and returns its metadata.
    async fn metadata_of(&self, speaker: &str, word: &str) -> Metadata {
        let expected = Said::Said { word: word.to_owned() };
        let stream = format!("speaker-{speaker}");
        let is_it =
            |event: &Recorded<Said>| event.stream.as_str() == stream && event.event == expected;
        let find = async || {
            let all = self.app.store().read_as::<Said>(Read::all().of::<Said>()).await.unwrap();
            let all: Vec<Recorded<Said>> = all.collect().await.unwrap();
            all.into_iter().find(is_it)
        };
        eventually(WITHIN, || async { find().await.map(drop).ok_or("no event") }).await;
        (*find().await.unwrap().metadata).clone()
    }
}

/// One header that the application propagates and one that it does not.
fn metadata() -> Metadata {
    Metadata::default().with_header("tenant", "acme").with_header("secret", "x")
}

fn assert_only_the_tenant(metadata: &Metadata, of: &str) {
    let keys: Vec<&str> = metadata.headers.keys().map(String::as_str).collect();
    assert_eq!(keys, ["tenant"], "{of}");
    assert_eq!(metadata.headers["tenant"], "acme", "{of}");
}

#[tokio::test]
async fn declared_headers_reach_the_events_of_every_caused_command() {
    let world = World::new().await;
    let running = world.start().await;
    let script = "start:a!say=other/now!say=other/no!timer=late/10";
    world.app.dispatch(say("us", script)).metadata(metadata()).await.unwrap();
    for (speaker, word) in [("other", "now"), ("repeat", "again"), ("other", "instead")] {
        assert_only_the_tenant(&world.metadata_of(speaker, word).await, word);
    }
    world.clock.advance(Duration::from_secs(10));
    assert_only_the_tenant(&world.metadata_of("clock", "late").await, "after a timer");
    running.stop().await;
}

#[tokio::test]
async fn declared_headers_and_the_correlation_id_reach_the_events_of_a_scheduled_command() {
    let world = World::new().await;
    let running = world.start().await;
    let correlation = cqrs::event::CorrelationId::random();
    let due = world.clock.now().plus(Duration::from_secs(10));
    let command = ScheduledCommand::new("later", due, say("scheduled", "later"))
        .metadata(metadata().with_correlation_id(correlation));
    CommandScheduler::new(world.app.clone()).schedule(command).await.unwrap();
    world.clock.advance(Duration::from_secs(10));
    let found = world.metadata_of("scheduled", "later").await;
    assert_only_the_tenant(&found, "scheduled");
    assert_eq!(found.correlation_id, Some(correlation));
    assert_eq!(found.actor.as_deref(), Some("process:scheduled_commands"));
    running.stop().await;
}

#[tokio::test]
async fn a_command_is_stored_and_sent_with_the_metadata_that_the_process_gives_it() {
    let world = World::new().await;
    world.failure.0.store(true, std::sync::atomic::Ordering::Release);
    let running = world.start().await;
    let script = "start:a!urgent=slow/hello!timer=late/10";
    world.app.dispatch(say("us", script)).metadata(metadata()).await.unwrap();
    let find = async || -> Option<Instance> {
        running.instances("script", &InstanceQuery::page().id("a")).await.unwrap().pop()
    };
    eventually(WITHIN, || async { find().await.map(drop).ok_or("no instance") }).await;
    let stored = find().await.unwrap();
    assert_eq!(stored.commands[0].actor.as_deref(), Some("dispatcher"));
    assert_eq!(stored.commands[0].headers["priority"], "high");
    assert_eq!(stored.commands[0].headers["tenant"], "acme");
    assert_eq!(stored.timers[0].headers["tenant"], "acme");
    assert!(!stored.timers[0].headers.contains_key("priority"));
    running.stop().await;
    world.failure.0.store(false, std::sync::atomic::Ordering::Release);
    // Read back by the next start.
    let running = world.start().await;
    let sent = world.metadata_of("slow", "hello").await;
    assert_eq!(sent.actor.as_deref(), Some("dispatcher"));
    assert_eq!(sent.headers["priority"], "high");
    assert_eq!(sent.headers["tenant"], "acme");
    running.stop().await;
}
