//! What no outside test can bring about at will: news in the wrong order, answers that come twice.

use uuid::Uuid;

use super::desk::Desk;
use super::destinations::Destinations;
use super::effects::Rejection;
use super::exchange::{Changed, Exchange};
use super::manager::ProcessManager;
use super::records::{Instance, OutgoingCommand};
use super::scheduled::{CancelError, ChangeSchedule, Scheduled, ScheduledCommands};
use crate::{Aggregate, CommandId, Payload, Timestamp};

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
fn news_that_comes_late_counts_for_nothing_and_the_store_is_asked() {
    let exchange = Exchange::default();
    let (first, second) = (exchange.number(), exchange.number());
    // The second knows that command 1 was refused; the first, which was committed before, does not.
    committed(&exchange, second, vec![instance("a", &[2])]);
    assert!(!exchange.has_left_out());
    committed(&exchange, first, vec![instance("a", &[1])]);
    assert!(exchange.has_left_out());
    let (taken, is_new) = exchange.take(|_| true).unwrap();
    assert_eq!((commands(&taken), is_new), (vec![2], true));
    assert!(exchange.take(|_| true).is_none());
    // What the store says is taken for what nobody has told.
    exchange.looked(vec![instance("b", &[3])]);
    assert!(!exchange.has_left_out());
    let (taken, is_new) = exchange.take(|_| true).unwrap();
    assert_eq!((&*taken.id, is_new), ("b", false));
}

#[test]
fn what_was_accepted_is_not_sent_again_and_is_recorded_once() {
    let exchange = Exchange::default();
    exchange.accept("a", &[command(1).id]);
    // As it was committed before anybody recorded that.
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
fn what_is_busy_is_left_alone_and_more_than_can_be_kept_is_asked_for_later() {
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
    // An instance that has nothing to send any more is forgotten.
    let number = exchange.number();
    committed(&exchange, number, vec![instance("a", &[1])]);
    let number = exchange.number();
    committed(&exchange, number, vec![instance("a", &[])]);
    assert!(exchange.take(|_| true).is_none());
}

#[test]
fn a_refusal_that_is_on_record_is_not_answered_again() {
    let manager = ScheduledCommands { destinations: Destinations::new() };
    let destinations = manager.destinations();
    let rejection = || Rejection::Denied("no".to_owned());
    let desk = |kept| Desk::new(&manager, &destinations, Timestamp::UNIX_EPOCH, vec![kept]);
    let mut first = desk(instance("a", &[1]));
    first.refused("a", command(1), rejection());
    assert!(first.finish().remove(0).is_suspended());
    let mut again = desk(instance("a", &[2]));
    again.refused("a", command(1), rejection());
    assert!(again.finish().is_empty());
}

#[test]
fn of_a_cancellation_and_the_moment_itself_one_comes_first() {
    let id = || "p".to_owned();
    let after = |command| {
        let mut planned = Scheduled::Waiting;
        for event in planned.execute(command).unwrap() {
            planned.apply(&event);
        }
        planned
    };
    let cancelled = after(ChangeSchedule::Cancel { id: id() });
    let sent = cancelled.execute(ChangeSchedule::Send { id: id() });
    assert_eq!(sent, Err(CancelError::AlreadyCancelled));
    let due = after(ChangeSchedule::Send { id: id() });
    let cancelled = due.execute(ChangeSchedule::Cancel { id: id() });
    assert_eq!(cancelled, Err(CancelError::AlreadyDue));
}
