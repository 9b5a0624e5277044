//! Past states of aggregates.

use std::time::Duration;

use super::fresh::fresh_with;
use cqrs::{app::*, event::*, repository::*, store::*};
use cqrs_testing::ManualClock;

use super::ledger::{Ledger, put, take};

#[tokio::test]
async fn a_state_can_be_loaded_as_of_a_version_or_a_time() {
    let clock = ManualClock::new();
    let store = fresh_with(clock.clone()).await;
    let app = App::new(store);
    let mut times = vec![clock.now()];
    let mut sums = vec![0];
    for n in 1..=6_i64 {
        clock.advance(Duration::from_secs(60));
        let command = if n % 3 == 0 { take("a", 1) } else { put("a", n) };
        let outcome = app.dispatch(command).with_state().await.unwrap();
        times.push(outcome.events[0].recorded_at);
        sums.push(outcome.state.unwrap().sum);
    }
    let id = "a".to_owned();
    for n in 0..=6_usize {
        let version = Version::new(n as u64);
        let by_version = app.load_as_of::<Ledger>(&id, AsOf::Version(version)).await.unwrap();
        assert_eq!((by_version.version(), by_version.state().sum), (version, sums[n]));
        for later in [0, 59] {
            let time = times[n].plus(Duration::from_secs(later));
            let by_time = app.load_as_of::<Ledger>(&id, AsOf::Time(time)).await.unwrap();
            assert_eq!(by_time, by_version);
        }
    }
    let beyond = app.load_as_of::<Ledger>(&id, AsOf::Version(Version::new(u64::MAX))).await;
    assert_eq!(beyond.unwrap().version(), Version::new(6));
    let missing = app.load_as_of::<Ledger>(&"b".into(), AsOf::Time(Timestamp::MAX)).await.unwrap();
    assert_eq!(missing.version(), Version::ZERO);
}
