//! Process managers, written once for every pair of stores.

use std::sync::atomic::Ordering;
use std::time::Duration;

use cqrs::{
    App, EventStoreExt, Processes, Recorded,
    process::{Instance, InstanceQuery, InstanceStatus, ProcessOptions},
    projection::Waited,
    store::Read,
    subscription::Start,
};
use cqrs_testing::{ManualClock, eventually};
use futures_util::future::join_all;

use super::fresh::TestStore;
use crate::script::{Failure, Said, Script, Words, say};

const WITHIN: Duration = Duration::from_secs(60);
const NAME: &str = "script";

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
        let app = App::builder(store).middleware(failure.clone()).build().unwrap();
        Self { app, process_store, clock, failure }
    }

    async fn start<const V: u32>(&self, script: &Script<V>) -> Processes {
        self.start_with(script, impatient()).await
    }

    async fn start_with<const V: u32>(
        &self,
        script: &Script<V>,
        options: ProcessOptions,
    ) -> Processes {
        let running = Processes::builder(&self.app, self.process_store.clone())
            .clock(self.clock.clone())
            .lease(Duration::from_millis(300))
            .poll_interval(Duration::from_millis(10))
            .process_with(script.clone(), options)
            .start()
            .await
            .unwrap();
        assert!(running.wait_until_started(NAME, WITHIN).await.unwrap());
        running
    }

    /// Says a word and waits until the process has handled it.
    async fn say(&self, running: &Processes, word: &str) {
        let position = self.app.dispatch(say("us", word)).await.unwrap().position;
        let waited = running.wait_for(NAME, position, WITHIN).await.unwrap();
        assert_eq!(waited, Waited::CaughtUp);
    }

    /// The words of a speaker.
    async fn said_by(&self, speaker: &str) -> Vec<String> {
        let stream = cqrs::StreamName::new(format!("speaker-{speaker}")).unwrap();
        let all: Vec<Recorded<Said>> =
            self.app.store().read_as(Read::all()).await.unwrap().collect().await.unwrap();
        let ours = all.into_iter().filter(|event| event.stream == stream);
        ours.map(|event| match event.event {
            Said::Said { word } => word,
        })
        .collect()
    }

    async fn until_said(&self, speaker: &str, expected: &[&str]) {
        eventually(WITHIN, || async {
            let said = self.said_by(speaker).await;
            if said == expected { Ok(()) } else { Err(format!("{said:?}")) }
        })
        .await;
    }
}

fn impatient() -> ProcessOptions {
    let pause = Duration::from_millis(2);
    ProcessOptions::new().pauses(pause, pause * 2).retries(3).deadline(Duration::from_millis(150))
}

async fn find(running: &Processes, id: &str) -> Option<Instance> {
    running.instances(NAME, &InstanceQuery::page().id(id)).await.unwrap().pop()
}

async fn words(running: &Processes, id: &str) -> Vec<String> {
    find(running, id).await.unwrap().state.decode::<Words>().unwrap().words
}

async fn until(running: &Processes, id: &str, check: impl Fn(&Instance) -> bool) {
    eventually(WITHIN, || async {
        match find(running, id).await {
            Some(found) if check(&found) => Ok(()),
            found => Err(format!("{found:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn events_are_routed_to_their_instances() {
    let world = World::new().await;
    let running = world.start(&Script::<1>::default()).await;
    for word in
        ["start:a", "start:a", "start:b", "if_started:c", "end:c", "unrouted", "start:a,b,d"]
    {
        world.say(&running, word).await;
    }
    assert_eq!(words(&running, "a").await, ["start:a", "start:a", "start:a,b,d"]);
    assert_eq!(words(&running, "b").await, ["start:b", "start:a,b,d"]);
    assert!(
        find(&running, "c").await.is_none(),
        "continue_if_started and end do not start an instance"
    );
    // The last event is handled; later ones are ignored.
    world.say(&running, "end:a!say=other/bye").await;
    world.say(&running, "start:a").await;
    world.say(&running, "existing:a").await;
    let over = find(&running, "a").await.unwrap();
    assert_eq!(over.status, InstanceStatus::Ended);
    assert_eq!(words(&running, "a").await.len(), 4);
    world.until_said("other", &["bye"]).await;
    let all = running.instances(NAME, &InstanceQuery::page()).await.unwrap();
    assert_eq!(all.iter().map(|found| &*found.id).collect::<Vec<_>>(), ["a", "b", "d"]);
    let page = running.instances(NAME, &InstanceQuery::page().after("a")).await.unwrap();
    assert_eq!(page.len(), 2);
}

#[tokio::test]
async fn strict_routes_suspend_instances_that_do_not_match() {
    let world = World::new().await;
    let running = world.start(&Script::<1>::default()).await;
    for word in ["new:a", "new:a", "existing:b", "start:c"] {
        world.say(&running, word).await;
    }
    let suspended = running.instances(NAME, &InstanceQuery::page().suspended()).await.unwrap();
    assert_eq!(suspended.iter().map(|found| &*found.id).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(words(&running, "c").await, ["start:c"]);
}

#[tokio::test]
async fn a_dispatch_can_wait_until_a_process_has_handled_its_events() {
    let world = World::new().await;
    let running = world.start(&Script::<1>::default()).await;
    let waiter = running.waiter([NAME]).unwrap();
    for n in 1..=20 {
        let outcome = world.app.dispatch(say("us", "start:a")).wait_for(&waiter, WITHIN).await;
        assert_eq!(outcome.unwrap().waited, Some(Waited::CaughtUp));
        assert_eq!(words(&running, "a").await.len(), n);
    }
}

#[tokio::test]
async fn a_panic_in_route_stops_the_process_and_loses_no_event() {
    let world = World::new().await;
    let script = Script::<1>::default();
    script.panics.store(true, Ordering::Release);
    let running = world.start(&script).await;
    world.say(&running, "start:a").await;
    let stuck = world.app.dispatch(say("us", "unroutable")).await.unwrap().position;
    let last = world.app.dispatch(say("us", "start:a!say=other/on")).await.unwrap().position;
    eventually(WITHIN, || async {
        let health = running.health().await.unwrap().remove(0);
        match &health.failure {
            Some(failure) if failure.stopped && failure.position == stuck => Ok(()),
            _ => Err(format!("{health:?}")),
        }
    })
    .await;
    script.panics.store(false, Ordering::Release);
    running.resume(NAME).await.unwrap();
    let waited = running.wait_for(NAME, last, WITHIN).await.unwrap();
    assert_eq!(waited, Waited::CaughtUp);
    world.until_said("other", &["on"]).await;
}

#[tokio::test]
async fn the_start_option_applies_only_when_a_process_is_new() {
    let world = World::new().await;
    world.app.dispatch(say("us", "start:old!say=other/old")).await.unwrap();
    let now = impatient().start(Start::Now);
    let running = world.start_with(&Script::<1>::default(), now).await;
    world.say(&running, "start:new!say=other/new").await;
    world.until_said("other", &["new"]).await;
    assert!(find(&running, "old").await.is_none());
    running.stop().await;
    // A restart continues from the checkpoint, regardless of the options.
    world.app.dispatch(say("us", "start:new!say=other/more")).await.unwrap();
    let running = world.start_with(&Script::<1>::default(), now).await;
    world.until_said("other", &["new", "more"]).await;
    running.stop().await;
}

#[tokio::test]
async fn commands_are_sent_in_order_and_name_their_cause() {
    let world = World::new().await;
    let running = world.start(&Script::<1>::default()).await;
    world.say(&running, "start:a!say=other/1!say=other/2!say=other/3").await;
    world.until_said("other", &["1", "2", "3"]).await;
    let all: Vec<Recorded<Said>> =
        world.app.store().read_as(Read::all()).await.unwrap().collect().await.unwrap();
    let cause = all[0].id.as_uuid();
    for event in &all[1..] {
        assert_eq!(event.metadata.causation_id.unwrap().as_uuid(), cause);
        assert_eq!(event.metadata.correlation_id, all[0].metadata.correlation_id);
        assert_eq!(event.metadata.actor.as_deref(), Some("process:script"));
    }
    let ids: std::collections::BTreeSet<_> =
        all.iter().map(|event| event.metadata.command_id.unwrap()).collect();
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn a_restart_continues_from_the_checkpoint() {
    let world = World::new().await;
    for round in 0..3 {
        let running = world.start(&Script::<1>::default()).await;
        world.say(&running, &format!("start:a!say=other/{round}")).await;
        world.say(&running, "ignored").await;
        assert_eq!(words(&running, "a").await.len(), round + 1);
        running.stop().await;
    }
    let running = world.start(&Script::<1>::default()).await;
    world.until_said("other", &["0", "1", "2"]).await;
    until(&running, "a", |found| found.commands.is_empty()).await;
}

#[tokio::test]
async fn a_rejection_calls_on_rejected_which_may_suspend_the_instance() {
    let world = World::new().await;
    let running = world.start(&Script::<1>::default()).await;
    world.say(&running, "start:a!say=other/no!say=other/then").await;
    world.until_said("other", &["then", "instead"]).await;
    until(&running, "a", |found| !found.is_busy()).await;
    assert_eq!(words(&running, "a").await[1], "rejected no");
    world.say(&running, "start:b!say=other/no, never").await;
    until(&running, "b", Instance::is_suspended).await;
    // The command is kept, so that it can be retried.
    assert_eq!(find(&running, "b").await.unwrap().commands.len(), 1);
    assert!(running.end(NAME, "b").await.unwrap());
    until(&running, "b", |found| found.status == InstanceStatus::Ended).await;
    assert!(find(&running, "b").await.unwrap().commands.is_empty());
}

#[tokio::test]
async fn a_failing_instance_is_suspended_and_the_others_continue() {
    let world = World::new().await;
    let script = Script::<1>::default();
    script.panics.store(true, Ordering::Release);
    let running = world.start(&script).await;
    world.say(&running, "start:a").await;
    world.say(&running, "start:a!panic!say=other/late").await;
    for word in ["start:a!say=other/later", "start:b!say=other/first"] {
        world.say(&running, word).await;
    }
    world.until_said("other", &["first"]).await;
    let stuck = find(&running, "a").await.unwrap();
    assert_eq!(stuck.waiting.len(), 2);
    assert_eq!(words(&running, "a").await, ["start:a"], "the failed call leaves no trace");
    // It fails again and keeps its waiting events in order.
    running.retry(NAME, "a").await.unwrap();
    eventually(WITHIN, || async {
        let again = find(&running, "a").await.unwrap();
        if again.updated_at >= stuck.updated_at && again.waiting == stuck.waiting {
            Ok(())
        } else {
            Err(format!("{again:?}"))
        }
    })
    .await;
    script.panics.store(false, Ordering::Release);
    running.retry(NAME, "a").await.unwrap();
    world.until_said("other", &["first", "late", "later"]).await;
    until(&running, "a", |found| found.waiting.is_empty() && !found.is_suspended()).await;
    assert_eq!(words(&running, "a").await.len(), 3);
}

#[tokio::test]
async fn a_slow_instance_does_not_delay_others_and_is_suspended_after_its_retries() {
    let world = World::new().await;
    world.failure.0.store(true, Ordering::Release);
    let running = world.start(&Script::<1>::default()).await;
    world.say(&running, "start:a!say=slow/hello").await;
    for n in 0..20 {
        world.say(&running, &format!("start:b{n}!say=other/{n}")).await;
    }
    eventually(WITHIN, || async {
        let said = world.said_by("other").await.len();
        if said == 20 { Ok(()) } else { Err(said) }
    })
    .await;
    // Four attempts without an answer.
    until(&running, "a", Instance::is_suspended).await;
    assert!(world.said_by("slow").await.is_empty());
    world.failure.0.store(false, Ordering::Release);
    running.retry(NAME, "a").await.unwrap();
    world.until_said("slow", &["hello"]).await;
}

#[tokio::test]
async fn timers_fire_once_when_they_are_due_even_after_a_restart() {
    let world = World::new().await;
    let running = world.start(&Script::<1>::default()).await;
    world.say(&running, "start:a!timer=early/10!timer=late/2592000!timer=never/20").await;
    world.say(&running, "start:a!cancel=never").await;
    world.say(&running, "start:b!timer=gone/20").await;
    world.say(&running, "end:b").await;
    world.clock.advance(Duration::from_secs(9));
    assert!(world.said_by("clock").await.is_empty());
    running.stop().await;
    world.clock.advance(Duration::from_secs(60));
    let running = world.start(&Script::<1>::default()).await;
    world.until_said("clock", &["early"]).await;
    // Thirty days later.
    world.clock.advance(Duration::from_secs(2_592_000));
    world.until_said("clock", &["early", "late"]).await;
    until(&running, "a", |found| found.timers.is_empty()).await;
    assert_eq!(words(&running, "a").await[2..], ["timeout early", "timeout late"]);
}

#[tokio::test]
async fn hundreds_of_timers_fire_at_once() {
    let world = World::new().await;
    // Each command needs one of a few connections, and so does the process itself.
    let running = world.start_with(&Script::<1>::default(), ProcessOptions::new()).await;
    let said = (0..600)
        .map(|n| world.app.dispatch(say(&n.to_string(), &format!("start:a{n}!timer=own{n}/10"))));
    let last = join_all(said).await.into_iter().map(|said| said.unwrap().position).max();
    let waited = running.wait_for(NAME, last.unwrap(), WITHIN).await.unwrap();
    assert_eq!(waited, Waited::CaughtUp);
    world.clock.advance(Duration::from_secs(10));
    eventually(WITHIN, || async {
        let head = world.app.store().head().await.unwrap().get();
        if head == 1_200 { Ok(()) } else { Err(head) }
    })
    .await;
}

#[tokio::test]
async fn an_event_recorded_in_time_cancels_a_timer_however_late_it_is_handled() {
    let world = World::new().await;
    let running = world.start(&Script::<1>::default()).await;
    world.say(&running, "start:a!timer=cancelled/10!timer=kept/20").await;
    running.stop().await;
    world.clock.advance(Duration::from_secs(5));
    // While nothing runs, many events are recorded, the last of which cancels the timer.
    for n in 0..300 {
        world.app.dispatch(say("us", &format!("start:b{n}"))).await.unwrap();
    }
    world.app.dispatch(say("us", "if_started:a!cancel=cancelled")).await.unwrap();
    world.clock.advance(Duration::from_secs(60));
    let running = world.start(&Script::<1>::default()).await;
    world.until_said("clock", &["kept"]).await;
    until(&running, "a", |found| found.timers.is_empty()).await;
}

#[tokio::test]
async fn a_state_of_an_earlier_version_is_upcast() {
    let world = World::new().await;
    let running = world.start(&Script::<1>::default()).await;
    world.say(&running, "start:a").await;
    running.stop().await;
    let running = world.start(&Script::<3>::default()).await;
    world.say(&running, "start:a!say=other/now").await;
    assert_eq!(words(&running, "a").await, ["start:a", "upcast from 1", "start:a!say=other/now"]);
    running.stop().await;
    // A state that is newer than the process manager.
    let running = world.start(&Script::<2>::default()).await;
    world.say(&running, "start:a").await;
    until(&running, "a", Instance::is_suspended).await;
    let unknown = running.instances("unknown", &InstanceQuery::page()).await.unwrap_err();
    assert_eq!(unknown.to_string(), "no process `unknown`");
}

#[tokio::test]
async fn an_instance_that_an_operator_ended_sends_no_commands() {
    let world = World::new().await;
    world.failure.0.store(true, Ordering::Release);
    let running = world.start(&Script::<1>::default()).await;
    world.say(&running, "start:a!say=slow/hello").await;
    running.stop().await;
    // Requested while nothing runs: the next start finds the request together with the command.
    assert!(running.end(NAME, "a").await.unwrap());
    world.failure.0.store(false, Ordering::Release);
    let running = world.start(&Script::<1>::default()).await;
    until(&running, "a", |found| found.status == InstanceStatus::Ended).await;
    // A command that is sent later than the ended instance's would have been.
    world.say(&running, "start:b!say=other/done").await;
    world.until_said("other", &["done"]).await;
    assert!(world.said_by("slow").await.is_empty());
}
