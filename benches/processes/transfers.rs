//! Money transfers: each takes five events in three streams and one instance.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bank::domain::account::OpenAccount;
use bank::domain::transfer::StartTransfer;
use bank::domain::{AccountId, Money, TransferEvent, TransferId};
use bank::process::MoneyTransfer;
use cluster::Database;
use cqrs::{
    App, EventStore, EventStoreExt, Processes, Timestamp,
    event::Uuid,
    process::ProcessStore,
    subscription::{Start, Subscription, SubscriptionOptions},
};
use futures_util::future::join_all;
use tokio::sync::oneshot;

use crate::shared::report::{Report, Target};
use crate::shared::samples::{Sample, Spread};
use crate::{Effort, in_memory, in_postgres};

/// Enough that callers seldom use the same account.
const ACCOUNTS: u128 = 1_000;

/// The callers that wait for their transfers.
type Waiting = Arc<Mutex<HashMap<TransferId, oneshot::Sender<()>>>>;

pub(crate) async fn measure(effort: &Effort, report: &mut Report) {
    report.section("Transfers per second, from the command to the last event");
    for callers in [1, 8, 64] {
        let mut samples = Vec::new();
        for _ in 0..effort.rounds.min(3) {
            let (store, process_store) = in_memory();
            samples.push(measure_one(store, process_store, callers, effort).await);
        }
        report_rates(report, &format!("in memory, {callers} callers"), &samples, None);
    }
    for callers in [1, 8, 64] {
        let mut samples = Vec::new();
        for _ in 0..effort.rounds.min(3) {
            let database = Database::create().await;
            let (store, process_store) = in_postgres(&database).await;
            samples.push(measure_one(store, process_store, callers, effort).await);
        }
        let target = (callers == 64).then_some(Target::AtLeast(1_500.0));
        report_rates(report, &format!("on Postgres, {callers} callers"), &samples, target);
    }
}

fn report_rates(report: &mut Report, what: &str, samples: &[Sample], target: Option<Target>) {
    let rate = Spread::of(samples.iter().map(|sample| sample.per_second));
    report.ratio(&format!("{what}: per second"), rate, target);
    let millis = |latency: Duration| latency.as_secs_f64() * 1_000.0;
    let p50 = Spread::of(samples.iter().map(|sample| millis(sample.p50)));
    let p99 = Spread::of(samples.iter().map(|sample| millis(sample.p99)));
    report.ratio(&format!("{what}: p50 in ms"), p50, None);
    report.ratio(&format!("{what}: p99 in ms"), p99, None);
}

async fn measure_one<S: ProcessStore>(
    store: impl EventStore + Clone,
    process_store: S,
    callers: u128,
    effort: &Effort,
) -> Sample {
    let app = App::new(store.clone());
    let opened = (0..ACCOUNTS).map(|n| {
        let (owner, initial_balance) = (format!("owner {n}"), "1000000.00".parse().unwrap());
        let at = Timestamp::UNIX_EPOCH;
        app.dispatch(OpenAccount { account_id: account(n), owner, initial_balance, at })
    });
    join_all(opened).await;
    let processes = Processes::builder(&app, process_store).process(MoneyTransfer);
    let processes = processes.start().await.unwrap();
    let name = "money_transfer";
    assert!(processes.wait_until_started(name, Duration::from_secs(60)).await.unwrap());

    let waiting = Waiting::default();
    // Subscribed before the first transfer starts.
    let events = store.subscribe(SubscriptionOptions::all().from(Start::Now)).await.unwrap();
    let follower = tokio::spawn(follow(events, Arc::clone(&waiting)));
    let start = Instant::now();
    // The first tenth is warm-up.
    let (warm, end) = (start + effort.duration / 5, start + effort.duration * 2);
    let calls = (0..callers).map(|caller| {
        let (app, waiting) = (app.clone(), Arc::clone(&waiting));
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            let mut n = 0;
            // At least one sample for each caller.
            while Instant::now() < end || latencies.is_empty() {
                n += 1;
                let began = Instant::now();
                transfer(&app, &waiting, caller, n).await;
                if began >= warm {
                    latencies.push(began.elapsed());
                }
            }
            latencies
        })
    });
    let latencies = join_all(calls).await.into_iter().flat_map(Result::unwrap).collect();
    let took = warm.elapsed();
    processes.stop().await;
    follower.abort();
    Sample::of(latencies, took)
}

fn account(n: u128) -> AccountId {
    Uuid::from_u128(0xacc0_0000 + n).into()
}

/// Starts one transfer and waits until it is complete.
async fn transfer(app: &App, waiting: &Waiting, caller: u128, n: u128) {
    let transfer_id: TransferId = Uuid::from_u128((caller << 64) + n).into();
    let from = (caller * 7_919 + n * 31) % ACCOUNTS;
    let to = (from + 1 + n % (ACCOUNTS - 1)) % ACCOUNTS;
    let (done, is_done) = oneshot::channel();
    waiting.lock().unwrap().insert(transfer_id, done);
    let start = StartTransfer {
        transfer_id,
        source_id: account(from),
        target_id: account(to),
        amount: Money::cents(1),
        at: Timestamp::UNIX_EPOCH,
    };
    app.dispatch(start).await.unwrap();
    is_done.await.unwrap();
}

/// Notifies callers when their transfers are complete.
async fn follow(mut events: Subscription, waiting: Waiting) {
    while let Some(event) = events.next().await {
        let event = event.unwrap();
        if event.event.name.as_str() != "bank.transfer-credited" {
            continue;
        }
        if let TransferEvent::TransferCredited { transfer_id, .. } = event.decode().unwrap().event {
            let done = waiting.lock().unwrap().remove(&transfer_id);
            done.unwrap().send(()).unwrap();
        }
    }
}
