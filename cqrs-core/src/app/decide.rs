//! Load, decide, append; and again when somebody else was faster.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::Instant;

use super::{App, Denial, DispatchError, Outcome};
use crate::aggregate::{ReservationError, Transfer, Unreserved, transfers};
use crate::failures::pauses;
use crate::repository::{Changes, Loaded, Repository};
use crate::{
    Aggregate, AppendError, Appended, AppendedStream, CommandId, CommandKey, Conflict,
    ExpectedVersion, InvalidAppend, Metadata, NewEvent, Payload, ReadError, Retry, StreamAppend,
    StreamName, StreamRead, Waiter,
};

/// The pause before the second repetition; the first one is at once, and they grow.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

type Failure<A> = DispatchError<<A as Aggregate>::Error>;
type Decided<A> = Result<Vec<<A as Aggregate>::Event>, Failure<A>>;

/// One command for one aggregate.
pub(super) struct Decision<'a, A> {
    pub(super) app: &'a App,
    pub(super) stream: StreamName,
    pub(super) command_id: CommandId,
    pub(super) options: Options<A>,
    /// When the caller stops waiting.
    pub(super) until: Option<Instant>,
}

/// What the caller of a dispatch wants otherwise than by default.
pub(super) struct Options<A> {
    pub(super) command_id: Option<CommandId>,
    pub(super) expected: Option<ExpectedVersion>,
    pub(super) metadata: Metadata,
    pub(super) retries: u32,
    pub(super) deadline: Option<Duration>,
    /// Copies the state for the outcome, if it was asked for.
    pub(super) copy: Option<fn(&A) -> A>,
    /// Which read models to wait for, and how long.
    pub(super) wait: Option<(Waiter, Duration)>,
    /// Whether a known command is answered before it is decided, instead of behind.
    pub(super) look_first: bool,
}

impl<A> Default for Options<A> {
    fn default() -> Self {
        Self {
            command_id: None,
            expected: None,
            metadata: Metadata::default(),
            retries: 0,
            deadline: None,
            copy: None,
            wait: None,
            look_first: true,
        }
    }
}

/// Asks the hooks that want to see the state.
type Guard<'a, A> = &'a (dyn Fn(&A) -> Result<(), Denial> + Sync);

/// How an append ended that was not refused outright.
enum Saved {
    Stored(Appended),
    /// Somebody else was faster.
    Conflict(Conflict),
}

impl<A: Aggregate> Decision<'_, A> {
    /// Decides until the events are stored or there is nothing to store. `sent` is set while
    /// events are on their way.
    pub(super) async fn run(
        &self,
        command: A::Command,
        metadata: Arc<Metadata>,
        guard: Guard<'_, A>,
        sent: &AtomicBool,
    ) -> Result<Outcome<A>, Failure<A>> {
        let repository = self.app.repository::<A>().map_err(DispatchError::Misconfigured)?;
        let repository = &*repository;
        let key = self.key(&command)?;

        // Commands to one aggregate take turns within this process.
        let slot = self.app.shared.cache.slot::<A>(&self.stream);
        let mut slot = slot.lock().await;
        let known = if self.options.look_first { self.find_first(key).await? } else { None };
        if let Some(first) = known {
            return self.repeated(repository, first).await;
        }
        // Taken out: if this future is dropped or panics, nothing half-way stays behind.
        let (mut loaded, mut current) = match slot.take() {
            Some(loaded) => (loaded, false),
            None => (self.load(repository).await?, true),
        };
        if !current && self.unexpected(&loaded).is_some() {
            self.refresh(repository, &mut loaded).await?;
            current = true;
        }

        let mut pauses = pauses(FIRST_PAUSE, LONGEST_PAUSE);
        // Whoever insists on a version learns in the next round that it has gone.
        let budget = self.options.retries.max(u32::from(self.options.expected.is_some()));
        let mut attempts = 0;
        loop {
            if let Some(conflict) = self.unexpected(&loaded) {
                self.put_back(&mut slot, loaded);
                return Err(DispatchError::Conflict(conflict));
            }
            let decided = self.decide(repository, &mut loaded, current, &command, guard).await?;
            let events = match decided {
                Ok(events) => events,
                Err(refusal) => {
                    return self.refused(repository, key, refusal, loaded, &mut slot).await;
                }
            };
            if events.is_empty() && key.is_none() {
                let outcome =
                    Outcome::unchanged(self.stream.clone(), loaded.version(), self.command_id);
                return Ok(self.finish(outcome, metadata, loaded, &mut slot));
            }

            let mut changes = Changes::new(events, Arc::clone(&metadata), &*self.app.shared.ids)
                .map_err(unstorable::<A>)?;
            changes.command = key;
            match self.reserved(&loaded, &changes, &metadata).await? {
                Ok(beside) => changes.beside = beside,
                Err(refused) => {
                    // As with a refusal of the aggregate: is it one of the newest state?
                    let before = loaded.version();
                    if !current {
                        self.refresh(repository, &mut loaded).await?;
                        current = true;
                        if loaded.version() != before {
                            continue;
                        }
                    }
                    let refusal = DispatchError::Reservation(refused);
                    return self.refused(repository, key, refusal, loaded, &mut slot).await;
                }
            }
            attempts += 1;
            let conflict = match self.save(repository, &mut loaded, &changes, sent).await? {
                Saved::Stored(appended) if appended.repeated => {
                    return self.repeated(repository, appended).await;
                }
                Saved::Stored(appended) => {
                    let outcome =
                        self.outcome(&appended).with_events(&appended, changes, &metadata);
                    return Ok(self.finish(outcome, metadata, loaded, &mut slot));
                }
                Saved::Conflict(conflict) => conflict,
            };
            if attempts > budget {
                return Err(DispatchError::TooManyAttempts { attempts, conflict });
            }
            if attempts > 1 {
                tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
            }
            self.refresh(repository, &mut loaded).await?;
            current = true;
        }
    }

    /// Asks the aggregate. Refusals and empty decisions are not checked by an append, so before
    /// they are believed of a state that is only remembered, the store is asked what was missed.
    async fn decide(
        &self,
        repository: &dyn Repository<A>,
        loaded: &mut Loaded<A>,
        current: bool,
        command: &A::Command,
        guard: Guard<'_, A>,
    ) -> Result<Decided<A>, Failure<A>> {
        let decide = |state: &A| {
            guard(state).map_err(DispatchError::Denied)?;
            state.execute(command.clone()).map_err(DispatchError::Rejected)
        };
        let decided = decide(loaded.state());
        if current || decided.as_ref().is_ok_and(|events| !events.is_empty()) {
            return Ok(decided);
        }
        let before = loaded.version();
        self.refresh(repository, loaded).await?;
        if loaded.version() == before {
            return Ok(decided);
        }
        Ok(decide(loaded.state()))
    }

    /// What is appended beside the events for what they reserve.
    async fn reserved(
        &self,
        loaded: &Loaded<A>,
        changes: &Changes<A::Event>,
        metadata: &Arc<Metadata>,
    ) -> Result<Result<Vec<StreamAppend>, ReservationError>, Failure<A>> {
        let reservations = loaded.state().reservations(changes.events());
        let transfers = match transfers(&*self.app.shared.store, &self.stream, reservations).await {
            Ok(transfers) => transfers,
            Err(Unreserved::Rejected(refused)) => return Ok(Err(refused)),
            Err(Unreserved::Read(error)) => return Err(DispatchError::Read(error)),
        };
        let appends = transfers.into_iter().map(|Transfer { stream, expected, event }| {
            let id = self.app.shared.ids.next().into();
            let event = NewEvent::of_with_id(&event, id).map_err(unstorable::<A>)?;
            let mut append = StreamAppend::new(stream, expected);
            append.events = vec![event.with_metadata(Arc::clone(metadata))];
            Ok(append)
        });
        Ok(Ok(appends.collect::<Result<_, Failure<A>>>()?))
    }

    /// Appends, and asks again under the same event ids while the answer gets lost: if they were
    /// stored the first time, the store says so and stores nothing.
    async fn save(
        &self,
        repository: &dyn Repository<A>,
        loaded: &mut Loaded<A>,
        changes: &Changes<A::Event>,
        sent: &AtomicBool,
    ) -> Result<Saved, Failure<A>> {
        let mut pauses = pauses(FIRST_PAUSE, LONGEST_PAUSE).take(self.options.retries as usize);
        let mut answer_lost = false;
        sent.store(true, Ordering::Relaxed);
        loop {
            let lost = match repository.save(loaded, changes).await {
                Ok(appended) => return Ok(Saved::Stored(appended)),
                Err(AppendError::Conflict(conflict)) => {
                    sent.store(false, Ordering::Relaxed);
                    return Ok(Saved::Conflict(conflict));
                }
                Err(AppendError::CommandIdReused { id }) => {
                    return Err(DispatchError::CommandIdReused { command_id: id });
                }
                Err(AppendError::OutcomeUnknown(lost)) => lost,
                // Says nothing about the try before it, whose answer is still unknown.
                Err(AppendError::Store(error)) if answer_lost => error,
                Err(error) => return Err(DispatchError::Append(error)),
            };
            match pauses.next() {
                Some(pause) if lost.retry() != Retry::Never => {
                    answer_lost = true;
                    tokio::time::sleep(pause).await;
                }
                _ => {
                    let command_id = self.command_id;
                    return Err(DispatchError::OutcomeUnknown { command_id, source: lost });
                }
            }
        }
    }

    /// The conflict, if the caller insists on another version.
    fn unexpected(&self, loaded: &Loaded<A>) -> Option<Conflict> {
        let expected = self.options.expected?;
        let actual = loaded.version();
        (!expected.accepts(actual)).then(|| Conflict::new(self.stream.clone(), expected, actual))
    }

    fn outcome(&self, appended: &Appended) -> Outcome<A> {
        let mut outcome =
            Outcome::unchanged(self.stream.clone(), appended.version(), self.command_id);
        outcome.position = appended.position();
        outcome
    }

    fn finish(
        &self,
        mut outcome: Outcome<A>,
        metadata: Arc<Metadata>,
        loaded: Loaded<A>,
        slot: &mut Option<Loaded<A>>,
    ) -> Outcome<A> {
        outcome.metadata = metadata;
        // It is behind when an event that was just stored cannot be applied.
        if loaded.version() == outcome.version {
            outcome.state = self.options.copy.map(|copy| copy(loaded.state()));
            self.put_back(slot, loaded);
        }
        outcome
    }

    fn put_back(&self, slot: &mut Option<Loaded<A>>, loaded: Loaded<A>) {
        if self.app.shared.cache.keeps_states() {
            *slot = Some(loaded);
        }
    }

    async fn load(&self, repository: &dyn Repository<A>) -> Result<Loaded<A>, Failure<A>> {
        repository.load(self.stream.clone()).await.map_err(DispatchError::Read)
    }

    async fn refresh(
        &self,
        repository: &dyn Repository<A>,
        loaded: &mut Loaded<A>,
    ) -> Result<(), Failure<A>> {
        repository.refresh(loaded).await.map_err(DispatchError::Read)
    }

    /// Only commands whose sender named them are recorded: nobody else can ask again.
    fn key(&self, command: &A::Command) -> Result<Option<CommandKey>, Failure<A>> {
        if self.options.command_id.is_none() {
            return Ok(None);
        }
        let content = Payload::encode(command).map_err(unstorable::<A>)?;
        Ok(Some(CommandKey::new(self.command_id, &self.stream, &content)))
    }

    /// What the command was answered the first time, if it is known.
    async fn find_first(&self, key: Option<CommandKey>) -> Result<Option<Appended>, Failure<A>> {
        let Some(key) = key else { return Ok(None) };
        let found = self.app.shared.store.find_command(key.id).await;
        match found.map_err(|error| DispatchError::Read(error.into()))? {
            Some(record) if record.key == key => Ok(Some(record.appended)),
            Some(_) => Err(DispatchError::CommandIdReused { command_id: key.id }),
            None => Ok(None),
        }
    }

    /// A refusal, unless the same command was accepted elsewhere since it was looked up, and is the
    /// reason for it.
    async fn refused(
        &self,
        repository: &dyn Repository<A>,
        key: Option<CommandKey>,
        refusal: Failure<A>,
        loaded: Loaded<A>,
        slot: &mut Option<Loaded<A>>,
    ) -> Result<Outcome<A>, Failure<A>> {
        let first = self.find_first(key).await?;
        self.put_back(slot, loaded);
        match first {
            Some(first) => self.repeated(repository, first).await,
            None => Err(refusal),
        }
    }

    /// The outcome of an append that was stored before, with its events read back.
    async fn repeated(
        &self,
        repository: &dyn Repository<A>,
        first: Appended,
    ) -> Result<Outcome<A>, Failure<A>> {
        let mut outcome = self.outcome(&first);
        outcome.repeated = true;
        if let Some(read) = first.streams.first().and_then(events_of) {
            let mut pages = self.app.shared.store.read_stream(read);
            while let Some(page) = pages.next().await {
                for event in page.map_err(DispatchError::Read)?.events {
                    let event = event.into_decoded().map_err(ReadError::Decode);
                    let event = event.map_err(DispatchError::Read)?;
                    outcome.metadata = Arc::clone(&event.metadata);
                    outcome.events.push(event);
                }
            }
        }
        if let Some(copy) = self.options.copy {
            outcome.state = Some(copy(self.load(repository).await?.state()));
        }
        Ok(outcome)
    }
}

/// A read of just the events that an append stored in a stream.
fn events_of(part: &AppendedStream) -> Option<StreamRead> {
    let first = part.first_version()?;
    Some(StreamRead::forward(part.stream.clone()).from(first).limit(part.events))
}

fn unstorable<A: Aggregate>(error: crate::PayloadError) -> Failure<A> {
    DispatchError::Append(InvalidAppend::Payload(error).into())
}
