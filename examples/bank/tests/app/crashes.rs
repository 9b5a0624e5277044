//! No money is lost or created, and every transfer finishes, no matter what crashes.

use std::sync::Arc;
use std::time::Duration;

use bank::domain::transfer::StartTransfer;
use bank::domain::{AccountEvent, Money, TransferEvent};
use bank::read::BankEvent;
use cluster::Chance;
use cqrs::{
    event::Uuid,
    process::{InstanceQuery, InstanceStatus, ProcessStore},
};
use cqrs_memory::{MemoryReadStore, MemoryStore};
use cqrs_testing::{CrashPoint, ManualClock, eventually};

use crate::transfers::{Bank, NAME, WITHIN, connected, id, prepared, transfer};
use crate::{noon, open};

/// Kills the running bank repeatedly, while 8 tasks start 200 transfers between 5 accounts.
#[test]
fn no_money_is_lost_when_banks_are_killed() {
    let (store, process_store) = (MemoryStore::new(), MemoryReadStore::new());
    check_under_kills(async || {
        Bank::over(store.clone(), process_store.clone(), ManualClock::at(noon()))
    });
}

#[test]
fn no_money_is_lost_when_banks_are_killed_on_postgres() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options = runtime.block_on(prepared());
    check_under_kills(async || connected(&options).await);
}

fn check_under_kills<S: ProcessStore>(open_bank: impl AsyncFn() -> Bank<S>) {
    let seed = std::env::var("CQRS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| Uuid::now_v7().as_u64_pair().1);
    println!("seed {seed}; repeat with CQRS_SEED={seed}");
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let world = runtime().unwrap();
    let bank = Arc::new(world.block_on(async { open_bank().await.with_accounts().await }));
    let tasks: Vec<_> = world.block_on(async {
        for n in 3..=5 {
            bank.app.dispatch(open(n, "Customer", "50.00")).await.unwrap();
        }
        (0..8_u64)
            .map(|task| {
                let (bank, mut chance) = (Arc::clone(&bank), Chance::new(seed ^ task));
                tokio::spawn(async move {
                    for n in 0..25 {
                        let from = 1 + chance.below(6);
                        // Some target an account that does not exist.
                        let to = 1 + (from + chance.below(5)) % 6;
                        let cents = Money::cents(i64::try_from(1 + chance.below(6_000)).unwrap());
                        let start = StartTransfer {
                            amount: cents,
                            ..transfer(u128::from(task * 100 + n), from.into(), to.into(), "1.00")
                        };
                        let _ = bank.app.dispatch(start).await;
                        tokio::time::sleep(Duration::from_millis(chance.below(40))).await;
                    }
                })
            })
            .collect()
    });
    let mut chance = Chance::new(seed);
    let mut kills = 0;
    while tasks.iter().any(|task| !task.is_finished()) {
        let node = runtime().unwrap();
        let running = node.block_on(async { open_bank().await.start().await });
        std::thread::sleep(Duration::from_millis(5 + chance.below(80)));
        // Drops everything that is running.
        node.shutdown_background();
        drop(running);
        kills += 1;
    }
    world.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
        let running = bank.start().await;
        running.wait_until_started(NAME, WITHIN).await.unwrap();
        eventually(WITHIN, || async {
            let events = bank.events().await;
            let (mut started, mut finished) = (0, 0);
            for event in &events {
                match event.event {
                    BankEvent::Transfer(TransferEvent::TransferStarted { .. }) => started += 1,
                    BankEvent::Transfer(
                        TransferEvent::TransferCredited { .. }
                        | TransferEvent::TransferFailed { .. },
                    ) => finished += 1,
                    _ => {}
                }
            }
            if started == finished {
                Ok(())
            } else {
                Err(format!("{finished} of {started} have finished"))
            }
        })
        .await;
        let mut sum = 0;
        for n in 1..=5 {
            sum += bank.balance(n).await.to_cents();
        }
        assert_eq!(sum, 30_000, "after {kills} kills, seed {seed}");
        for event in bank.events().await {
            if let BankEvent::Account(
                AccountEvent::MoneyDeposited { new_balance, .. }
                | AccountEvent::MoneyWithdrawn { new_balance, .. },
            ) = event.event
            {
                assert!(new_balance >= Money::ZERO);
            }
        }
        println!("{kills} kills");
        running.stop().await;
    });
}

/// Every kind of transfer, with a crash before and after each step of both stores.
#[test]
fn a_crash_at_any_step_does_not_change_the_result() {
    let world = |point: &CrashPoint| {
        let clock = ManualClock::at(noon());
        let (in_store, in_processes) = (point.clone(), point.clone());
        let store =
            MemoryStore::builder().clock(clock.clone()).on_step(move |step| in_store.step(step));
        let process_store = MemoryReadStore::builder()
            .clock(clock.clone())
            .on_step(move |step| in_processes.step(step));
        Bank::over(store.build(), process_store.build(), clock)
    };
    let transfers =
        [(1, 1, 2, "30.00"), (2, 1, 9, "20.00"), (3, 9, 2, "10.00"), (4, 1, 2, "900.00")];
    let start = async |bank: &Bank<MemoryReadStore>| {
        for (n, from, to, amount) in transfers {
            let start = transfer(n, from, to, amount);
            let id = Uuid::from_u128(0xF000 + n);
            // A client repeats a command until it is answered.
            while bank.app.dispatch(start.clone()).command_id(id).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    let create_accounts = async |bank: &Bank<MemoryReadStore>| {
        for (n, owner, balance) in [(1, "Alice", "100.00"), (2, "Bob", "50.00")] {
            let id = Uuid::from_u128(0xE000 + n);
            while bank.app.dispatch(open(n, owner, balance)).command_id(id).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    let settle = async |bank: &Bank<MemoryReadStore>| {
        let running = loop {
            match bank.try_start().await {
                Ok(running) => break running,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        start(bank).await;
        for (n, ..) in transfers {
            eventually(WITHIN * 60, || async {
                let query = InstanceQuery::page().id(id(n));
                let found = running.instances(NAME, &query).await.unwrap_or_default();
                match found.first() {
                    Some(found) if found.status == InstanceStatus::Ended && !found.is_busy() => {
                        Ok(())
                    }
                    found => Err(format!("{found:#?}")),
                }
            })
            .await;
        }
        running
    };
    let survived = cqrs_testing::crash_at_every_step(
        world,
        async |bank| {
            create_accounts(bank).await;
            settle(bank).await.stop().await;
        },
        async |bank| {
            // Lets the leases of the crashed bank expire.
            bank.clock.advance(Duration::from_secs(10));
            create_accounts(bank).await;
            settle(bank).await.stop().await;
            let balances = [bank.balance(1).await, bank.balance(2).await];
            assert_eq!(balances.map(Money::to_cents).iter().sum::<i64>(), 15_000);
            let mut end = format!("{balances:?}");
            for (n, ..) in transfers {
                end += &format!(" {:?} {:?}", bank.story(n).await, bank.failure(n).await);
            }
            end
        },
    );
    println!("{} steps, {} crashes survived: {}", survived.steps, survived.crashes, survived.end);
    assert!(survived.crashes * 10 > survived.steps * 9);
}
