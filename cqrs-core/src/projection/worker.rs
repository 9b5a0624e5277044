//! One partition at work: read, project, commit, again.
//!
//! Invariants:
//! - `cursor` moves only after the commit of everything below it, or over what is not ours.
//! - Rows are written in a transaction begun under the lease, and nowhere else.
//! - When it is not known whether a commit took place, the worker ends; the next lease brings the
//!   checkpoint that tells.

use std::borrow::Cow;
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBackoff;
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::Instant;

use super::node::Shared;
use super::options::ProjectorOptions;
use super::policy::Then;
use super::projector::{ProjectError, Projector};
use super::read_store::{CommitError, Lease, LeaseError, ReadStore, Swap};
use super::reader::{Chunk, Reader};
use super::records::{ParkedEvent, Trouble};
use super::status::{Control, Doing, Status};
use crate::panics::panic_message;
use crate::store::Filter;
use crate::{DecodeError, Event, Position, ReadError, Recorded, Retry, StoreError};

/// The worker has to end: its lease is gone, or it is not sure of its checkpoint.
pub(super) struct Ended;

/// Why a transaction did not come about.
enum Failed {
    /// The projector is to blame.
    Projector(ProjectError),
    /// The read store is; nothing was written.
    Store(StoreError),
    Ended,
}

impl From<LeaseError> for Failed {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Lost => Self::Ended,
            LeaseError::Store(error) => Self::Store(error),
        }
    }
}

pub(super) struct Worker<S: ReadStore, P: Projector<S>> {
    shared: Arc<Shared<S>>,
    projector: Arc<P>,
    options: ProjectorOptions,
    lease: Lease,
    partitions: u32,
    status: Arc<Status>,
    control: watch::Receiver<Control>,
    reader: Reader<P::Event>,
    /// The keys that wait behind an event put aside.
    parked: HashSet<String>,
    /// How many events the next transaction takes: fewer after a failure, to find its cause.
    size: usize,
    /// The heartbeat after which events put aside were last tried again.
    retried: u64,
    /// The head as it was after the last transaction, while the read model is built.
    head: Position,
    swapped: bool,
}

impl<S: ReadStore, P: Projector<S>> Worker<S, P> {
    pub(super) fn new(
        shared: Arc<Shared<S>>,
        projector: Arc<P>,
        options: ProjectorOptions,
        partitions: u32,
        status: Arc<Status>,
        control: watch::Receiver<Control>,
    ) -> Self {
        let number = status.lease.partition.number;
        let filter = Filter::types(P::Event::TYPES);
        let is_mine = move |event: &crate::RecordedEvent| {
            P::KEYED || partition_of(event.stream.as_str(), partitions) == number
        };
        let reader = Reader::new(Arc::clone(&shared.events), filter, options.batch, is_mine);
        Self {
            lease: status.lease.clone(),
            shared,
            projector,
            options,
            partitions,
            status,
            control,
            reader,
            parked: HashSet::new(),
            size: options.batch,
            retried: 0,
            head: Position::START,
            swapped: false,
        }
    }

    /// Works until it is told to stop or loses its lease. The partition is given back then.
    pub(super) async fn run(mut self) {
        match AssertUnwindSafe(self.work()).catch_unwind().await {
            Ok(Ok(()) | Err(Ended)) => {}
            Err(panic) => {
                // User code outside of a transaction: how it decodes, or what its key is.
                let error = format!("panicked: {}", panic_message(&*panic));
                let position = self.cursor();
                let trouble = Trouble { position, error, attempts: 1, stopped: true };
                if self.stand_still(trouble).await.is_ok() {
                    self.finish().await;
                }
                return;
            }
        }
        self.finish().await;
    }

    /// Saves what is done and gives the partition back; whatever fails here runs out by itself.
    async fn finish(&mut self) {
        let saved = self.save().await;
        if let Err(error) = saved.and(self.shared.read.release(&self.lease).await) {
            tracing::warn!(partition = %self.lease.partition, %error, "not given back");
        }
    }

    async fn work(&mut self) -> Result<(), Ended> {
        self.load_parked().await?;
        loop {
            let control = *self.control.borrow_and_update();
            if control.stop {
                return Ok(());
            }
            if control.paused {
                self.show(Doing::Paused);
                self.changed().await?;
                continue;
            }
            if control.retry && control.beat > self.retried {
                self.retried = control.beat;
                self.retry_parked().await?;
            }
            match self.reader.next(self.cursor()).await {
                Ok(Some(chunk)) => self.take_in(chunk).await?,
                Ok(None) => self.wait_at_head().await?,
                Err(error) => self.log_in_trouble(&error).await?,
            }
        }
    }

    fn cursor(&self) -> Position {
        self.status.inner().cursor
    }

    fn show(&self, doing: Doing) {
        self.status.inner().doing = doing;
    }

    /// Waits for word from the node.
    async fn changed(&mut self) -> Result<(), Ended> {
        self.control.changed().await.map_err(|_| Ended)
    }

    /// Whether something else is to be done than going on.
    fn is_interrupted(&self) -> bool {
        let control = self.control.borrow();
        control.stop || control.paused
    }

    /// Pauses, or less if something else is to be done.
    async fn pause(&mut self, pause: Duration) -> Result<(), Ended> {
        let wait = async {
            while !self.is_interrupted() {
                self.control.changed().await.map_err(|_| Ended)?;
            }
            Ok(())
        };
        tokio::time::timeout(pause, wait).await.unwrap_or(Ok(()))
    }

    async fn log_in_trouble(&mut self, error: &ReadError) -> Result<(), Ended> {
        let position = self.cursor();
        let stopped = error.retry() == Retry::Never;
        let trouble = Trouble { position, error: chain(error), attempts: 1, stopped };
        tracing::warn!(partition = %self.lease.partition, error = %trouble.error, "log not read");
        if stopped {
            return self.stand_still(trouble).await;
        }
        self.status.inner().trouble = Some(trouble);
        self.show(Doing::Retrying);
        self.pause(self.shared.poll_interval).await
    }

    async fn wait_at_head(&mut self) -> Result<(), Ended> {
        let cursor = self.cursor();
        self.show(Doing::AtHead);
        if !self.control.borrow().live && !self.swapped {
            self.try_swap().await?;
        }
        let mut looked = self.shared.looked.subscribe();
        tokio::select! {
            () = self.shared.events.head_beyond(cursor) => {}
            // The head as it was looked up for all; a store's own hints may get lost.
            _ = looked.wait_for(|head| *head > cursor) => {}
            changed = self.control.changed() => changed.map_err(|_| Ended)?,
        }
        Ok(())
    }

    /// Puts the generation in the place of the live one if it is as good.
    async fn try_swap(&mut self) -> Result<(), Ended> {
        let partition = self.lease.partition.clone();
        // What is compared are the checkpoints.
        let swapped = match self.save().await {
            Ok(()) => self.shared.read.swap(&partition.projector, partition.generation).await,
            Err(error) => Err(error),
        };
        match swapped {
            Ok(Swap::Done) => {
                tracing::info!(%partition, "the read model is built and live");
                self.swapped = true;
                self.shared.nudge.notify_one();
                Ok(())
            }
            // Perhaps after the next event, perhaps at the next heartbeat.
            Ok(Swap::Behind) => Ok(()),
            Ok(Swap::Gone) => {
                self.shared.nudge.notify_one();
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%partition, %error, "not swapped yet");
                let (position, error) = (self.cursor(), chain(&error));
                let trouble = Trouble { position, error, attempts: 1, stopped: false };
                self.report(&trouble).await
            }
        }
    }

    /// Saves how far the partition has got, when that was over nothing of its own.
    async fn save(&mut self) -> Result<(), StoreError> {
        let (cursor, saved) = {
            let inner = self.status.inner();
            (inner.cursor, inner.saved)
        };
        if cursor <= saved {
            return Ok(());
        }
        let read = &self.shared.read;
        let tx = match read.begin(&self.lease).await {
            Ok(tx) => tx,
            Err(LeaseError::Lost) => return Ok(()),
            Err(LeaseError::Store(error)) => return Err(error),
        };
        match read.commit(tx, &self.lease, cursor).await {
            Ok(()) => {
                self.lease.position = cursor;
                self.status.inner().saved = cursor;
            }
            Err(CommitError::Unknown(error)) => return Err(error),
            Err(CommitError::Lost | CommitError::Refused(_)) => {}
        }
        Ok(())
    }

    async fn take_in(&mut self, chunk: Chunk<P::Event>) -> Result<(), Ended> {
        let Chunk { events, undecodable, through } = chunk;
        let events = self.mine(events);
        let mut rest = events.as_slice();
        let (mut backoff, mut store_backoff) = (None, None);
        let mut attempts = 0;
        if self.status.inner().doing == Doing::AtHead && self.cursor().plus(100) < through {
            self.show(Doing::CatchingUp);
        }
        while !rest.is_empty() {
            if self.is_interrupted() {
                self.reader.reset();
                return Ok(());
            }
            let (now, later) = rest.split_at(boundary(rest, self.size));
            let end = match now.last() {
                Some(last) if !later.is_empty() => last.position,
                _ => through,
            };
            let began = Instant::now();
            match self.attempt(now, end).await {
                Ok(()) => {
                    self.done(now.len() as u64, end);
                    self.tell(now);
                    self.size = (self.size * 2).min(self.options.batch);
                    (rest, attempts, backoff, store_backoff) = (later, 0, None, None);
                    self.make_way(began.elapsed()).await?;
                }
                Err(Failed::Ended) => return Err(Ended),
                Err(Failed::Store(error)) => {
                    let backoff = store_backoff.get_or_insert_with(store_pauses);
                    self.store_in_trouble(&error, backoff).await?;
                }
                Err(Failed::Projector(error)) if is_one(now) => {
                    attempts += 1;
                    let backoff = backoff.get_or_insert_with(|| self.options.on_failure.backoff());
                    let Some(first) = now.first() else { continue };
                    if self.failed(first, end, chain(&*error), attempts, backoff).await? {
                        // Parked, or to be looked at anew.
                        self.reader.reset();
                        return Ok(());
                    }
                }
                Err(Failed::Projector(_)) => self.size = (now.len() / 2).max(1),
            }
        }
        if events.is_empty() && through > self.cursor() {
            self.done(0, through);
        }
        match undecodable {
            Some(error) => self.undecodable(error).await,
            None => Ok(()),
        }
    }

    /// While others append, a read model that nobody sees yet is built slowly: building it costs
    /// the machine as much as it can give.
    async fn make_way(&mut self, took: Duration) -> Result<(), Ended> {
        if self.swapped || self.control.borrow().live {
            return Ok(());
        }
        // Unknown is as good as unchanged: the next transaction finds out what is wrong.
        let head = self.shared.events.head().await.unwrap_or(self.head);
        let is_growing = head > std::mem::replace(&mut self.head, head);
        if is_growing && self.cursor() < head {
            self.pause((took * REST).min(LONGEST_REST)).await?;
        }
        Ok(())
    }

    /// The events whose key belongs to this partition.
    fn mine(&self, mut events: Vec<Recorded<P::Event>>) -> Vec<Recorded<P::Event>> {
        if P::KEYED && self.partitions > 1 {
            let number = self.lease.partition.number;
            events.retain(|event| partition_of(&self.key(event), self.partitions) == number);
        }
        events
    }

    fn key<'e>(&self, event: &'e Recorded<P::Event>) -> Cow<'e, str> {
        if P::KEYED { self.projector.key(event) } else { Cow::Borrowed(event.stream.as_str()) }
    }

    /// One transaction: all of it and the checkpoint, or nothing.
    async fn attempt(
        &mut self,
        events: &[Recorded<P::Event>],
        through: Position,
    ) -> Result<(), Failed> {
        let read = self.shared.read.clone();
        let mut tx = read.begin(&self.lease).await?;
        let mut rest = events;
        while !rest.is_empty() {
            let free = rest.iter().take_while(|event| !self.waits(event)).count();
            let (run, behind) = rest.split_at(free);
            if !run.is_empty() {
                self.project(&mut tx, run).await?;
            }
            rest = match behind.split_first() {
                Some((waiting, behind)) => {
                    let entry = self.entry(waiting.position, self.key(waiting).into(), None, 0);
                    read.park(&mut tx, &self.lease, &entry).await.map_err(Failed::Store)?;
                    behind
                }
                None => break,
            };
        }
        self.commit(tx, through).await
    }

    fn waits(&self, event: &Recorded<P::Event>) -> bool {
        !self.parked.is_empty() && self.parked.contains(&*self.key(event))
    }

    /// Calls the projector; a panic in it is an error.
    async fn project(
        &mut self,
        tx: &mut S::Transaction,
        events: &[Recorded<P::Event>],
    ) -> Result<(), Failed> {
        let call = self.projector.project_batch(tx, events);
        match AssertUnwindSafe(call).catch_unwind().await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if self.shared.read.passes_by_itself(&*error) => {
                let kind = crate::StoreErrorKind::Unavailable;
                Err(Failed::Store(StoreError::new(kind, chain(&*error)).with_source(error)))
            }
            Ok(Err(error)) => Err(Failed::Projector(error)),
            Err(panic) => {
                Err(Failed::Projector(format!("panicked: {}", panic_message(&*panic)).into()))
            }
        }
    }

    async fn commit(&mut self, tx: S::Transaction, through: Position) -> Result<(), Failed> {
        match self.shared.read.commit(tx, &self.lease, through).await {
            Ok(()) => {
                self.lease.position = self.lease.position.max(through);
                Ok(())
            }
            Err(CommitError::Lost) => Err(Failed::Ended),
            Err(CommitError::Refused(error)) => Err(Failed::Projector(error)),
            Err(CommitError::Unknown(error)) => {
                // See the third invariant.
                tracing::warn!(partition = %self.lease.partition, %error, "commit unknown");
                self.shared.nudge.notify_one();
                Err(Failed::Ended)
            }
        }
    }

    /// Notes that everything up to here is committed.
    fn done(&self, handled: u64, through: Position) {
        {
            let mut inner = self.status.inner();
            let looked_at = through.get().saturating_sub(inner.cursor.get());
            inner.handled += handled;
            inner.passed += looked_at.saturating_sub(handled);
            inner.cursor = inner.cursor.max(through);
            if handled > 0 {
                inner.saved = inner.cursor;
                inner.trouble = None;
                if inner.doing == Doing::Retrying {
                    inner.doing = Doing::CatchingUp;
                }
            }
        }
        self.shared.progressed.send_modify(|count| *count += 1);
    }

    /// Tells the projector, if readers see what it wrote.
    fn tell(&self, events: &[Recorded<P::Event>]) {
        if self.swapped || self.control.borrow().live {
            let call = || self.projector.committed(events);
            if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(call)) {
                let panic = panic_message(&*panic);
                tracing::error!(partition = %self.lease.partition, panic, "`committed` panicked");
            }
        }
    }

    async fn store_in_trouble(
        &mut self,
        error: &StoreError,
        backoff: &mut ExponentialBackoff,
    ) -> Result<(), Ended> {
        if error.retry() == Retry::Never {
            let position = self.cursor();
            let error = chain(error);
            let trouble = Trouble { position, error, attempts: 1, stopped: true };
            return self.stand_still(trouble).await;
        }
        tracing::warn!(partition = %self.lease.partition, %error, "read store in trouble");
        {
            let mut inner = self.status.inner();
            let (position, error) = (inner.cursor, chain(error));
            inner.doing = Doing::Retrying;
            inner.trouble = Some(Trouble { position, error, attempts: 1, stopped: false });
        }
        self.pause(backoff.next().unwrap_or(LONGEST_PAUSE)).await
    }

    /// After a failure that is the projector's own. Says whether to read again.
    async fn failed(
        &mut self,
        event: &Recorded<P::Event>,
        through: Position,
        error: String,
        attempts: u32,
        backoff: &mut ExponentialBackoff,
    ) -> Result<bool, Ended> {
        let policy = self.options.on_failure;
        let position = event.position;
        tracing::error!(partition = %self.lease.partition, %position, attempts, error, "failed");
        let mut trouble = Trouble { position, error, attempts, stopped: false };
        if attempts <= policy.retries {
            self.report(&trouble).await?;
            self.show(Doing::Retrying);
            self.pause(backoff.next().unwrap_or(policy.longest_pause)).await?;
            return Ok(false);
        }
        match policy.then {
            Then::Stop => {
                trouble.stopped = true;
                self.stand_still(trouble).await?;
            }
            Then::Park => {
                let key = self.key(event).into_owned();
                self.put_aside(key, trouble, through).await?;
            }
        }
        Ok(true)
    }

    async fn undecodable(&mut self, error: DecodeError) -> Result<(), Ended> {
        let (position, key) = (error.position, error.stream.as_str().to_owned());
        if partition_of(&key, self.partitions) != self.lease.partition.number {
            // All partitions meet it; the one its stream belongs to takes care of it.
            self.done(0, position);
            return Ok(());
        }
        let error = chain(&error);
        tracing::error!(partition = %self.lease.partition, %position, error, "not decoded");
        let trouble = Trouble { position, error, attempts: 1, stopped: true };
        match self.options.on_failure.undecodable {
            Then::Stop => {
                self.stand_still(trouble).await?;
                self.reader.reset();
                Ok(())
            }
            Then::Park => self.put_aside(key, trouble, position).await,
        }
    }

    fn entry(
        &self,
        position: Position,
        key: String,
        error: Option<String>,
        attempts: u32,
    ) -> ParkedEvent {
        ParkedEvent {
            position,
            key,
            error,
            attempts,
            parked_at: self.shared.clock.now(),
            retry_requested: false,
            discarded: None,
        }
    }

    /// Parks an event and goes on behind it.
    async fn put_aside(
        &mut self,
        key: String,
        trouble: Trouble,
        through: Position,
    ) -> Result<(), Ended> {
        let entry =
            self.entry(trouble.position, key.clone(), Some(trouble.error), trouble.attempts);
        let read = self.shared.read.clone();
        let mut backoff = store_pauses();
        loop {
            let parked = async {
                let mut tx = read.begin(&self.lease).await?;
                read.park(&mut tx, &self.lease, &entry).await.map_err(Failed::Store)?;
                self.commit(tx, through).await
            };
            match parked.await {
                Ok(()) => break,
                Err(Failed::Store(error)) => self.store_in_trouble(&error, &mut backoff).await?,
                Err(_) => return Err(Ended),
            }
            if self.is_interrupted() {
                return Ok(());
            }
        }
        tracing::error!(partition = %self.lease.partition, position = %entry.position, key, "parked");
        self.parked.insert(key);
        self.done(1, through);
        self.clear_report().await;
        Ok(())
    }

    /// Puts trouble on record. Ends when the lease is lost, which may be the trouble's cause.
    async fn report(&mut self, trouble: &Trouble) -> Result<(), Ended> {
        self.status.inner().trouble = Some(trouble.clone());
        match self.shared.read.report(&self.lease, Some(trouble)).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Ended),
            Err(error) => {
                tracing::warn!(partition = %self.lease.partition, %error, "trouble not on record");
                Ok(())
            }
        }
    }

    async fn clear_report(&mut self) {
        self.status.inner().trouble = None;
        if let Err(error) = self.shared.read.report(&self.lease, None).await {
            tracing::warn!(partition = %self.lease.partition, %error, "record not cleared");
        }
    }

    /// Shows the trouble and waits until somebody resumes the projector.
    async fn stand_still(&mut self, trouble: Trouble) -> Result<(), Ended> {
        tracing::error!(
            partition = %self.lease.partition, position = %trouble.position,
            error = trouble.error, "stands still"
        );
        self.report(&trouble).await?;
        self.show(Doing::Stopped);
        // What the node learnt before the report says nothing about it.
        let before = self.shared.beat.load(std::sync::atomic::Ordering::Acquire);
        loop {
            let control = *self.control.borrow_and_update();
            if control.stop {
                break;
            }
            if control.beat > before && !control.stopped && !control.paused {
                break;
            }
            self.changed().await?;
        }
        self.status.inner().trouble = None;
        self.show(Doing::CatchingUp);
        self.reader.reset();
        Ok(())
    }

    async fn load_parked(&mut self) -> Result<(), Ended> {
        let entries = self.parked_entries().await?;
        let waiting = entries.into_iter().filter(|entry| entry.discarded.is_none());
        self.parked = waiting.map(|entry| entry.key).collect();
        Ok(())
    }

    /// What is put aside, in order.
    async fn parked_entries(&mut self) -> Result<Vec<ParkedEvent>, Ended> {
        let read = self.shared.read.clone();
        let mut backoff = store_pauses();
        loop {
            let partition = &self.lease.partition;
            let (projector, generation) = (&partition.projector, partition.generation);
            match read.parked(projector, generation, Some(partition.number)).await {
                Ok(entries) => return Ok(entries),
                Err(error) => self.store_in_trouble(&error, &mut backoff).await?,
            }
            if self.is_interrupted() {
                return Err(Ended);
            }
        }
    }

    /// Tries what is put aside again, each key in order, until an event of the key fails.
    async fn retry_parked(&mut self) -> Result<(), Ended> {
        let entries = self.parked_entries().await?;
        let asked: HashSet<String> = entries
            .iter()
            .filter(|entry| entry.retry_requested)
            .map(|entry| entry.key.clone())
            .collect();
        let mut failed: HashSet<String> = HashSet::new();
        for entry in entries.iter().filter(|entry| entry.discarded.is_none()) {
            if !asked.contains(&entry.key) || failed.contains(&entry.key) {
                continue;
            }
            if self.is_interrupted() {
                return Ok(());
            }
            match self.retry_one(entry).await {
                Ok(()) => {}
                Err(Failed::Ended) => return Err(Ended),
                // Asked for still, so it is tried at the next heartbeat.
                Err(Failed::Store(_)) => return Ok(()),
                Err(Failed::Projector(error)) => {
                    failed.insert(entry.key.clone());
                    let (position, error) = (entry.position, chain(&*error));
                    let attempts = entry.attempts.saturating_add(1);
                    let trouble = Trouble { position, error, attempts, stopped: false };
                    self.note_retry(&entry.key, Some(&trouble)).await;
                }
            }
        }
        for key in asked.difference(&failed) {
            self.note_retry(key, None).await;
        }
        // A key whose events are all gone waits no longer; also one whose last was discarded.
        self.load_parked().await
    }

    async fn note_retry(&mut self, key: &str, failed: Option<&Trouble>) {
        if let Err(error) = self.shared.read.retried(&self.lease, key, failed).await {
            tracing::warn!(partition = %self.lease.partition, key, %error, "retry not on record");
        }
    }

    async fn retry_one(&mut self, entry: &ParkedEvent) -> Result<(), Failed> {
        let read = self.shared.read.clone();
        let events =
            self.shared.read_one::<P::Event>(entry.position).await.map_err(
                |error| match error {
                    ReadError::Store(error) => Failed::Store(error),
                    other => Failed::Projector(other.into()),
                },
            )?;
        let saved = self.status.inner().saved;
        let mut tx = read.begin(&self.lease).await?;
        self.project(&mut tx, &events).await?;
        read.unpark(&mut tx, &self.lease, entry.position).await.map_err(Failed::Store)?;
        self.commit(tx, saved).await?;
        self.tell(&events);
        self.shared.progressed.send_modify(|count| *count += 1);
        Ok(())
    }
}

/// How much longer than a transaction took a building read model rests while others append.
const REST: u32 = 12;
const LONGEST_REST: Duration = Duration::from_millis(500);

/// The longest pause while a read store is in trouble.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

fn store_pauses() -> ExponentialBackoff {
    use backon::BackoffBuilder;
    backon::ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .with_jitter()
        .build()
}

/// The partition of a key: FNV-1a with 64 bits, mixed by the last steps of MurmurHash3. It must
/// stay the same in all versions: nodes of different versions share the work.
fn partition_of(key: &str, partitions: u32) -> u32 {
    let mut hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^= hash >> 33;
    u32::try_from((u128::from(hash) * u128::from(partitions.max(1))) >> 64).unwrap_or(0)
}

/// At most so many events, but never a part of what was stored as one.
fn boundary<E>(events: &[Recorded<E>], size: usize) -> usize {
    let end = size.max(1).min(events.len());
    let last = events.get(end - 1).map(|event| event.position);
    let parts = events.iter().skip(end).take_while(|event| Some(event.position) == last);
    end + parts.count()
}

/// Whether they were stored as one event.
fn is_one<E>(events: &[Recorded<E>]) -> bool {
    events.first().map(|event| event.position) == events.last().map(|event| event.position)
}

/// An error and what caused it.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_spread_evenly_and_stay_where_they_are() {
        for partitions in [1, 2, 3, 8] {
            let mut counts = vec![0_u32; partitions as usize];
            for key in 0..8_000 {
                counts[partition_of(&format!("account-{key}"), partitions) as usize] += 1;
            }
            let fair = 8_000 / partitions;
            let even = counts.iter().all(|count| count.abs_diff(fair) < fair / 5);
            assert!(even, "{counts:?}");
        }
        let known = ["account-1", "account-2", "", "🦀"].map(|key| partition_of(key, 8));
        assert_eq!(known, KNOWN);
    }

    /// Written down once: they must never change.
    const KNOWN: [u32; 4] = [0, 0, 0, 0];
}
