//! A complete command on a cached state, compared with the append of its event alone.

use std::time::{Duration, Instant};

use cqrs::{Aggregate, App, Command, Event, EventStore, StreamName};
use cqrs_postgres::PgStore;
use serde::{Deserialize, Serialize};

use crate::Effort;
use crate::report::{Report, Target};
use crate::samples::{Sample, Spread, expecting};

#[derive(Clone, Debug, Default)]
struct Account {
    cents: i64,
}

#[derive(Clone, Serialize, Deserialize, Command)]
#[command(aggregate = Account, id = account)]
struct Deposit {
    account: String,
    cents: i64,
    reference: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Event)]
enum AccountEvent {
    #[event(name = "bank.deposited")]
    Deposited { account: String, cents: i64, balance: i64, reference: String },
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("nothing to deposit")]
struct Nothing;

impl Aggregate for Account {
    const CATEGORY: &'static str = "command";
    type Id = String;
    type Command = Deposit;
    type Event = AccountEvent;
    type Error = Nothing;

    fn execute(&self, deposit: Deposit) -> Result<Vec<AccountEvent>, Nothing> {
        let Deposit { account, cents, reference } = deposit;
        if cents <= 0 {
            return Err(Nothing);
        }
        let balance = self.cents + cents;
        Ok(vec![AccountEvent::Deposited { account, cents, balance, reference }])
    }

    fn apply(&mut self, AccountEvent::Deposited { cents, .. }: &AccountEvent) {
        self.cents += cents;
    }
}

pub(crate) async fn measure(store: &PgStore, effort: &Effort, report: &mut Report) {
    report.section(
        "A command on a cached state of 20 events, relative to the append of its event alone",
    );
    let app = App::new(store.clone());
    let account = format!("c-{}", std::process::id());
    let deposit = || Deposit {
        account: account.clone(),
        cents: 100,
        reference: "invoice 2026-11-0042, 2nd round, of the year before last".into(),
    };
    for _ in 0..20 {
        app.dispatch(deposit()).await.unwrap();
    }
    let stream = StreamName::of("bare", &account).unwrap();
    let mut version = cqrs::Version::ZERO;
    let mut ratios = Vec::new();
    let mut shown = Vec::new();
    for _ in 0..effort.rounds {
        let (mut commands, mut appends) = (Vec::new(), Vec::new());
        let (mut spent_on_commands, mut spent_on_appends) = (Duration::ZERO, Duration::ZERO);
        // Alternating, so that noise affects both equally.
        while spent_on_commands + spent_on_appends < effort.duration * 2 {
            let start = Instant::now();
            app.dispatch(deposit()).await.unwrap();
            commands.push(start.elapsed());
            spent_on_commands += start.elapsed();
            let append = expecting(&stream, version, 1);
            let start = Instant::now();
            version = store.append(append).await.unwrap().version();
            appends.push(start.elapsed());
            spent_on_appends += start.elapsed();
        }
        let (commands, appends) =
            (Sample::of(commands, spent_on_commands), Sample::of(appends, spent_on_appends));
        ratios.push(commands.p50.as_secs_f64() / appends.p50.as_secs_f64());
        shown.push((commands.p50, appends.p50));
    }
    shown.sort();
    let (command, append) = shown[shown.len() / 2];
    let what = format!(
        "one caller: p50 {} (append {})",
        crate::append::micros(command),
        crate::append::micros(append)
    );
    report.ratio(&what, Spread::of(ratios), Some(Target::AtMost(1.15)));
}
