//! Processes that write, and record the results.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cluster::{Chance, Database};
use cqrs_core::{
    EventStore, ExpectedVersion, StreamName,
    event::NewEvent,
    store::{Append, AppendError, Appended},
};
use cqrs_postgres::PgStore;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use uuid::Uuid;

use crate::observations::{Note, Observations};

/// The arguments of a child process: the database, its seed, its tasks and the file of its notes.
const CHILD: [&str; 4] = ["CHAOS_DATABASE", "CHAOS_SEED", "CHAOS_TASKS", "CHAOS_NOTES"];

pub(crate) struct Writers {
    folder: PathBuf,
    children: Vec<(Child, PathBuf)>,
    url: String,
    tasks: u64,
}

fn spawn(url: &str, seed: u64, tasks: u64, notes: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer::child", "--ignored", "--nocapture"])
        .env(CHILD[0], url)
        .env(CHILD[1], seed.to_string())
        .env(CHILD[2], tasks.to_string())
        .env(CHILD[3], notes)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

impl Writers {
    pub(crate) fn start(database: &Database, seed: u64, processes: u64, tasks: u64) -> Self {
        let folder = std::env::temp_dir().join(format!("cqrs-chaos-{}", Uuid::now_v7()));
        std::fs::create_dir(&folder).unwrap();
        let url = database.url();
        let children = (0..processes).map(|n| {
            let notes = folder.join(format!("notes-{n}"));
            (spawn(&url, seed.wrapping_add(1_000 * n), tasks, &notes), notes)
        });
        let children = children.collect();
        Self { folder, children, url, tasks }
    }

    /// Kills one of the processes and starts another in its place.
    pub(crate) fn kill_one(&mut self, chance: &mut Chance) {
        let at = chance.below(self.children.len() as u64) as usize;
        let (child, notes) = &mut self.children[at];
        child.kill().unwrap();
        child.wait().unwrap();
        *child = spawn(&self.url, chance.below(u64::MAX), self.tasks, notes);
    }

    /// Stops the processes, waits for them, and reads their notes.
    pub(crate) fn stop(mut self) -> Observations {
        std::fs::write(self.folder.join("stop"), "").unwrap();
        let until = Instant::now() + Duration::from_secs(90);
        let mut observed = Observations::default();
        for (child, notes) in &mut self.children {
            while child.try_wait().unwrap().is_none() {
                assert!(Instant::now() < until, "a writer did not stop");
                std::thread::sleep(Duration::from_millis(10));
            }
            assert!(child.wait().unwrap().success(), "a writer failed");
            let mut text = std::fs::read_to_string(&*notes).unwrap_or_default();
            // A writer may have been killed in the middle of a line.
            text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
            observed
                .notes
                .extend(text.lines().map(|line| serde_json::from_str::<Note>(line).unwrap()));
        }
        observed
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        for (child, _) in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The main function of a child process; see [`Writers::start`].
#[test]
#[ignore = "started by the other tests in a separate process"]
fn child() {
    let Some(arguments) =
        CHILD.iter().map(|name| std::env::var(name).ok()).collect::<Option<Vec<_>>>()
    else {
        return;
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(write(
        &arguments[0],
        arguments[1].parse().unwrap(),
        arguments[2].parse().unwrap(),
        Path::new(&arguments[3]),
    ));
}

async fn write(url: &str, seed: u64, tasks: u64, notes: &Path) {
    let options: PgConnectOptions = url.parse().unwrap();
    let file = std::fs::File::options().create(true).append(true).open(notes).unwrap();
    let file = Arc::new(Mutex::new(file));
    let stop = notes.with_file_name("stop");
    let store = loop {
        // The server may be down.
        if let Ok(store) = PgStore::builder().options(options.clone()).connect().await {
            break store;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let tasks = (0..tasks).map(|task| {
        let mut writer = Writer {
            store: store.clone(),
            options: options.clone(),
            chance: Chance::new(seed.wrapping_add(task)),
            notes: Arc::clone(&file),
            stop: stop.clone(),
        };
        tokio::spawn(async move { writer.work().await })
    });
    for task in futures_util::future::join_all(tasks).await {
        task.unwrap();
    }
    store.close().await;
}

struct Writer {
    store: PgStore,
    options: PgConnectOptions,
    chance: Chance,
    notes: Arc<Mutex<std::fs::File>>,
    stop: PathBuf,
}

impl Writer {
    fn note(&self, note: &Note) {
        let mut line = serde_json::to_string(note).unwrap();
        line.push('\n');
        self.notes.lock().unwrap().write_all(line.as_bytes()).unwrap();
    }

    async fn work(&mut self) {
        while !self.stop.exists() {
            let append = self.something();
            self.note(&Note::Intended { ids: ids(&append) });
            if self.chance.one_in(12) {
                self.in_a_transaction(append).await;
            } else {
                self.append(append).await;
            }
        }
    }

    /// Returns one to five events for one or two of a few streams that all processes share.
    fn something(&mut self) -> Append {
        let mut part = || {
            let stream = StreamName::new(format!("chaos-{}", self.chance.below(20))).unwrap();
            let most = if self.chance.one_in(4) { 5 } else { 1 };
            let events = 1 + self.chance.below(most);
            let events = (0..events).map(|n| NewEvent::json("chaos.happened", &n).unwrap());
            (stream, events.collect::<Vec<_>>())
        };
        let (first, second) = (part(), part());
        let append = Append::to(first.0.clone(), ExpectedVersion::Any, first.1);
        if first.0 != second.0 && self.chance.one_in(3) {
            return append.and_to(second.0, ExpectedVersion::Any, second.1);
        }
        append
    }

    fn acknowledged(&self, append: &Append, appended: &Appended) {
        let positions = appended.streams.iter().flat_map(|stream| {
            let first = stream.first_position().unwrap().get();
            first..=stream.position.get()
        });
        self.note(&Note::Acknowledged { ids: ids(append), positions: positions.collect() });
    }

    /// Appends, and repeats it while the outcome is unknown.
    async fn append(&self, append: Append) {
        loop {
            match self.store.append(append.clone()).await {
                Ok(appended) => return self.acknowledged(&append, &appended),
                Err(AppendError::OutcomeUnknown(_)) => {}
                Err(AppendError::Store(error))
                    if error.retry() != cqrs_core::store::Retry::Never =>
                {
                    self.note(&Note::Failed);
                }
                Err(other) => panic!("{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Appends in the caller's transaction, pauses, and commits or rolls back.
    async fn in_a_transaction(&mut self, append: Append) {
        let pause = Duration::from_millis(self.chance.below(30));
        let commits = !self.chance.one_in(4);
        let Ok(mut connection) = self.options.connect().await else { return };
        match self.transaction(&mut connection, &append, pause, commits).await {
            Ok(Some(appended)) => self.acknowledged(&append, &appended),
            Ok(None) => self.note(&Note::RolledBack { ids: ids(&append) }),
            // Interrupted: appending again finds out whether it is stored.
            Err(()) => self.append(append).await,
        }
    }

    async fn transaction(
        &self,
        connection: &mut PgConnection,
        append: &Append,
        pause: Duration,
        commits: bool,
    ) -> Result<Option<Appended>, ()> {
        let mut transaction = connection.begin().await.map_err(drop)?;
        let appended =
            self.store.append_in(&mut transaction, append.clone()).await.map_err(drop)?;
        tokio::time::sleep(pause).await;
        if commits {
            transaction.commit().await.map_err(drop)?;
            return Ok(Some(appended));
        }
        // If this fails, the server rolls back.
        let _ = transaction.rollback().await;
        Ok(None)
    }
}

fn ids(append: &Append) -> Vec<Uuid> {
    append.events().map(|event| event.id.as_uuid()).collect()
}
