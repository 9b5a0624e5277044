//! What is checked at start, and listing all instances, written once for every pair of stores.

use std::time::Duration;

use cqrs::{
    Aggregate, App, Command, Effects, Event, ProcessManager, Processes, Recorded,
    process::{Destinations, InstanceQuery, ProcessOptions, Route},
    projection::{StartError, Waited},
};
use cqrs_testing::{ManualClock, eventually};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::script::{Said, Script, Speaker, say};

const WITHIN: Duration = Duration::from_secs(60);

/// Another aggregate of the speaker's category.
#[derive(Default)]
struct Impostor;

/// An aggregate whose event has an earlier version.
#[derive(Default)]
struct Renamed;

#[derive(Clone, Serialize, Deserialize, Command)]
#[command(aggregate = Impostor, id = id)]
struct Pose {
    id: String,
}

#[derive(Clone, Serialize, Deserialize, Command)]
#[command(aggregate = Renamed, id = id)]
struct Rename {
    id: String,
}

#[derive(Clone, PartialEq, Event)]
enum RenamedEvent {
    #[event(name = "test.renamed", version = 2)]
    Happened { what: String },
}

impl Aggregate for Impostor {
    const CATEGORY: &'static str = "speaker";
    type Id = String;
    type Command = Pose;
    type Event = Said;
    type Error = std::convert::Infallible;
    fn execute(&self, _: Pose) -> Result<Vec<Said>, Self::Error> {
        Ok(Vec::new())
    }
    fn apply(&mut self, _: &Said) {}
}

impl Aggregate for Renamed {
    const CATEGORY: &'static str = "renamed";
    type Id = String;
    type Command = Rename;
    type Event = RenamedEvent;
    type Error = std::convert::Infallible;
    fn execute(&self, _: Rename) -> Result<Vec<RenamedEvent>, Self::Error> {
        Ok(Vec::new())
    }
    fn apply(&mut self, _: &RenamedEvent) {}
}

/// Sends one command to the speaker, regardless of its destinations.
struct Sender(Destinations);

impl ProcessManager for Sender {
    type Event = Said;
    type State = ();
    const NAME: &'static str = "sender";

    fn destinations(&self) -> Destinations {
        self.0.clone()
    }

    fn route(&self, _: &Recorded<Said>) -> Vec<Route> {
        vec![Route::start_or_continue("only")]
    }

    fn apply(&self, (): &mut (), _: &Recorded<Said>) {}

    fn react(&self, (): &(), _: &Recorded<Said>) -> Effects {
        Effects::new().dispatch(say("other", "hello"))
    }
}

async fn start(destinations: Destinations) -> Result<Processes, StartError> {
    let (store, process_store) = super::fresh::stores(&ManualClock::new()).await;
    Processes::builder(&App::new(store), process_store).process(Sender(destinations)).start().await
}

#[tokio::test]
async fn a_process_without_destinations_does_not_start_unless_it_declares_none() {
    let error = start(Destinations::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "process `sender` has no destinations");
    start(Destinations::none()).await.unwrap().stop().await;
}

#[tokio::test]
async fn two_destinations_of_one_category_do_not_start() {
    let destinations = Destinations::new().to::<Speaker>().to::<Impostor>();
    let error = start(destinations).await.unwrap_err();
    assert_eq!(error.to_string(), "process `sender` has two destinations of category `speaker`");
    // The same aggregate twice is harmless.
    start(Destinations::new().to::<Speaker>().to::<Speaker>()).await.unwrap().stop().await;
}

#[tokio::test]
async fn a_destination_with_a_missing_upcaster_does_not_start() {
    let error = start(Destinations::new().to::<Renamed>()).await.unwrap_err();
    let StartError::DestinationUpcasters { process, category, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!((&**process, *category), ("sender", "renamed"));
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("test.renamed"));
}

#[tokio::test]
async fn destinations_of_scheduled_commands_are_checked_too() {
    let (store, process_store) = super::fresh::stores(&ManualClock::new()).await;
    let app = App::new(store);
    for (destinations, expected) in [
        (Destinations::new(), "process `scheduled_commands` has no destinations"),
        (
            Destinations::new().to::<Renamed>(),
            "process `scheduled_commands`: aggregate `renamed` cannot read earlier versions of its events",
        ),
    ] {
        let builder =
            Processes::builder(&app, process_store.clone()).scheduled_commands(destinations);
        assert_eq!(builder.start().await.unwrap_err().to_string(), expected);
    }
}

#[tokio::test]
async fn a_command_to_an_undeclared_aggregate_suspends_the_instance_and_names_the_fix() {
    let (store, process_store) = super::fresh::stores(&ManualClock::new()).await;
    let app = App::new(store);
    let builder = Processes::builder(&app, process_store).process(Sender(Destinations::none()));
    let running = builder.start().await.unwrap();
    app.dispatch(say("us", "hello")).await.unwrap();
    let expected = "aggregate `speaker` is not among the destinations; add it in `destinations()`";
    eventually(WITHIN, || async {
        let query = InstanceQuery::page().suspended();
        let suspended = running.instances("sender", &query).await.unwrap();
        let status = suspended.first().map(|instance| format!("{:?}", instance.status));
        match status {
            Some(status) if status.contains(expected) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn an_unknown_name_is_reported_as_that_of_a_process() {
    let (store, process_store) = super::fresh::stores(&ManualClock::new()).await;
    let app = App::new(store);
    let running = Processes::builder(&app, process_store)
        .process_with(Script::<1>::default(), ProcessOptions::new())
        .start()
        .await
        .unwrap();
    let expected = "no process `typo`";
    assert_eq!(running.waiter(["typo"]).unwrap_err().to_string(), expected);
    assert_eq!(running.pause("typo").await.unwrap_err().to_string(), expected);
    assert_eq!(running.resume("typo").await.unwrap_err().to_string(), expected);
    let query = InstanceQuery::page();
    assert_eq!(running.instances("typo", &query).await.unwrap_err().to_string(), expected);
    running.stop().await;
}

#[tokio::test]
async fn all_instances_are_listed_page_by_page() {
    let (store, process_store) = super::fresh::stores(&ManualClock::new()).await;
    let app = App::new(store);
    let running = Processes::builder(&app, process_store)
        .process_with(Script::<1>::default(), ProcessOptions::new())
        .start()
        .await
        .unwrap();
    assert!(running.wait_until_started("script", WITHIN).await.unwrap());
    let position = app.dispatch(say("us", "start:a,b,c,d,e,f,g")).await.unwrap().position;
    let waited = running.wait_for("script", position, WITHIN).await.unwrap();
    assert_eq!(waited, Waited::CaughtUp);
    for limit in [1, 3, 7, 8, 1_000] {
        let all = running.all_instances("script", InstanceQuery::page().limit(limit));
        let ids: Vec<String> = all.map_ok(|instance| instance.id).try_collect().await.unwrap();
        assert_eq!(ids, ["a", "b", "c", "d", "e", "f", "g"], "in pages of {limit}");
    }
    let after = running.all_instances("script", InstanceQuery::page().after("e").limit(1));
    assert_eq!(after.try_collect::<Vec<_>>().await.unwrap().len(), 2);
    let unknown = running.all_instances("unknown", InstanceQuery::page());
    assert!(unknown.try_collect::<Vec<_>>().await.is_err());
    running.stop().await;
}
