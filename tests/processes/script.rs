//! A process controlled by the words of its events, such as `start:a!say=b/hello!timer=t/10`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cqrs::{
    Aggregate, Command, Effects, Event, Metadata, ProcessManager, Recorded,
    app::{CommandContext, Denial, Flow, Middleware},
    process::{Destinations, RejectedCommand, Route, Timeout},
    upcast::UpcastFailure,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An aggregate that says words.
#[derive(Default)]
pub struct Speaker;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Say {
    pub speaker: String,
    pub word: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
pub enum Said {
    #[event(name = "test.said")]
    Said { word: String },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("will not say {0}")]
pub struct Unspeakable(pub String);

impl Command for Say {
    type Aggregate = Speaker;
    fn aggregate_id(&self) -> String {
        self.speaker.clone()
    }
}

impl Aggregate for Speaker {
    const CATEGORY: &'static str = "speaker";
    type Id = String;
    type Command = Say;
    type Event = Said;
    type Error = Unspeakable;
    fn execute(&self, say: Say) -> Result<Vec<Said>, Unspeakable> {
        if say.word == "no" || say.word.starts_with("no,") {
            return Err(Unspeakable(say.word));
        }
        Ok(vec![Said::Said { word: say.word }])
    }
    fn apply(&mut self, _: &Said) {}
}

pub fn say(speaker: &str, word: &str) -> Say {
    Say { speaker: speaker.to_owned(), word: word.to_owned() }
}

/// The metadata of urgent commands.
fn urgent() -> Metadata {
    Metadata::default().with_actor("dispatcher").with_header("priority", "high")
}

/// While set, commands to the speaker `slow` never complete.
#[derive(Clone, Debug, Default)]
pub struct Failure(pub Arc<AtomicBool>);

impl Middleware for Failure {
    async fn before(&self, context: &mut CommandContext<'_>) -> Result<Flow, Denial> {
        let speaker = context.command::<Speaker>().map(|say| say.speaker.clone());
        match speaker.as_deref() {
            Some("slow") if self.0.load(Ordering::Acquire) => std::future::pending().await,
            _ => Ok(Flow::Continue),
        }
    }
}

/// `V` is the version of its state.
#[derive(Clone, Debug, Default)]
pub struct Script<const V: u32 = 1> {
    /// Whether `!panic` panics.
    pub panics: Arc<AtomicBool>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Words {
    pub words: Vec<String>,
}

impl<const V: u32> ProcessManager for Script<V> {
    type Event = Said;
    type State = Words;
    const NAME: &'static str = "script";
    const STATE_VERSION: u32 = V;

    fn destinations(&self) -> Destinations {
        Destinations::new().to::<Speaker>()
    }

    fn route(&self, event: &Recorded<Said>) -> Vec<Route> {
        let Said::Said { word } = &event.event;
        assert!(word != "unroutable" || !self.panics.load(Ordering::Acquire), "as scripted");
        let routed = word.split('!').next().unwrap_or_default();
        let Some((how, ids)) = routed.split_once(':') else { return Vec::new() };
        let route = |id: &str| match how {
            "start" => Route::start_or_continue(id),
            "new" => Route::start(id),
            "existing" => Route::continue_existing(id),
            "if_started" => Route::continue_if_started(id),
            _ => Route::end(id),
        };
        ids.split(',').map(route).collect()
    }

    fn apply(&self, state: &mut Words, event: &Recorded<Said>) {
        let Said::Said { word } = &event.event;
        state.words.push(word.clone());
    }

    fn react(&self, state: &Words, event: &Recorded<Said>) -> Effects {
        let Said::Said { word } = &event.event;
        assert_eq!(state.words.last(), Some(word), "applied first");
        let mut effects = Effects::new();
        for action in word.split('!').skip(1) {
            let (what, with) = action.split_once('=').unwrap_or((action, ""));
            let (left, right) = with.split_once('/').unwrap_or((with, ""));
            effects = match what {
                "say" => effects.dispatch(say(left, right)),
                "urgent" => effects.dispatch_with(say(left, right), urgent()),
                "timer" => effects.start_timer(left, Duration::from_secs(right.parse().unwrap())),
                "cancel" => effects.cancel_timer(left),
                "end" => effects.end(),
                "panic" if self.panics.load(Ordering::Acquire) => panic!("as scripted"),
                _ => effects,
            };
        }
        effects
    }

    fn on_rejected(&self, state: &mut Words, rejected: &RejectedCommand) -> Effects {
        let error = rejected.error::<Unspeakable>().expect("the aggregate's own error");
        state.words.push(format!("rejected {}", error.0));
        let word = rejected.command::<Speaker>().unwrap().word;
        match &*word {
            "no, never" => Effects::new().suspend(rejected.reason()),
            _ => Effects::new().dispatch(say("other", "instead")),
        }
    }

    fn on_timeout(&self, state: &mut Words, timeout: &Timeout) -> Effects {
        state.words.push(format!("timeout {}", timeout.name()));
        // Some timers have their own speaker.
        let is_own = timeout.name().starts_with("own");
        let speaker = if is_own { timeout.name() } else { "clock" };
        Effects::new().dispatch(say(speaker, timeout.name()))
    }

    fn upcast(&self, version: u32, mut state: Value) -> Result<Value, UpcastFailure> {
        let words = state["words"].as_array_mut().ok_or("no words")?;
        words.push(json!(format!("upcast from {version}")));
        Ok(state)
    }
}
