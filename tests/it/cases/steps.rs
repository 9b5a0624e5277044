//! Decisions in several steps.

use cqrs::{Aggregate, aggregate::Steps};
use cqrs_testing::given;

use super::ledger::{Ledger, LedgerError, LedgerEvent, What, change};

#[test]
fn each_step_sees_the_state_after_the_earlier_ones() {
    let ledger = Ledger { sum: 10 };
    let events = ledger.execute(change("a", What::TakeAll(vec![4, 5, 1]))).unwrap();
    assert_eq!(events, [LedgerEvent::Taken(4), LedgerEvent::Taken(5), LedgerEvent::Taken(1)]);
    assert_eq!(ledger.sum, 10, "the decision changes nothing");
}

#[test]
fn an_error_of_one_step_drops_the_events_of_all() {
    let rejected = Ledger { sum: 10 }.execute(change("a", What::TakeAll(vec![4, 5, 2])));
    assert_eq!(rejected, Err(LedgerError::NotEnough { wanted: 2, left: 1 }));
}

#[test]
fn intermediate_states_can_be_kept_and_steps_nested() {
    let ledger = Ledger { sum: 10 };
    let mut steps = Steps::new(&ledger);
    let half = steps.then(|ledger| Ok(vec![LedgerEvent::Taken(ledger.sum / 2)])).unwrap().clone();
    // A step that consists of steps.
    steps.then(|ledger| ledger.execute(change("a", What::TakeAll(vec![1, 1])))).unwrap();
    steps.then(|ledger| Ok(vec![LedgerEvent::Put(half.sum - ledger.sum)])).unwrap();
    assert_eq!(steps.state().sum, half.sum);
    let expected = [5, 1, 1].map(LedgerEvent::Taken).into_iter().chain([LedgerEvent::Put(2)]);
    assert_eq!(steps.into_events(), expected.collect::<Vec<_>>());
}

#[test]
fn decisions_in_steps_work_with_given_when_then() {
    given::<Ledger>([LedgerEvent::Put(10)])
        .when(change("a", What::TakeAll(vec![4, 5])))
        .then([LedgerEvent::Taken(4), LedgerEvent::Taken(5)])
        .and_when(change("a", What::TakeAll(vec![1, 1])))
        .then_error(LedgerError::NotEnough { wanted: 1, left: 0 });
}
