//! Commands at a time, written once for every pair of stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cqrs::{
    App, Clock, Destinations, DispatchError, EventStoreExt, Instance, InstanceQuery,
    InstanceStatus, LogRead, Missed, NotCancelled, Plan, PlanError, Planner, Processes, Recorded,
    Schedule, StreamName, Timestamp,
};
use cqrs_testing::{ManualClock, eventually};
use futures_util::StreamExt;

use super::fresh::Kept;
use crate::script::{Said, Say, Speaker, Trouble, say};

const WITHIN: Duration = Duration::from_secs(60);
const MINUTE: Duration = Duration::from_secs(60);

/// Says the minute, at each full minute.
#[derive(Clone, Debug)]
struct EachMinute {
    speaker: &'static str,
    missed: Missed,
    refused: Arc<AtomicBool>,
}

impl EachMinute {
    fn new(missed: Missed) -> Self {
        Self { speaker: "clock", missed, refused: Arc::default() }
    }
}

impl Schedule for EachMinute {
    type Command = Say;
    const NAME: &'static str = "each_minute";

    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        Some(after.next_multiple_of(MINUTE))
    }

    fn command(&self, tick: Timestamp) -> Say {
        match self.refused.load(Ordering::Acquire) {
            true => say(self.speaker, "no"),
            false => say(self.speaker, &tick.to_string()),
        }
    }

    fn missed(&self) -> Missed {
        self.missed
    }
}

struct World {
    app: App,
    kept: Kept,
    clock: ManualClock,
    began: Timestamp,
    trouble: Trouble,
}

impl World {
    async fn new() -> Self {
        let clock = ManualClock::new();
        let (store, kept) = super::fresh::stores(&clock).await;
        let began = clock.now();
        let trouble = Trouble::default();
        let app = App::builder(store).middleware(trouble.clone()).build().unwrap();
        Self { app, kept, clock, began, trouble }
    }

    async fn start(&self, schedule: &EachMinute) -> Processes<Kept> {
        let running = Processes::builder(self.app.clone(), self.kept.clone())
            .clock(self.clock.clone())
            .lease(Duration::from_millis(300))
            .poll_interval(Duration::from_millis(10))
            .schedule(schedule.clone())
            .planned_commands(Destinations::new().to::<Speaker>())
            .start()
            .await
            .unwrap();
        for name in ["each_minute", "planned_commands"] {
            assert!(running.consumers().built(name, WITHIN).await.unwrap());
        }
        running
    }

    /// The nth full minute.
    fn minute(&self, n: u32) -> String {
        let mut tick = self.began;
        for _ in 0..n {
            tick = tick.next_multiple_of(MINUTE);
        }
        tick.to_string()
    }

    async fn said(&self) -> Vec<String> {
        let clock = cqrs::StreamRead::forward(StreamName::new("speaker-clock").unwrap());
        let events = self.app.store().stream_events_as::<Said>(clock);
        let events: Vec<Recorded<Said>> =
            events.filter_map(async |event| event.ok()).collect().await;
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

async fn until(running: &Processes<Kept>, name: &str, id: &str, check: impl Fn(&Instance) -> bool) {
    eventually(WITHIN, || async {
        let found = running.instances(name, &InstanceQuery::one(id)).await.unwrap().pop();
        match found {
            Some(found) if check(&found) => Ok(()),
            found => Err(format!("{found:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn b378_each_tick_sends_one_command_whoever_is_at_work() {
    let world = World::new().await;
    let schedule = EachMinute::new(Missed::Each);
    let (first, second) = (world.start(&schedule).await, world.start(&schedule).await);
    assert!(world.said().await.is_empty());
    for n in 1..=5 {
        world.clock.advance(MINUTE);
        world.until_said(&(1..=n).map(|n| world.minute(n)).collect::<Vec<_>>()).await;
    }
    // The one at work goes, in the middle of it.
    world.clock.advance(MINUTE * 2);
    first.stop().await;
    world.until_said(&(1..=7).map(|n| world.minute(n)).collect::<Vec<_>>()).await;
    second.stop().await;
}

#[tokio::test]
async fn b378_ticks_that_were_missed_are_made_up_for_as_told() {
    let world = World::new().await;
    let each = EachMinute::new(Missed::Each);
    world.start(&each).await.stop().await;
    world.clock.advance(MINUTE * 200);
    let running = world.start(&each).await;
    world.until_said(&(1..=200).map(|n| world.minute(n)).collect::<Vec<_>>()).await;
    running.stop().await;
    world.clock.advance(MINUTE * 50);
    let running = world.start(&EachMinute::new(Missed::First)).await;
    let mut expected: Vec<String> = (1..=201).map(|n| world.minute(n)).collect();
    world.until_said(&expected).await;
    world.clock.advance(MINUTE);
    expected.push(world.minute(251));
    world.until_said(&expected).await;
    running.stop().await;
}

#[tokio::test]
async fn b378_ticks_wait_while_many_commands_have_no_answer() {
    let world = World::new().await;
    world.trouble.0.store(true, Ordering::Release);
    let slow = EachMinute { speaker: "slow", ..EachMinute::new(Missed::Each) };
    let running = world.start(&slow).await;
    world.clock.advance(MINUTE * 500);
    let full = |found: &Instance| found.commands.len() == 64 && found.timers.len() == 1;
    until(&running, "each_minute", "schedule", full).await;
    // A look later it is the same.
    until(&running, "each_minute", "schedule", full).await;
    running.stop().await;
}

#[tokio::test]
async fn b378_a_schedule_whose_command_is_refused_waits_for_people() {
    let world = World::new().await;
    let schedule = EachMinute::new(Missed::Each);
    schedule.refused.store(true, Ordering::Release);
    let running = world.start(&schedule).await;
    world.clock.advance(MINUTE);
    until(&running, "each_minute", "schedule", Instance::needs_attention).await;
    world.clock.advance(MINUTE);
    // Whoever has mended it retries, or ends it.
    assert!(running.end("each_minute", "schedule").await.unwrap());
    let ended = |found: &Instance| found.status == InstanceStatus::Ended;
    until(&running, "each_minute", "schedule", ended).await;
    assert!(world.said().await.is_empty());
}

#[tokio::test]
async fn b377_a_planned_command_is_sent_once_at_its_time_also_after_a_restart() {
    let world = World::new().await;
    let schedule = EachMinute::new(Missed::Each);
    let planner = Planner::new(world.app.clone());
    let due = |seconds: u64| world.began.plus(Duration::from_secs(seconds));
    // Before anybody runs.
    planner.plan(Plan::new("early", due(10), say("plan", "early"))).await.unwrap();
    let running = world.start(&schedule).await;
    planner.plan(Plan::new("late", due(30), say("plan", "late"))).await.unwrap();
    let taken = planner.plan(Plan::new("late", due(40), say("plan", "other"))).await.unwrap_err();
    assert!(matches!(&taken, PlanError::AlreadyPlanned { id } if id == "late"), "{taken:?}");
    // All of several, or none.
    let several = [
        Plan::new("a", due(20), say("plan", "a")),
        Plan::new("early", due(20), say("plan", "again")),
    ];
    assert!(planner.plan_all(several).await.is_err());
    let several = ["b", "c"].map(|id| Plan::new(id, due(20), say("plan", id)));
    planner.plan_all(several).await.unwrap();
    planner.plan_all([]).await.unwrap();
    let said = || async {
        let all = world.app.store().log_events_as::<Said>(LogRead::forward());
        let all: Vec<_> = all.filter_map(async |event| event.ok()).collect().await;
        let mine = all.into_iter().filter(|event| event.stream.as_str() == "speaker-plan");
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
    planner.cancel("b").await.unwrap();
    let refused = |answer: Result<(), DispatchError<NotCancelled>>| match answer {
        Err(DispatchError::Refused(refused)) => refused,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(planner.cancel("b").await), NotCancelled::AlreadyCancelled);
    assert_eq!(refused(planner.cancel("nobody").await), NotCancelled::NotPlanned);
    assert_eq!(refused(planner.cancel("a").await), NotCancelled::NotPlanned);
    world.clock.advance(Duration::from_secs(9));
    assert!(said().await.is_empty());
    world.clock.advance(Duration::from_secs(1));
    until_said(&["early"]).await;
    assert_eq!(refused(planner.cancel("early").await), NotCancelled::AlreadyDue);
    running.stop().await;
    world.clock.advance(Duration::from_secs(60));
    let running = world.start(&schedule).await;
    until_said(&["c", "early", "late"]).await;
    // One that is refused is on record for people, and goes on when they say so.
    planner.plan(Plan::new("wrong", world.clock.now(), say("plan", "no"))).await.unwrap();
    until(&running, "planned_commands", "wrong", Instance::needs_attention).await;
    running.stop().await;
    until_said(&["c", "early", "late"]).await;
}
