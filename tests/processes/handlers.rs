//! Event handlers, written once for every pair of stores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cqrs::{
    App, EventHandler, EventStoreExt, Position, Processes, Recorded,
    app::Clock,
    process::{HandlerContext, HandlerError, HandlerOptions},
    projection::{ConsumerState, FailurePolicy, Waited},
    store::Read,
    subscription::Start,
};
use cqrs_testing::{ManualClock, eventually};
use tokio::sync::Semaphore;

use super::fresh::TestStore;
use crate::script::{Said, say};

const WITHIN: Duration = Duration::from_secs(60);
const NAME: &str = "echo";

/// Repeats every word, and fails or waits if the word says so.
#[derive(Debug)]
struct Echo {
    handled_words: Mutex<Vec<(String, String)>>,
    /// How often `fail` and `panic` fail from now on.
    failures: AtomicUsize,
    /// Releases `wait`.
    gate: Semaphore,
    /// How many events wait.
    waiting: AtomicUsize,
}

impl Default for Echo {
    fn default() -> Self {
        let (handled_words, failures) = (Mutex::default(), AtomicUsize::new(0));
        Self { handled_words, failures, gate: Semaphore::new(0), waiting: AtomicUsize::new(0) }
    }
}

impl Echo {
    fn handled_words(&self) -> Vec<String> {
        self.handled_words.lock().unwrap().iter().map(|(_, word)| word.clone()).collect()
    }

    fn fails(&self) -> bool {
        let next = |left: usize| left.checked_sub(1);
        self.failures.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok()
    }
}

impl EventHandler for Echo {
    type Event = Said;
    const NAME: &'static str = NAME;

    async fn handle(
        &self,
        event: &Recorded<Said>,
        context: &mut HandlerContext<'_>,
    ) -> Result<(), HandlerError> {
        if event.stream.as_str() == "speaker-echo" {
            return Ok(());
        }
        let Said::Said { word } = &event.event;
        self.handled_words.lock().unwrap().push((event.stream.to_string(), word.clone()));
        context.dispatch(say("echo", word)).await?;
        match &**word {
            "fail" if self.fails() => Err("as scripted".into()),
            "panic" if self.fails() => panic!("as scripted"),
            "wait" => {
                self.waiting.fetch_add(1, Ordering::AcqRel);
                self.gate.acquire().await?.forget();
                self.waiting.fetch_sub(1, Ordering::AcqRel);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

struct World {
    app: App,
    process_store: TestStore,
    clock: ManualClock,
}

impl World {
    async fn new() -> Self {
        let clock = ManualClock::new();
        let (store, process_store) = super::fresh::stores(&clock).await;
        Self { app: App::new(store), process_store, clock }
    }

    async fn start(&self, echo: &Arc<Echo>, options: HandlerOptions) -> Processes {
        let running = self.start_without_waiting(echo, options).await;
        assert!(running.wait_until_started(NAME, WITHIN).await.unwrap());
        running
    }

    /// Starts the handler without waiting until it has caught up.
    async fn start_without_waiting(&self, echo: &Arc<Echo>, options: HandlerOptions) -> Processes {
        Processes::builder(&self.app, self.process_store.clone())
            .clock(self.clock.clone())
            .lease(Duration::from_millis(300))
            .poll_interval(Duration::from_millis(10))
            .handler_with(Arc::clone(echo), options)
            .start()
            .await
            .unwrap()
    }

    async fn say(&self, speaker: &str, word: &str) -> Position {
        self.app.dispatch(say(speaker, word)).await.unwrap().position
    }

    async fn log(&self) -> Vec<Recorded<Said>> {
        self.app.store().read_as(Read::all()).await.unwrap().collect().await.unwrap()
    }

    async fn echoed(&self) -> Vec<String> {
        let echoes = self.log().await.into_iter().filter(|e| e.stream.as_str() == "speaker-echo");
        echoes
            .map(|event| match event.event {
                Said::Said { word } => word,
            })
            .collect()
    }
}

async fn wait_until_handled(running: &Processes, position: Position) {
    let waited = running.wait_for(NAME, position, WITHIN).await.unwrap();
    assert_eq!(waited, Waited::CaughtUp);
}

fn quick() -> FailurePolicy {
    FailurePolicy::park().retries(2).pauses(Duration::from_millis(1), Duration::from_millis(2))
}

#[tokio::test]
async fn events_are_handled_in_order_and_commands_name_their_cause() {
    let world = World::new().await;
    let echo = Arc::new(Echo::default());
    let running = world.start(&echo, HandlerOptions::new()).await;
    for n in 0..5 {
        world.say("us", &format!("{n}")).await;
    }
    let last = world.say("them", "5").await;
    wait_until_handled(&running, last).await;
    assert_eq!(echo.handled_words(), ["0", "1", "2", "3", "4", "5"]);
    let log = world.log().await;
    for said in log.iter().filter(|event| event.stream.as_str() != "speaker-echo") {
        let Said::Said { word } = &said.event;
        let echoed = log.iter().find(|event| {
            event.event == Said::Said { word: word.clone() } && event.position > said.position
        });
        let metadata = &echoed.unwrap().metadata;
        assert_eq!(metadata.causation_id.unwrap().as_uuid(), said.id.as_uuid());
        assert_eq!(metadata.correlation_id, said.metadata.correlation_id);
        assert_eq!(metadata.actor.as_deref(), Some("handler:echo"));
    }
    running.stop().await;
    // A restart continues after the handled events.
    let later = Arc::new(Echo::default());
    let running = world.start(&later, HandlerOptions::new()).await;
    let last = world.say("us", "6").await;
    wait_until_handled(&running, last).await;
    assert_eq!(later.handled_words(), ["6"]);
}

#[tokio::test]
async fn a_new_handler_starts_where_its_options_say() {
    let world = World::new().await;
    world.say("us", "old").await;
    let middle = world.say("us", "middle").await;
    world.clock.advance(Duration::from_secs(60));
    let moment = world.clock.now();
    world.say("us", "new").await;
    for (start, expected) in [
        (Start::Origin, vec!["old", "middle", "new", "last"]),
        (Start::After(middle), vec!["new", "last"]),
        (Start::At(moment), vec!["new", "last"]),
        (Start::Now, vec!["last"]),
    ] {
        let (_, process_store) = super::fresh::stores(&world.clock).await;
        // Each handler derives the same command ids, so the log does not change.
        let world = World { app: world.app.clone(), process_store, clock: world.clock.clone() };
        let echo = Arc::new(Echo::default());
        let running = world.start(&echo, HandlerOptions::new().start(start)).await;
        let id = cqrs::event::Uuid::from_u128(9);
        let last = world.app.dispatch(say("us", "last")).command_id(id).await.unwrap().position;
        wait_until_handled(&running, last).await;
        if start == Start::Now && last < world.app.store().head().await.unwrap() {
            // The event was recorded before this handler started.
            assert!(echo.handled_words().is_empty());
        } else {
            assert_eq!(echo.handled_words(), expected, "{start:?}");
        }
        running.stop().await;
    }
}

#[tokio::test]
async fn a_failing_event_is_parked_with_its_key_and_other_keys_continue() {
    let world = World::new().await;
    let echo = Arc::new(Echo::default());
    let running = world.start(&echo, HandlerOptions::new().on_failure(quick())).await;
    // The third attempt succeeds, and its command takes effect once.
    echo.failures.store(2, Ordering::Release);
    let position = world.say("a", "fail").await;
    wait_until_handled(&running, position).await;
    assert_eq!(echo.handled_words(), ["fail"; 3]);
    assert_eq!(world.echoed().await, ["fail"]);

    echo.failures.store(1_000, Ordering::Release);
    let failing = world.say("a", "panic").await;
    world.say("a", "later").await;
    let last = world.say("b", "free").await;
    wait_until_handled(&running, last).await;
    let health = running.health().await.unwrap().remove(0);
    assert_ne!(health.state, ConsumerState::Stopped);
    assert_eq!(health.parked, 2);
    assert!(!echo.handled_words().contains(&"later".to_owned()));
    let parked = running.parked(NAME).await.unwrap();
    assert_eq!(parked[0].position, failing);
    assert!(parked[0].error.as_ref().unwrap().contains("as scripted"), "{parked:?}");

    echo.failures.store(0, Ordering::Release);
    running.retry_parked(NAME, Some("speaker-a")).await.unwrap();
    eventually(WITHIN, || async {
        let left = running.parked(NAME).await.unwrap();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    assert_eq!(world.echoed().await, ["fail", "panic", "free", "later"]);
}

#[tokio::test]
async fn a_handler_that_stops_on_failure_continues_when_it_is_resumed() {
    let world = World::new().await;
    let echo = Arc::new(Echo::default());
    let stop = FailurePolicy::stop().retries(1).pauses(WITHIN / 60_000, WITHIN / 60_000);
    let running = world.start(&echo, HandlerOptions::new().on_failure(stop)).await;
    echo.failures.store(2, Ordering::Release);
    world.say("a", "fail").await;
    let last = world.say("b", "later").await;
    eventually(WITHIN, || async {
        let health = running.health().await.unwrap().remove(0);
        if health.state == ConsumerState::Stopped { Ok(()) } else { Err(format!("{health:?}")) }
    })
    .await;
    assert_eq!(echo.handled_words(), ["fail", "fail"]);
    running.resume(NAME).await.unwrap();
    wait_until_handled(&running, last).await;
    assert_eq!(echo.handled_words(), ["fail", "fail", "fail", "later"]);
}

#[tokio::test]
async fn several_keys_are_handled_at_once_and_each_in_order() {
    let world = World::new().await;
    let echo = Arc::new(Echo::default());
    for word in ["wait", "1", "2"] {
        for key in ["a", "b", "c"] {
            world.say(key, word).await;
        }
    }
    let last = world.app.store().head().await.unwrap();
    let options = HandlerOptions::new().concurrency(9).on_failure(quick());
    let running = world.start_without_waiting(&echo, options).await;
    eventually(WITHIN, || async {
        let waiting = echo.waiting.load(Ordering::Acquire);
        if waiting == 3 { Ok(()) } else { Err(waiting) }
    })
    .await;
    assert_eq!(echo.handled_words(), ["wait"; 3], "each key waits for its first event");
    echo.gate.add_permits(3);
    assert!(running.wait_until_started(NAME, WITHIN).await.unwrap());
    wait_until_handled(&running, last).await;
    for key in ["a", "b", "c"] {
        let handled_words = echo.handled_words.lock().unwrap().clone();
        let mine = handled_words.iter().filter(|(stream, _)| *stream == format!("speaker-{key}"));
        assert_eq!(mine.map(|(_, word)| &**word).collect::<Vec<_>>(), ["wait", "1", "2"]);
    }
    // One of several fails: the others are not handled again.
    running.stop().await;
    let echo = Arc::new(Echo::default());
    echo.failures.store(1, Ordering::Release);
    for (key, word) in [("a", "3"), ("b", "fail"), ("c", "3")] {
        world.say(key, word).await;
    }
    let last = world.app.store().head().await.unwrap();
    let running = world.start(&echo, options).await;
    wait_until_handled(&running, last).await;
    let mut handled_words = echo.handled_words();
    handled_words.sort();
    assert_eq!(handled_words, ["3", "3", "fail", "fail"]);
}
