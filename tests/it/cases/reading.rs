//! Reads: one request for the log and for a stream, errors at the await, and `collect`.

use cqrs::{Event, store::*};

use super::fresh::{Store, fresh};

#[derive(Clone, Debug, PartialEq, Event)]
enum Added {
    #[event(name = "cart.added")]
    Added(u64),
}

#[derive(Clone, Debug, PartialEq, Event)]
enum Paid {
    #[event(name = "cart.paid")]
    Paid(u64),
}

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

/// Stores events at positions 1 to 8: `Added` in `cart-a`, `Added` in `cart-b`, `Paid` in `cart-a`,
/// and so on, without the last `Paid`.
async fn filled() -> Store {
    let store = fresh().await;
    for n in 0..3 {
        let any = ExpectedVersion::Any;
        store.append_events(&stream("cart-a"), any, &[Added::Added(n)]).await.unwrap();
        store.append_events(&stream("cart-b"), any, &[Added::Added(n)]).await.unwrap();
        if n < 2 {
            store.append_events(&stream("cart-a"), any, &[Paid::Paid(n)]).await.unwrap();
        }
    }
    store
}

async fn positions(store: &Store, read: impl Into<Read> + Clone) -> Vec<u64> {
    let events = store.read(read).await.unwrap().collect().await.unwrap();
    events.into_iter().map(|event| event.position.get()).collect()
}

#[tokio::test]
async fn a_read_of_the_log_meets_all_conditions() {
    let store = filled().await;
    let of = |read: Read| positions(&store, read);
    assert_eq!(of(Read::all()).await, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(of(Read::all().backward().limit(3)).await, [8, 7, 6]);
    assert_eq!(of(Read::all().from_position(6)).await, [6, 7, 8]);
    assert_eq!(of(Read::all().after(6)).await, [7, 8]);
    assert_eq!(of(Read::all().backward().from_position(3)).await, [3, 2, 1]);
    assert_eq!(of(Read::all().after(3).backward()).await, [2, 1]);
    assert_eq!(of(Read::all().after(1).backward()).await, [0; 0]);
    assert_eq!(of(Read::all().after(8)).await, [0; 0]);
    assert_eq!(of(Read::all().of::<Paid>()).await, [3, 6]);
    assert_eq!(of(Read::all().of::<Paid>().of::<Added>().limit(3)).await, [1, 2, 3]);
    assert_eq!(of(Read::category(Category::new("cart").unwrap()).page_size(3)).await.len(), 8);
    assert_eq!(of(Read::category(Category::new("order").unwrap())).await, [0; 0]);
    assert_eq!(of(Read::filter(Filter::stream(stream("cart-b")))).await, [2, 5, 8]);
}

#[tokio::test]
async fn a_stream_is_read_by_version_by_position_and_by_type() {
    let store = filled().await;
    // `cart-a` has versions 1 to 5 at positions 1, 3, 4, 6 and 7.
    let a = || Read::stream(stream("cart-a")).must_exist();
    let of = |read: Read<OneStream>| positions(&store, read);
    assert_eq!(of(a()).await, [1, 3, 4, 6, 7]);
    assert_eq!(of(a().from_version(3)).await, [4, 6, 7]);
    assert_eq!(of(a().from_version(3).backward()).await, [4, 3, 1]);
    assert_eq!(of(a().from_version(9)).await, [0; 0]);
    assert_eq!(of(a().from_position(5)).await, [6, 7]);
    assert_eq!(of(a().after(6)).await, [7]);
    assert_eq!(of(a().after(6).backward()).await, [4, 3, 1]);
    assert_eq!(of(a().of::<Paid>()).await, [3, 6]);
    for page_size in [1, 2, 1_000] {
        let a = || a().page_size(page_size);
        assert_eq!(of(a().of::<Added>().from_version(2)).await, [4, 7]);
        assert_eq!(of(a().of::<Added>().from_version(2).limit(1)).await, [4]);
        assert_eq!(of(a().from_version(2).from_position(5)).await, [6, 7]);
        assert_eq!(of(a().from_version(2).from_position(5).limit(1)).await, [6]);
        assert_eq!(of(a().from_version(4).after(6).backward().limit(2)).await, [4, 3]);
        assert_eq!(of(a().from_version(2).of::<Paid>().limit(0)).await, [0; 0]);
    }
}

#[tokio::test]
async fn a_missing_stream_is_an_empty_read_unless_it_must_exist() {
    let store = filled().await;
    let none = || Read::stream(stream("cart-none"));
    let requests = [
        none(),
        none().backward(),
        none().from_version(3),
        none().after(3),
        none().of::<Paid>(),
        none().from_version(2).of::<Paid>(),
        none().limit(0),
        none().of::<Paid>().limit(0),
    ];
    for read in requests {
        assert_eq!(positions(&store, read.clone()).await, [0; 0], "{read:?}");
        match store.read(read.clone().must_exist()).await {
            Err(ReadError::StreamNotFound { stream }) => assert_eq!(stream.as_str(), "cart-none"),
            other => panic!("{read:?}: {other:?}"),
        }
    }
    // A stream that exists, without an event that meets the conditions.
    let unpaid = Read::stream(stream("cart-b")).of::<Paid>().must_exist();
    assert_eq!(positions(&store, unpaid).await, [0; 0]);
}

#[tokio::test]
async fn typed_events_are_decoded_one_by_one_and_the_stream_ends_after_an_error() {
    let store = filled().await;
    let paid = store.read_as::<Paid>(Read::all().of::<Paid>()).await.unwrap();
    let paid: Vec<_> = paid.collect().await.unwrap().into_iter().map(|e| e.event).collect();
    assert_eq!(paid, [Paid::Paid(0), Paid::Paid(1)]);

    let mut added = store.read_as::<Added>(Read::stream(stream("cart-a"))).await.unwrap();
    assert_eq!(added.next().await.unwrap().unwrap().event, Added::Added(0));
    let Some(Err(ReadError::Decode(error))) = added.next().await else { panic!("not an error") };
    assert_eq!((error.position.get(), error.name.as_str()), (3, "cart.paid"));
    assert!(added.next().await.is_none());
    assert!(added.collect().await.unwrap().is_empty());
}
