//! A wrapper of the memory store that breaks one law.

use std::sync::Arc;

use async_trait::async_trait;
use cqrs_core::{
    CommandId, EventId, EventStore, ExpectedVersion, Metadata, Position, StreamName, Timestamp,
    Version,
    event::Payload,
    store::{
        Append, AppendError, Appended, AppendedStream, CommandRecord, Direction, LogRead, Page,
        Pages, ReadError, SaveStateError, Snapshot, SnapshotStore, State, StateStore, StoreError,
        StoreErrorKind, StoredState, StreamInfo, StreamListing, StreamOrder, StreamQuery,
        StreamRead,
    },
};
use cqrs_memory::MemoryStore;
use futures_util::{FutureExt, StreamExt, stream};

use crate::fault::Fault;

#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) inner: MemoryStore,
    pub(crate) fault: Fault,
}

fn fresh_ids(append: &mut Append) {
    for event in append.streams.iter_mut().flat_map(|part| &mut part.events) {
        event.id = EventId::random();
    }
}

fn lowercase(name: &StreamName) -> StreamName {
    StreamName::new(name.as_str().to_lowercase()).unwrap()
}

fn trimmed(name: &StreamName) -> StreamName {
    StreamName::new(name.as_str().trim_end()).unwrap_or_else(|_| name.clone())
}

impl Broken {
    fn name(&self, name: &StreamName) -> StreamName {
        match self.fault {
            Fault::NamesCaseless => lowercase(name),
            Fault::NamesTrimmed => trimmed(name),
            _ => name.clone(),
        }
    }

    /// Applies the faults of an append before it is stored.
    fn spoil(&self, append: &mut Append) {
        let empty = append.event_count() == 0;
        if empty && self.fault == Fault::EmptyCommandForgotten
            || self.fault == Fault::CommandForgotten
        {
            append.command = None;
        }
        if self.fault == Fault::StreamsReversed {
            append.streams.reverse();
        }
        if self.fault == Fault::InvalidRepaired {
            append.streams.dedup_by(|b, a| a.stream == b.stream);
        }
        if self.fault == Fault::IdsReplaced {
            fresh_ids(append);
        }
        for part in &mut append.streams {
            part.stream = self.name(&part.stream);
            part.expected = match (self.fault, part.expected) {
                (Fault::VersionsUnchecked, _)
                | (Fault::NoStreamUnchecked, ExpectedVersion::NoStream)
                | (Fault::StreamExistsUnchecked, ExpectedVersion::StreamExists) => {
                    ExpectedVersion::Any
                }
                (Fault::EmptyUnchecked, _) if empty => ExpectedVersion::Any,
                (Fault::AnyMeansNoStream, ExpectedVersion::Any) => ExpectedVersion::NoStream,
                (Fault::ExactOneOff, ExpectedVersion::Exact(version)) if version.get() == 2 => {
                    ExpectedVersion::Exact(version.next())
                }
                (Fault::NumbersWrap, ExpectedVersion::Exact(version)) => {
                    ExpectedVersion::Exact(Version::new(version.get() % 4))
                }
                (_, expected) => expected,
            };
            match self.fault {
                Fault::EventsReversed => part.events.reverse(),
                Fault::LargeAppendCut => part.events.truncate(1_000),
                Fault::StateForgotten => part.state = None,
                Fault::EveryThirdLost => {
                    let mut nth: u64 = self.inner_version(&part.stream);
                    part.events.retain(|_| {
                        nth += 1;
                        !nth.is_multiple_of(3)
                    });
                }
                _ => {}
            }
            for event in &mut part.events {
                match self.fault {
                    Fault::MetadataLost => event.metadata = Arc::default(),
                    Fault::ActorLost => {
                        let mut metadata = Metadata::clone(&event.metadata);
                        metadata.actor = None;
                        event.metadata = metadata.into();
                    }
                    Fault::HeadersEscaped => {
                        let mut metadata = Metadata::clone(&event.metadata);
                        for value in metadata.headers.values_mut() {
                            *value = value.to_string().into();
                        }
                        event.metadata = metadata.into();
                    }
                    Fault::OwnTimeIgnored => event.recorded_at = None,
                    Fault::SchemaVersionLost => event.schema_version = 1,
                    Fault::PayloadRewritten => {
                        let value: serde_json::Value = event.payload.decode().unwrap();
                        event.payload = Payload::encode(&value).unwrap();
                    }
                    _ => {}
                }
            }
        }
    }

    fn inner_version(&self, stream: &StreamName) -> u64 {
        let info = self.inner.stream_info(stream).now_or_never();
        info.and_then(Result::ok).flatten().map_or(0, |info| info.version.get())
    }

    async fn append_spoilt(&self, append: Append) -> Result<Appended, AppendError> {
        match self.fault {
            // One append per stream: the first ones are stored even if a later one fails.
            Fault::StreamsOneByOne => {
                let mut done: Option<Appended> = None;
                for part in append.streams {
                    let one = Append::to(part.stream, part.expected, part.events);
                    let one = self.inner.append(one).await?;
                    match &mut done {
                        None => done = Some(one),
                        Some(done) => done.streams.extend(one.streams),
                    }
                }
                Ok(done.unwrap())
            }
            // The append can be cancelled between its two halves.
            Fault::SplitByYields if append.event_count() > 1 => {
                let (mut first, mut rest) = (append.clone(), append);
                first.streams.truncate(1);
                rest.streams.remove(0);
                let mut done = self.inner.append(first).await?;
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
                if !rest.streams.is_empty() {
                    done.streams.extend(self.inner.append(rest).await?.streams);
                }
                Ok(done)
            }
            _ => self.inner.append(append).await,
        }
    }

    /// Applies the faults of the result.
    async fn spoil_result(
        &self,
        given: Append,
        result: Result<Appended, AppendError>,
    ) -> Result<Appended, AppendError> {
        let again = |mut append: Append| {
            fresh_ids(&mut append);
            append.command = None;
            append.streams.iter_mut().for_each(|part| part.expected = ExpectedVersion::Any);
            self.inner.append(append)
        };
        match (self.fault, result) {
            (Fault::RepeatedStoredAgain, Ok(done)) if done.repeated => again(given).await,
            (Fault::DuplicateStored, Err(AppendError::DuplicateEvent { .. })) => again(given).await,
            (Fault::RepeatedUnmarked, Ok(mut done)) => {
                done.repeated = false;
                Ok(done)
            }
            (Fault::StreamsReversed, Ok(mut done)) => {
                done.streams.reverse();
                Ok(done)
            }
            (Fault::PositionOneOff, Ok(mut done)) => {
                for AppendedStream { position, .. } in &mut done.streams {
                    *position = position.next();
                }
                Ok(done)
            }
            (Fault::NewContentTakenForRepetition, Err(AppendError::Conflict(conflict))) => {
                let part =
                    AppendedStream::new(conflict.stream, conflict.actual, 0, Position::START);
                Ok(Appended::new(vec![part], Timestamp::UNIX_EPOCH).again())
            }
            (Fault::ConflictWrongActual, Err(AppendError::Conflict(mut conflict))) => {
                conflict.actual = conflict.actual.next();
                Err(conflict.into())
            }
            (Fault::ConflictWrongExpected, Err(AppendError::Conflict(mut conflict))) => {
                conflict.expected = ExpectedVersion::Any;
                Err(conflict.into())
            }
            (Fault::FingerprintUnchecked, Err(AppendError::CommandIdReused { id })) => {
                Ok(self.inner.find_command(id).await?.unwrap().appended.again())
            }
            (Fault::CommandRecordedOnConflict, Err(error)) => {
                if let Some(key) = given.command {
                    let stream = given.streams[0].stream.clone();
                    let nothing = Append::to(stream, ExpectedVersion::Any, vec![]);
                    self.inner.append(nothing.with_command(key)).await?;
                }
                Err(error)
            }
            (Fault::StateDespiteFailure, Err(error)) => {
                for part in given.streams {
                    if let Some(state) = part.state {
                        let there = self.inner.load_state(&part.stream).await?;
                        let version = there.map_or(Version::ZERO, |there| there.version);
                        let _ = self.inner.save_state(&part.stream, version, state).await;
                    }
                }
                Err(error)
            }
            (_, result) => result,
        }
    }

    fn spoil_log_read(&self, read: &mut LogRead) {
        match self.fault {
            Fault::FromExclusive => read.from = read.from.map(Position::next),
            Fault::PageSizeIgnored => read.page_size = 1_000,
            Fault::TypesIgnored => read.filter.types.clear(),
            Fault::CategoriesIgnored => read.filter.categories.clear(),
            Fault::CorrelationIgnored => read.filter.correlation_id = None,
            Fault::NumbersWrap => read.from = read.from.map(|at| Position::new(at.get() % 4)),
            _ => {}
        }
        if let Some(stream) = &read.filter.stream {
            read.filter.stream = Some(self.name(stream));
        }
    }

    fn spoil_page(&self, page: &mut Page<Position>, direction: Direction, head: Position) {
        let gap = |position: Position| match position.get() {
            3.. => position.next(),
            _ => position,
        };
        match self.fault {
            Fault::PositionsWithGap => {
                page.events.iter_mut().for_each(|event| event.position = gap(event.position));
                page.through = gap(page.through);
            }
            Fault::LogReordered if page.events.len() > 1 => page.events.swap(0, 1),
            Fault::LogLosesEvents => page.events.retain(|event| event.position.get() % 10 != 5),
            Fault::LogRepeatsEvents => page.events.extend(page.events.last().cloned()),
            Fault::CursorTooFar if direction == Direction::Forward => page.through = head,
            Fault::CursorStuck => {
                page.through = page.events.last().map_or(Position::START, |event| event.position);
            }
            // The second newest event is not visible yet.
            Fault::LateArrival => {
                let late = head.get().saturating_sub(1);
                page.events.retain(|event| event.position.get() != late);
            }
            _ => {}
        }
    }

    fn head_now(&self) -> Position {
        self.inner.head().now_or_never().and_then(Result::ok).unwrap_or_default()
    }
}

#[async_trait]
impl EventStore for Broken {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let given = append.clone();
        let mut append = append;
        if self.fault == Fault::OppositeOrderDeadlocks
            && append.streams.windows(2).any(|two| two[0].stream > two[1].stream)
        {
            return Err(StoreError::new(StoreErrorKind::Internal, "deadlock detected").into());
        }
        if self.fault == Fault::ReadsHoldTheStore && self.head_now().get() >= 50 {
            // As if a dropped read still held a connection.
            return Err(StoreError::new(StoreErrorKind::Unavailable, "no connection left").into());
        }
        self.spoil(&mut append);
        let result = self.append_spoilt(append).await;
        self.spoil_result(given, result).await
    }

    fn read_stream(&self, mut read: StreamRead) -> Pages<Version> {
        read.stream = self.name(&read.stream);
        match self.fault {
            Fault::FromExclusive => read.from = read.from.map(Version::next),
            Fault::StreamLimitIgnored => read.limit = None,
            Fault::StreamBackwardForward => read.direction = Direction::Forward,
            Fault::PageSizeIgnored => read.page_size = 1_000,
            Fault::NumbersWrap => read.from = read.from.map(|at| Version::new(at.get() % 4)),
            _ => {}
        }
        let (fault, pages) = (self.fault, self.inner.read_stream(read));
        match fault {
            Fault::MissingStreamEmpty => pages
                .map(|page| match page {
                    Err(ReadError::StreamNotFound { .. }) => Ok(Page::new(vec![], Version::ZERO)),
                    page => page,
                })
                .boxed(),
            Fault::EmptyPageBetween => pages
                .flat_map(|page| {
                    let through = page.as_ref().map_or(Version::ZERO, |page| page.through);
                    stream::iter([page, Ok(Page::new(vec![], through))])
                })
                .boxed(),
            _ => pages,
        }
    }

    fn read_log(&self, mut read: LogRead) -> Pages<Position> {
        self.spoil_log_read(&mut read);
        let direction = read.direction;
        let broken = self.clone();
        if self.fault == Fault::SeamSkipsOne && read.from.is_some_and(|from| from.get() > 500) {
            read.from = read.from.map(Position::next);
        }
        let prefixes = match self.fault {
            Fault::CategoryIsPrefix => std::mem::take(&mut read.filter.categories),
            _ => Vec::new(),
        };
        let follow = self.fault == Fault::ReadFollows;
        let (inner, rest) = (self.inner.clone(), read.clone());
        let pages = self.inner.read_log(read).map(move |page| {
            let mut page = page?;
            broken.spoil_page(&mut page, direction, broken.head_now());
            if !prefixes.is_empty() {
                page.events.retain(|event| {
                    let category = event.stream.category();
                    prefixes.iter().any(|prefix| category.starts_with(prefix.as_str()))
                });
            }
            Ok(page)
        });
        match self.fault {
            Fault::EmptyReadSilent => pages
                .filter(|page| {
                    let silent = page.as_ref().is_ok_and(|page| page.events.is_empty());
                    std::future::ready(!silent)
                })
                .boxed(),
            _ if follow => {
                // Reads again at the end.
                let more = stream::once(async move {
                    let end = inner.head().await.unwrap_or_default();
                    inner.read_log(rest.from(end))
                });
                pages.chain(more.flatten()).boxed()
            }
            _ => pages.boxed(),
        }
    }

    async fn head(&self) -> Result<Position, StoreError> {
        let head = self.inner.head().await?;
        Ok(match self.fault {
            Fault::HeadTooLow => Position::new(head.get().saturating_sub(1)),
            Fault::HeadTooHigh => head.next(),
            _ => head,
        })
    }

    async fn wait_for_head_after(&self, position: Position) {
        match self.fault {
            Fault::HintNever => std::future::pending().await,
            _ => self.inner.wait_for_head_after(position).await,
        }
    }

    async fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>, StoreError> {
        let mut info = self.inner.stream_info(&self.name(stream)).await?;
        if let Some(info) = &mut info
            && self.fault == Fault::InfoStale
        {
            info.updated_at = info.created_at;
        }
        Ok(info)
    }

    async fn list_streams(&self, mut query: StreamQuery) -> Result<StreamListing, StoreError> {
        if self.fault == Fault::SearchIsPattern {
            query.search = query.search.replace('%', "");
        }
        if self.fault == Fault::ListingUnsorted {
            query.order = StreamOrder::Name;
        }
        let mut listing = self.inner.list_streams(query).await?;
        if self.fault == Fault::ListingTotalOfPage {
            listing.total = listing.streams.len() as u64;
        }
        Ok(listing)
    }

    async fn find_command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
        self.inner.find_command(id).await
    }

    async fn forget_commands(&self, recorded_before: Timestamp) -> Result<u64, StoreError> {
        match self.fault {
            Fault::ForgetsNothing => Ok(0),
            Fault::ForgetsAll => self.inner.forget_commands(Timestamp::MAX).await,
            _ => self.inner.forget_commands(recorded_before).await,
        }
    }
}

#[async_trait]
impl SnapshotStore for Broken {
    async fn load_snapshot(&self, stream: &StreamName) -> Result<Option<Snapshot>, StoreError> {
        match self.fault {
            Fault::SnapshotOfAnyStream => {
                self.inner.load_snapshot(&StreamName::new("a-1").unwrap()).await
            }
            _ => self.inner.load_snapshot(stream).await,
        }
    }

    async fn save_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        let there = self.inner.load_snapshot(&snapshot.stream).await?;
        match (self.fault, there) {
            (Fault::SnapshotNotReplaced, Some(_)) => Ok(()),
            _ => self.inner.save_snapshot(snapshot).await,
        }
    }

    async fn delete_snapshot(&self, stream: &StreamName) -> Result<(), StoreError> {
        match self.fault {
            Fault::SnapshotStays => Ok(()),
            _ => self.inner.delete_snapshot(stream).await,
        }
    }
}

#[async_trait]
impl StateStore for Broken {
    async fn load_state(&self, name: &StreamName) -> Result<Option<StoredState>, StoreError> {
        let mut found = self.inner.load_state(name).await?;
        if let Some(found) = &mut found
            && self.fault == Fault::StateVersionOneOff
        {
            found.version = found.version.next();
        }
        Ok(found)
    }

    async fn save_state(
        &self,
        name: &StreamName,
        expected: Version,
        state: State,
    ) -> Result<Version, SaveStateError> {
        let there = self.inner.load_state(name).await?;
        let actual = there.map_or(Version::ZERO, |there| there.version);
        match self.fault {
            Fault::StateVersionUnchecked => self.inner.save_state(name, actual, state).await,
            _ => self.inner.save_state(name, expected, state).await,
        }
    }
}
