//! Executing a command: load the aggregate, decide, append, and start again on a conflict.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::{App, Denial, DispatchError, Outcome};
use crate::aggregate::{ReservationError, Transfer, TransferError, transfers};
use crate::failures::pauses;
use crate::repository::{Changes, Loaded, Repository};
use crate::{
    Aggregate, AppendError, Appended, CommandId, CommandKey, Conflict, ExpectedVersion,
    InvalidAppend, Metadata, NewEvent, PayloadError, ReadError, Retry, StreamAppend, StreamName,
    Waiter,
};

/// The pause before the second retry. The first retry follows immediately, and later pauses grow.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

pub(super) type Failure<A> = DispatchError<<A as Aggregate>::Error>;

/// The command's target and options, which are the same for every attempt.
pub(super) struct Decision<'a, A> {
    pub(super) app: &'a App,
    pub(super) stream: StreamName,
    pub(super) command_id: CommandId,
    pub(super) options: Options<A>,
    /// When the caller stops waiting.
    pub(super) until: Option<Instant>,
}

/// The options of one dispatch.
pub(super) struct Options<A> {
    pub(super) command_id: Option<CommandId>,
    pub(super) expected: Option<ExpectedVersion>,
    pub(super) metadata: Metadata,
    pub(super) retries: u32,
    pub(super) deadline: Option<Duration>,
    /// Copies the state for the outcome, if the caller asked for it.
    pub(super) copy: Option<fn(&A) -> A>,
    /// The read models to wait for, and for how long.
    pub(super) wait: Option<(Waiter, Duration)>,
    /// Whether to look up the command id before deciding, instead of only afterwards.
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

/// The command, possibly changed by middleware.
pub(super) struct Request<'a, A: Aggregate> {
    pub(super) command: A::Command,
    pub(super) metadata: Arc<Metadata>,
    /// Runs the middleware that checks the state.
    pub(super) check: &'a (dyn Fn(&A) -> Result<(), Denial> + Sync),
    /// Set while events are being sent to the store.
    pub(super) sent: &'a AtomicBool,
}

/// The aggregate during the attempts.
struct Held<A> {
    loaded: Loaded<A>,
    /// `false` if the state comes from the cache and has not been compared with the store.
    current: bool,
}

/// The result of one attempt.
enum Attempt<A: Aggregate> {
    /// The command took effect.
    Accepted(Outcome<A>),
    /// The command had been stored before, with this append.
    Repeated(Appended),
    /// The aggregate or its reservations reject the command.
    Rejected(Failure<A>),
    /// The stream is not at the version that the caller requires.
    Unexpected(Conflict),
    /// The decision was made on an old state, which has been refreshed.
    Stale,
    /// Another writer appended first.
    Conflict(Conflict),
}

impl<A: Aggregate> Decision<'_, A> {
    /// Runs attempts until the events are stored or there is nothing to store.
    pub(super) async fn run(&self, request: Request<'_, A>) -> Result<Outcome<A>, Failure<A>> {
        let repository = self.app.repository::<A>().map_err(DispatchError::Misconfigured)?;
        let repository = &*repository;
        let key = self.key(&request.command)?;

        // Commands to one aggregate take turns within this node.
        let slot = self.app.shared.cache.slot::<A>(&self.stream);
        let mut slot = slot.lock().await;
        if self.options.look_first
            && let Some(first) = self.find_first(key).await?
        {
            return self.repeated(repository, first).await;
        }
        // Taken out of the cache: if this future is dropped or panics, no partial state remains.
        let mut held = self.hold(repository, slot.take()).await?;

        let mut pauses = pauses(FIRST_PAUSE, LONGEST_PAUSE);
        // If the caller requires a version, the next attempt reports that the stream has moved on.
        let retries = self.options.retries.max(u32::from(self.options.expected.is_some()));
        let mut attempts = 0;
        loop {
            let conflict = match self.attempt(repository, key, &request, &mut held).await? {
                Attempt::Accepted(outcome) => {
                    return Ok(self.finish(outcome, request.metadata, held, &mut slot));
                }
                Attempt::Repeated(first) => return self.repeated(repository, first).await,
                Attempt::Rejected(rejection) => {
                    let first = self.find_first(key).await?;
                    self.put_back(&mut slot, held);
                    // The command may have been accepted elsewhere since it was looked up, and
                    // that may be why it is rejected now.
                    return match first {
                        Some(first) => self.repeated(repository, first).await,
                        None => Err(rejection),
                    };
                }
                Attempt::Unexpected(conflict) => {
                    self.put_back(&mut slot, held);
                    return Err(DispatchError::Conflict(conflict));
                }
                Attempt::Stale => continue,
                Attempt::Conflict(conflict) => conflict,
            };
            attempts += 1;
            if attempts > retries {
                let stream = self.stream.clone();
                return Err(DispatchError::TooManyAttempts { stream, attempts, conflict });
            }
            if attempts > 1 {
                tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
            }
            self.refresh(repository, &mut held).await?;
        }
    }

    /// Decides once and tries to store the decision.
    async fn attempt(
        &self,
        repository: &dyn Repository<A>,
        key: Option<CommandKey>,
        request: &Request<'_, A>,
        held: &mut Held<A>,
    ) -> Result<Attempt<A>, Failure<A>> {
        if let Some(conflict) = self.unexpected(&held.loaded) {
            return Ok(Attempt::Unexpected(conflict));
        }
        let events = match self.decide(repository, request, held).await? {
            Ok(events) => events,
            Err(rejection) => return Ok(Attempt::Rejected(rejection)),
        };
        if events.is_empty() && key.is_none() {
            let (stream, version) = (self.stream.clone(), held.loaded.version());
            return Ok(Attempt::Accepted(Outcome::unchanged(stream, version, self.command_id)));
        }

        let metadata = &request.metadata;
        let mut changes = Changes::new(events, Arc::clone(metadata), &*self.app.shared.ids)
            .map_err(|error| self.unstorable(error))?;
        changes.command = key;
        match self.reserve(&held.loaded, &changes, metadata).await? {
            Ok(other_streams) => changes.other_streams = other_streams,
            Err(_) if self.catch_up(repository, held).await? => return Ok(Attempt::Stale),
            Err(error) => return Ok(Attempt::Rejected(DispatchError::Reservation(error))),
        }

        Ok(match self.save(repository, &mut held.loaded, &changes, request.sent).await? {
            Err(conflict) => Attempt::Conflict(conflict),
            Ok(appended) if appended.repeated => Attempt::Repeated(appended),
            Ok(appended) => {
                let outcome = self.outcome(&appended).with_events(&appended, changes, metadata);
                Attempt::Accepted(outcome)
            }
        })
    }

    /// Lets the aggregate decide. If it rejects the command or returns no events, no append checks
    /// the version, so such a decision counts only if the state is current.
    async fn decide(
        &self,
        repository: &dyn Repository<A>,
        request: &Request<'_, A>,
        held: &mut Held<A>,
    ) -> Result<Result<Vec<A::Event>, Failure<A>>, Failure<A>> {
        let decide = |state: &A| {
            (request.check)(state).map_err(DispatchError::Denied)?;
            state.execute(request.command.clone()).map_err(DispatchError::Rejected)
        };
        let decided = decide(held.loaded.state());
        let will_be_checked = decided.as_ref().is_ok_and(|events| !events.is_empty());
        if !will_be_checked && self.catch_up(repository, held).await? {
            return Ok(decide(held.loaded.state()));
        }
        Ok(decided)
    }

    /// Returns the appends that record the decision's reservations.
    async fn reserve(
        &self,
        loaded: &Loaded<A>,
        changes: &Changes<A::Event>,
        metadata: &Arc<Metadata>,
    ) -> Result<Result<Vec<StreamAppend>, ReservationError>, Failure<A>> {
        let reservations = loaded.state().reservations(changes.events());
        let transfers = match transfers(&*self.app.shared.store, &self.stream, reservations).await {
            Ok(transfers) => transfers,
            Err(TransferError::Rejected(error)) => return Ok(Err(error)),
            Err(TransferError::Read(error)) => return Err(self.unreadable(error)),
        };
        let appends = transfers.into_iter().map(|Transfer { stream, expected, event }| {
            let id = self.app.shared.ids.next().into();
            let event = NewEvent::of_with_id(&event, id).map_err(|error| self.unstorable(error))?;
            let mut append = StreamAppend::new(stream, expected);
            append.events = vec![event.with_metadata(Arc::clone(metadata))];
            Ok(append)
        });
        Ok(Ok(appends.collect::<Result<_, Failure<A>>>()?))
    }

    /// Appends. If the answer is lost, appends again with the same event ids: if the events were
    /// stored the first time, the store reports that and stores nothing.
    async fn save(
        &self,
        repository: &dyn Repository<A>,
        loaded: &mut Loaded<A>,
        changes: &Changes<A::Event>,
        sent: &AtomicBool,
    ) -> Result<Result<Appended, Conflict>, Failure<A>> {
        let mut pauses = pauses(FIRST_PAUSE, LONGEST_PAUSE).take(self.options.retries as usize);
        let mut answer_lost = false;
        sent.store(true, Ordering::Relaxed);
        loop {
            let lost = match repository.save(loaded, changes).await {
                Ok(appended) => return Ok(Ok(appended)),
                Err(AppendError::Conflict(conflict)) => {
                    sent.store(false, Ordering::Relaxed);
                    return Ok(Err(conflict));
                }
                Err(AppendError::CommandIdReused { id }) => {
                    return Err(DispatchError::CommandIdReused { command_id: id });
                }
                Err(AppendError::OutcomeUnknown(lost)) => lost,
                // Does not settle whether the earlier attempt, whose answer was lost, was stored.
                Err(AppendError::Store(error)) if answer_lost => error,
                Err(source) => {
                    return Err(DispatchError::Append { stream: self.stream.clone(), source });
                }
            };
            match pauses.next() {
                Some(pause) if lost.retry() != Retry::Never => {
                    answer_lost = true;
                    tokio::time::sleep(pause).await;
                }
                _ => {
                    return Err(DispatchError::OutcomeUnknown {
                        stream: self.stream.clone(),
                        command_id: self.command_id,
                        source: lost,
                    });
                }
            }
        }
    }

    /// Returns the conflict if the caller requires a version other than the loaded one.
    fn unexpected(&self, loaded: &Loaded<A>) -> Option<Conflict> {
        let expected = self.options.expected?;
        let actual = loaded.version();
        (!expected.accepts(actual)).then(|| Conflict::new(self.stream.clone(), expected, actual))
    }

    /// Takes the cached state, or loads the aggregate. A cached state that is not at the version
    /// the caller requires may be stale, so it is refreshed.
    async fn hold(
        &self,
        repository: &dyn Repository<A>,
        cached: Option<Loaded<A>>,
    ) -> Result<Held<A>, Failure<A>> {
        let Some(loaded) = cached else {
            return Ok(Held { loaded: self.load(repository).await?, current: true });
        };
        let mut held = Held { loaded, current: false };
        if self.unexpected(&held.loaded).is_some() {
            self.refresh(repository, &mut held).await?;
        }
        Ok(held)
    }

    /// Brings a state that may be stale up to date. Returns `true` if it changed.
    async fn catch_up(
        &self,
        repository: &dyn Repository<A>,
        held: &mut Held<A>,
    ) -> Result<bool, Failure<A>> {
        if held.current {
            return Ok(false);
        }
        let before = held.loaded.version();
        self.refresh(repository, held).await?;
        Ok(held.loaded.version() != before)
    }

    async fn refresh(
        &self,
        repository: &dyn Repository<A>,
        held: &mut Held<A>,
    ) -> Result<(), Failure<A>> {
        repository.refresh(&mut held.loaded).await.map_err(|error| self.unreadable(error))?;
        held.current = true;
        Ok(())
    }

    pub(super) async fn load(
        &self,
        repository: &dyn Repository<A>,
    ) -> Result<Loaded<A>, Failure<A>> {
        repository.load(self.stream.clone()).await.map_err(|error| self.unreadable(error))
    }

    fn finish(
        &self,
        mut outcome: Outcome<A>,
        metadata: Arc<Metadata>,
        held: Held<A>,
        slot: &mut Option<Loaded<A>>,
    ) -> Outcome<A> {
        outcome.metadata = metadata;
        // The state is older if an event that was just stored cannot be applied.
        if held.loaded.version() == outcome.version {
            outcome.state = self.options.copy.map(|copy| copy(held.loaded.state()));
            self.put_back(slot, held);
        }
        outcome
    }

    fn put_back(&self, slot: &mut Option<Loaded<A>>, held: Held<A>) {
        if self.app.shared.cache.keeps_states() {
            *slot = Some(held.loaded);
        }
    }

    pub(super) fn unreadable(&self, source: ReadError) -> Failure<A> {
        DispatchError::Read { stream: self.stream.clone(), source }
    }

    pub(super) fn unstorable(&self, error: PayloadError) -> Failure<A> {
        let source = InvalidAppend::Payload(error).into();
        DispatchError::Append { stream: self.stream.clone(), source }
    }
}
