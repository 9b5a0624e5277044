//! Timers: a thousand that are due next to many that are not.

use std::time::{Duration, Instant};

use cluster::Database;
use cqrs::{
    App, Effects, EventStore, EventStoreExt, ExpectedVersion, ProcessManager, Processes, Recorded,
    StreamName,
    app::Clock,
    process::{Destinations, ProcessStore, Route, Timeout},
    store::Append,
    subscription::{Start, SubscriptionOptions},
};
use cqrs_testing::ManualClock;

use crate::shared::report::Report;
use crate::shared::samples::Spread;
use crate::{Effort, in_memory, in_postgres};
use reminder::{Asked, Remind, Reminder};

/// How many timers fire at once.
const DUE: usize = 1_000;

mod reminder {
    use cqrs::{Aggregate, Command, Event};
    use serde::{Deserialize, Serialize};

    /// Records reminders.
    #[derive(Clone, Debug, Default)]
    pub(super) struct Reminder;

    #[derive(Clone, Debug, Serialize, Deserialize, Command)]
    #[command(aggregate = Reminder, id = id)]
    pub(super) struct Remind {
        pub(super) id: String,
    }

    #[derive(Clone, Debug, PartialEq, Event)]
    pub(super) enum Asked {
        #[event(name = "bench.asked")]
        Asked { id: String, after_seconds: u64 },
        #[event(name = "bench.reminded")]
        Reminded { id: String },
    }

    impl Aggregate for Reminder {
        const CATEGORY: &'static str = "reminder";
        type Id = String;
        type Command = Remind;
        type Event = Asked;
        type Error = std::convert::Infallible;

        fn execute(&self, remind: Remind) -> Result<Vec<Asked>, Self::Error> {
            Ok(vec![Asked::Reminded { id: remind.id }])
        }

        fn apply(&mut self, _: &Asked) {}
    }
}

/// Sends each reminder when it is due.
struct Reminding;

impl ProcessManager for Reminding {
    type Event = Asked;
    type State = String;
    const NAME: &'static str = "reminding";

    fn destinations(&self) -> Destinations {
        Destinations::new().to::<Reminder>()
    }

    fn route(&self, event: &Recorded<Asked>) -> Vec<Route> {
        match &event.event {
            Asked::Asked { id, .. } => vec![Route::start_or_continue(id)],
            Asked::Reminded { .. } => Vec::new(),
        }
    }

    fn apply(&self, state: &mut String, event: &Recorded<Asked>) {
        if let Asked::Asked { id, .. } = &event.event {
            state.clone_from(id);
        }
    }

    fn react(&self, _: &String, event: &Recorded<Asked>) -> Effects {
        match &event.event {
            Asked::Asked { after_seconds, .. } => {
                Effects::new().start_timer("due", Duration::from_secs(*after_seconds))
            }
            Asked::Reminded { .. } => Effects::new(),
        }
    }

    fn on_timeout(&self, id: &mut String, _: &Timeout) -> Effects {
        Effects::new().dispatch(Remind { id: id.clone() }).end()
    }
}

pub(crate) async fn measure(effort: &Effort, report: &mut Report) {
    let pending = effort.rows / 10;
    report.section(&format!("Timers: {DUE} fire while {pending} are pending"));
    let rounds = effort.rounds.min(3);
    let mut seen = Vec::new();
    for _ in 0..rounds {
        let clock = ManualClock::new();
        let (store, process_store) = in_memory();
        seen.push(measure_one(store, process_store, clock, pending).await);
    }
    report_rates(report, "in memory", &seen);
    seen.clear();
    for _ in 0..rounds {
        let clock = ManualClock::new();
        let database = Database::create().await;
        let (store, process_store) = in_postgres(&database).await;
        seen.push(measure_one(store, process_store, clock, pending).await);
    }
    report_rates(report, "on Postgres", &seen);
}

/// One measurement.
struct Seen {
    /// Timers started per second.
    started: f64,
    /// Milliseconds until all due timers fired and their commands were answered.
    fired: f64,
}

fn report_rates(report: &mut Report, what: &str, seen: &[Seen]) {
    let started = Spread::of(seen.iter().map(|seen| seen.started));
    report.ratio(&format!("{what}: timers started per second"), started, None);
    let fired = Spread::of(seen.iter().map(|seen| seen.fired));
    report.ratio(&format!("{what}: {DUE} fired and answered, in ms"), fired, None);
}

async fn measure_one<S: ProcessStore>(
    store: impl EventStore + Clone,
    process_store: S,
    clock: ManualClock,
    pending: usize,
) -> Seen {
    let app = App::new(store.clone());
    let hour = 3_600;
    let asked = (0..pending + DUE).map(|n| {
        let after_seconds = if n < pending { 30 * 24 * hour } else { hour };
        Asked::Asked { id: n.to_string(), after_seconds }
    });
    let asked: Vec<Asked> = asked.collect();
    for chunk in asked.chunks(1_000) {
        let events = chunk
            .iter()
            .map(|event| cqrs::event::NewEvent::of(event).unwrap().with_recorded_at(clock.now()));
        let stream = StreamName::new("asked-1").unwrap();
        let append = Append::to(stream, ExpectedVersion::Any, events.collect());
        store.append(append).await.unwrap();
    }
    let mut events = store.subscribe(SubscriptionOptions::all().from(Start::Now)).await.unwrap();
    let start = Instant::now();
    let running = Processes::builder(&app, process_store).clock(clock.clone()).process(Reminding);
    let running = running.start().await.unwrap();
    assert!(running.wait_until_started("reminding", Duration::from_secs(600)).await.unwrap());
    let started = (pending + DUE) as f64 / start.elapsed().as_secs_f64();
    clock.advance(Duration::from_secs(2 * hour));
    // Measured from the first event: the advanced clock is only noticed at the next poll.
    events.next().await.unwrap().unwrap();
    let start = Instant::now();
    for _ in 1..DUE {
        events.next().await.unwrap().unwrap();
    }
    let fired = start.elapsed().as_secs_f64() * 1_000.0;
    running.stop().await;
    Seen { started, fired }
}
