//! Cases that tests of the public API cannot cause reliably: changes in the wrong order, repeated
//! answers.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::desk::Desk;
use super::destinations::Destinations;
use super::effects::Rejection;
use super::exchange::{Changed, Exchange};
use super::manager::ProcessManager;
use super::records::{Instance, OutgoingCommand};
use super::scheduled::{CancelError, ChangeSchedule, Scheduled, ScheduledCommands};
use crate::{Aggregate, CommandId, Metadata, Payload, Timestamp};

fn command(n: u128) -> OutgoingCommand {
    let id = CommandId::from(Uuid::from_u128(n));
    let content = Payload::encode(&ChangeSchedule::Send { id: "p".to_owned() }).unwrap();
    let category = Scheduled::CATEGORY.to_owned();
    OutgoingCommand::new(id, category, content, Uuid::nil().into())
}

fn instance(id: &str, commands: &[u128]) -> Instance {
    let state = Payload::from_stored(r#"{"category":"","command":""}"#);
    let mut instance = Instance::new(id.to_owned(), state, 1, Timestamp::UNIX_EPOCH);
    instance.commands = commands.iter().map(|n| command(*n)).collect();
    instance
}

fn commands(instance: &Instance) -> Vec<u128> {
    instance.commands.iter().map(|command| command.id.as_uuid().as_u128()).collect()
}

fn committed(exchange: &Exchange, number: u64, instances: Vec<Instance>) {
    exchange.committed(Changed { number, instances, recorded: Vec::new() });
}

#[test]
fn an_outdated_change_is_ignored_and_the_store_is_read() {
    let exchange = Exchange::default();
    let (first, second) = (exchange.number(), exchange.number());
    // The second includes the rejection of command 1; the first was committed before it.
    committed(&exchange, second, vec![instance("a", &[2])]);
    assert!(!exchange.has_left_out());
    committed(&exchange, first, vec![instance("a", &[1])]);
    assert!(exchange.has_left_out());
    let (taken, is_new) = exchange.take(|_| true).unwrap();
    assert_eq!((commands(&taken), is_new), (vec![2], true));
    assert!(exchange.take(|_| true).is_none());
    // Instances that are not known yet are taken from the store.
    exchange.loaded(vec![instance("b", &[3])]);
    assert!(!exchange.has_left_out());
    let (taken, is_new) = exchange.take(|_| true).unwrap();
    assert_eq!((&*taken.id, is_new), ("b", false));
}

#[test]
fn an_accepted_command_is_not_sent_again_and_is_recorded_once() {
    let exchange = Exchange::default();
    exchange.accept("a", &[command(1).id]);
    // As committed before the acceptance was recorded.
    let number = exchange.number();
    committed(&exchange, number, vec![instance("a", &[1, 2])]);
    let (taken, _) = exchange.take(|_| true).unwrap();
    assert_eq!(commands(&taken), [2]);
    assert_eq!(exchange.unrecorded(10), ["a"]);
    let recorded = exchange.accepted(&["a".to_owned()]);
    let number = exchange.number();
    exchange.committed(Changed { number, instances: Vec::new(), recorded });
    assert!(exchange.unrecorded(10).is_empty());
}

#[test]
fn busy_instances_are_skipped_and_those_beyond_the_capacity_are_loaded_later() {
    let exchange = Exchange::default();
    let number = exchange.number();
    committed(&exchange, number, (0..5_000).map(|n| instance(&n.to_string(), &[n])).collect());
    assert!(exchange.take(|_| false).is_none());
    let mut taken = 0;
    while exchange.take(|id| id != "7").is_some() {
        taken += 1;
    }
    assert_eq!(taken, 4_095);
    assert!(exchange.has_left_out());
    assert_eq!(exchange.take(|_| true).unwrap().0.id, "7");
    // An instance without commands is dropped.
    let number = exchange.number();
    committed(&exchange, number, vec![instance("a", &[1])]);
    let number = exchange.number();
    committed(&exchange, number, vec![instance("a", &[])]);
    assert!(exchange.take(|_| true).is_none());
}

#[test]
fn a_recorded_rejection_is_not_handled_again() {
    let manager = ScheduledCommands { destinations: Destinations::new() };
    let destinations = manager.destinations();
    let rejection = || Rejection::Denied("no".to_owned());
    let none = |_: &Metadata| BTreeMap::new();
    let desk = |kept| Desk::new(&manager, &destinations, &none, Timestamp::UNIX_EPOCH, vec![kept]);
    let mut first = desk(instance("a", &[1]));
    first.rejected("a", command(1), rejection());
    assert!(first.finish().remove(0).is_suspended());
    let mut again = desk(instance("a", &[2]));
    again.rejected("a", command(1), rejection());
    assert!(again.finish().is_empty());
}

#[test]
fn a_scheduled_command_is_either_cancelled_or_due() {
    let id = || "p".to_owned();
    let after = |command| {
        let mut scheduled = Scheduled::Waiting;
        for event in scheduled.execute(command).unwrap() {
            scheduled.apply(&event);
        }
        scheduled
    };
    let cancelled = after(ChangeSchedule::Cancel { id: id() });
    let sent = cancelled.execute(ChangeSchedule::Send { id: id() });
    assert_eq!(sent, Err(CancelError::AlreadyCancelled { id: id() }));
    let due = after(ChangeSchedule::Send { id: id() });
    let cancelled = due.execute(ChangeSchedule::Cancel { id: id() });
    assert_eq!(cancelled, Err(CancelError::AlreadyDue { id: id() }));
}
