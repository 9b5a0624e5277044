//! Recurring and scheduled commands, written once for every pair of stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cqrs::{
    App, EventStoreExt, Processes, StreamName, Timestamp,
    app::{Clock, DispatchError},
    process::{
        CancelError, CommandScheduler, Destinations, Instance, InstanceQuery, InstanceStatus,
        MissedTicks, RecurringCommand, ScheduleError, ScheduledCommand,
    },
    store::Read,
};
use cqrs_testing::{ManualClock, eventually};

use super::fresh::TestStore;
use crate::script::{Failure, Said, Say, Speaker, say};

const WITHIN: Duration = Duration::from_secs(60);
const MINUTE: Duration = Duration::from_secs(60);

/// Says the time at each full minute.
#[derive(Clone, Debug)]
struct EachMinute {
    speaker: &'static str,
    missed: MissedTicks,
    rejected: Arc<AtomicBool>,
}

impl EachMinute {
    fn new(missed: MissedTicks) -> Self {
        Self { speaker: "clock", missed, rejected: Arc::default() }
    }
}

impl RecurringCommand for EachMinute {
    type Command = Say;
    const NAME: &'static str = "each_minute";

    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        Some(after.next_multiple_of(MINUTE))
    }

    fn command(&self, tick: Timestamp) -> Say {
        match self.rejected.load(Ordering::Acquire) {
            true => say(self.speaker, "no"),
            false => say(self.speaker, &tick.to_string()),
        }
    }

    fn missed(&self) -> MissedTicks {
        self.missed
    }
}

struct World {
    app: App,
    process_store: TestStore,
    clock: ManualClock,
    began: Timestamp,
    failure: Failure,
}

impl World {
    async fn new() -> Self {
        let clock = ManualClock::new();
        let (store, process_store) = super::fresh::stores(&clock).await;
        let began = clock.now();
        let failure = Failure::default();
        let app = App::builder(store).middleware(failure.clone()).build().unwrap();
        Self { app, process_store, clock, began, failure }
    }

    async fn start(&self, recurring: &EachMinute) -> Processes {
        let running = Processes::builder(&self.app, self.process_store.clone())
            .clock(self.clock.clone())
            .lease(Duration::from_millis(300))
            .poll_interval(Duration::from_millis(10))
            .recurring(recurring.clone())
            .scheduled_commands(Destinations::new().to::<Speaker>())
            .start()
            .await
            .unwrap();
        for name in ["each_minute", "scheduled_commands"] {
            assert!(running.wait_until_started(name, WITHIN).await.unwrap());
        }
        running
    }

    /// Returns the nth full minute.
    fn minute(&self, n: u32) -> String {
        let mut tick = self.began;
        for _ in 0..n {
            tick = tick.next_multiple_of(MINUTE);
        }
        tick.to_string()
    }

    async fn said(&self) -> Vec<String> {
        let clock = Read::stream(StreamName::new("speaker-clock").unwrap());
        let events = self.app.store().read_as::<Said>(clock).await.unwrap();
        let events = events.collect().await.unwrap();
        events
            .into_iter()
            .map(|event| match event.event {
                Said::Said { word } => word,
            })
            .collect()
    }

    async fn until_said(&self, expected: &[String]) {
        eventually(WITHIN, || async {
            let said = self.said().await;
            if said == expected { Ok(()) } else { Err(format!("{said:?} of {expected:?}")) }
        })
        .await;
    }
}

async fn until(running: &Processes, name: &str, id: &str, check: impl Fn(&Instance) -> bool) {
    eventually(WITHIN, || async {
        let found = running.instances(name, &InstanceQuery::page().id(id)).await.unwrap().pop();
        match found {
            Some(found) if check(&found) => Ok(()),
            found => Err(format!("{found:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn each_tick_sends_one_command_whichever_node_runs() {
    let world = World::new().await;
    let recurring = EachMinute::new(MissedTicks::Each);
    let (first, second) = (world.start(&recurring).await, world.start(&recurring).await);
    assert!(world.said().await.is_empty());
    for n in 1..=5 {
        world.clock.advance(MINUTE);
        world.until_said(&(1..=n).map(|n| world.minute(n)).collect::<Vec<_>>()).await;
    }
    // The first node stops while ticks are due.
    world.clock.advance(MINUTE * 2);
    first.stop().await;
    world.until_said(&(1..=7).map(|n| world.minute(n)).collect::<Vec<_>>()).await;
    second.stop().await;
}

#[tokio::test]
async fn all_missed_ticks_are_sent_or_only_the_first() {
    let world = World::new().await;
    let each = EachMinute::new(MissedTicks::Each);
    world.start(&each).await.stop().await;
    world.clock.advance(MINUTE * 200);
    let running = world.start(&each).await;
    world.until_said(&(1..=200).map(|n| world.minute(n)).collect::<Vec<_>>()).await;
    running.stop().await;
    world.clock.advance(MINUTE * 50);
    let running = world.start(&EachMinute::new(MissedTicks::First)).await;
    let mut expected: Vec<String> = (1..=201).map(|n| world.minute(n)).collect();
    world.until_said(&expected).await;
    world.clock.advance(MINUTE);
    expected.push(world.minute(251));
    world.until_said(&expected).await;
    running.stop().await;
}

#[tokio::test]
async fn ticks_wait_while_too_many_commands_are_unanswered() {
    let world = World::new().await;
    world.failure.0.store(true, Ordering::Release);
    let slow = EachMinute { speaker: "slow", ..EachMinute::new(MissedTicks::Each) };
    let running = world.start(&slow).await;
    world.clock.advance(MINUTE * 500);
    let full = |found: &Instance| found.commands.len() == 64 && found.timers.len() == 1;
    until(&running, "each_minute", "recurring", full).await;
    // Nothing changes with the next poll.
    until(&running, "each_minute", "recurring", full).await;
    running.stop().await;
}

#[tokio::test]
async fn a_rejected_recurring_command_suspends_its_instance() {
    let world = World::new().await;
    let recurring = EachMinute::new(MissedTicks::Each);
    recurring.rejected.store(true, Ordering::Release);
    let running = world.start(&recurring).await;
    world.clock.advance(MINUTE);
    until(&running, "each_minute", "recurring", Instance::is_suspended).await;
    world.clock.advance(MINUTE);
    // An operator can retry or end it.
    assert!(running.end("each_minute", "recurring").await.unwrap());
    let ended = |found: &Instance| found.status == InstanceStatus::Ended;
    until(&running, "each_minute", "recurring", ended).await;
    assert!(world.said().await.is_empty());
}

#[tokio::test]
async fn a_scheduled_command_is_sent_once_when_it_is_due_even_after_a_restart() {
    let world = World::new().await;
    let recurring = EachMinute::new(MissedTicks::Each);
    let scheduler = CommandScheduler::new(world.app.clone());
    let due = |seconds: u64| world.began.plus(Duration::from_secs(seconds));
    // Scheduled before any process runs.
    scheduler
        .schedule(ScheduledCommand::new("early", due(10), say("scheduled", "early")))
        .await
        .unwrap();
    let running = world.start(&recurring).await;
    scheduler
        .schedule(ScheduledCommand::new("late", due(30), say("scheduled", "late")))
        .await
        .unwrap();
    let taken = scheduler
        .schedule(ScheduledCommand::new("late", due(40), say("scheduled", "other")))
        .await
        .unwrap_err();
    assert!(matches!(&taken, ScheduleError::AlreadyScheduled { id } if id == "late"), "{taken:?}");
    // Either all of them are scheduled or none.
    let several = [
        ScheduledCommand::new("a", due(20), say("scheduled", "a")),
        ScheduledCommand::new("early", due(20), say("scheduled", "again")),
    ];
    assert!(scheduler.schedule_all(several).await.is_err());
    let several = ["b", "c"].map(|id| ScheduledCommand::new(id, due(20), say("scheduled", id)));
    scheduler.schedule_all(several).await.unwrap();
    scheduler.schedule_all([]).await.unwrap();
    let said = || async {
        let all = world.app.store().read_as::<Said>(Read::all().of::<Said>()).await.unwrap();
        let all = all.collect().await.unwrap();
        let mine = all.into_iter().filter(|event| event.stream.as_str() == "speaker-scheduled");
        mine.map(|event| match event.event {
            Said::Said { word } => word,
        })
        .collect::<Vec<_>>()
    };
    let until_said = async |expected: &[&str]| {
        eventually(WITHIN, || async {
            let mut said = said().await;
            said.sort();
            if said == expected { Ok(()) } else { Err(format!("{said:?}")) }
        })
        .await;
    };
    scheduler.cancel("b").await.unwrap();
    let rejected = |answer: Result<(), DispatchError<CancelError>>| match answer {
        Err(DispatchError::Rejected(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        rejected(scheduler.cancel("b").await),
        CancelError::AlreadyCancelled { id: "b".to_owned() }
    );
    assert_eq!(
        rejected(scheduler.cancel("unknown").await),
        CancelError::NotScheduled { id: "unknown".to_owned() }
    );
    assert_eq!(
        rejected(scheduler.cancel("a").await),
        CancelError::NotScheduled { id: "a".to_owned() }
    );
    world.clock.advance(Duration::from_secs(9));
    assert!(said().await.is_empty());
    world.clock.advance(Duration::from_secs(1));
    until_said(&["early"]).await;
    assert_eq!(
        rejected(scheduler.cancel("early").await),
        CancelError::AlreadyDue { id: "early".to_owned() }
    );
    running.stop().await;
    world.clock.advance(Duration::from_secs(60));
    let running = world.start(&recurring).await;
    until_said(&["c", "early", "late"]).await;
    // A rejected command suspends its instance.
    scheduler
        .schedule(ScheduledCommand::new("wrong", world.clock.now(), say("scheduled", "no")))
        .await
        .unwrap();
    until(&running, "scheduled_commands", "wrong", Instance::is_suspended).await;
    running.stop().await;
    until_said(&["c", "early", "late"]).await;
}
