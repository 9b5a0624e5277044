//! Stored examples of events, which later versions of the code must still read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cqrs_core::{
    Event, EventId, Metadata, Position, StreamName, Timestamp, Upcasters, Version, error_chain,
    event::{EventName, EventType, Payload, RawEvent, RecordedEvent, Uuid},
};

/// Set this environment variable to `1` to write the files that are missing.
const WRITE: &str = "CQRS_WRITE_GOLDEN";

/// Starts a test of the stored form of events against the files in a folder.
///
/// Each file holds one event as it was stored once, under the name
/// `<event-name>.v<schema-version>[.<note>].json`. Files are written once and never edited, so they
/// show that events stored by earlier versions of the code can still be read.
///
/// ```
/// # use std::path::Path;
/// use cqrs::{Event, Upcasters};
/// use cqrs_testing::golden_files;
///
/// #[derive(Debug, PartialEq, Event)]
/// enum AccountEvent {
///     #[event(name = "account.opened", version = 2)]
///     Opened { owner: String, limit: Option<i64> },
///     #[event(name = "account.closed")]
///     Closed {},
/// }
///
/// let upcasters = Upcasters::builder()
///     .step("account.opened", 1, |mut event| {
///         event["limit"] = serde_json::Value::Null;
///         Ok(event)
///     })
///     .build()?;
///
/// # let folder = std::env::temp_dir().join(format!("golden-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # std::fs::write(folder.join("account.opened.v1.json"), r#"{"owner":"Alice"}"#)?;
/// # std::fs::write(folder.join("account.opened.v2.json"), r#"{"owner":"Alice","limit":null}"#)?;
/// # std::fs::write(folder.join("account.opened.v2.limited.json"), r#"{"owner":"Bob","limit":100}"#)?;
/// # std::fs::write(folder.join("account.closed.v1.json"), "{}\n")?;
/// // Usually: Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
/// let opened = |owner: &str, limit| AccountEvent::Opened { owner: owner.into(), limit };
/// golden_files(&folder)
///     .upcasters(upcasters)
///     // account.opened.v2.json
///     .event(opened("Alice", None))
///     // account.opened.v2.limited.json
///     .event_with_note("limited", opened("Bob", Some(100)))
///     // account.closed.v1.json
///     .event(AccountEvent::Closed {})
///     .old_event("account.opened.v1", opened("Alice", None))
///     .check();
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn golden_files(folder: impl AsRef<Path>) -> GoldenFiles {
    GoldenFiles {
        folder: folder.as_ref().to_owned(),
        upcasters: Upcasters::default(),
        examples: Vec::new(),
        readers: BTreeMap::new(),
    }
}

/// The expected contents of a folder of golden files; see [`golden_files`].
#[must_use = "nothing is tested before `check`"]
#[derive(Debug)]
pub struct GoldenFiles {
    folder: PathBuf,
    upcasters: Upcasters,
    examples: Vec<Example>,
    readers: BTreeMap<&'static str, Reader>,
}

/// Reads upcast events as a type and compares them with the expected event.
type Compare = Box<dyn Fn(Vec<RecordedEvent>) -> Result<(), String>>;

struct Example {
    /// The name of the file without `.json`.
    file: String,
    /// What the file must contain; `None` for a form that is no longer written.
    written: Option<Result<Payload, String>>,
    compare: Compare,
}

impl Debug for Example {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Example").field("file", &self.file).finish_non_exhaustive()
    }
}

/// An event type that some example has.
#[derive(Debug)]
struct Reader {
    known: EventType,
    decode: fn(&RecordedEvent) -> Result<(), String>,
}

impl GoldenFiles {
    /// Sets the upcasters through which the files are read. Default: none.
    pub fn upcasters(mut self, upcasters: Upcasters) -> Self {
        self.upcasters = upcasters;
        self
    }

    /// Expects that an event is stored byte for byte as in the file
    /// `<event-name>.v<schema-version>.json`, and read back from it.
    pub fn event<E: Event + Debug + PartialEq>(self, event: E) -> Self {
        let file = file_of(event.event_type());
        self.written(file, event)
    }

    /// Like [`event`](Self::event), for the file `<event-name>.v<schema-version>.<note>.json`: another
    /// example of the same version.
    pub fn event_with_note<E: Event + Debug + PartialEq>(self, note: &str, event: E) -> Self {
        let file = format!("{}.{note}", file_of(event.event_type()));
        self.written(file, event)
    }

    /// Expects that a form that is no longer written is read as this event, after upcasting. `file`
    /// is the name of the file without `.json`.
    pub fn old_event<E: Event + Debug + PartialEq>(self, file: &str, event: E) -> Self {
        self.add(file.to_owned(), None, event)
    }

    /// Checks the folder:
    ///
    /// - Each file has the expected contents, and is read as the expected event.
    /// - Each event type has a file of its current version, for all the types of the events that
    ///   were passed to the methods above.
    /// - Each file can be read, even one for which no event was passed.
    ///
    /// A missing file is reported with what it should contain. With the environment variable
    /// `CQRS_WRITE_GOLDEN=1` it is written instead; an existing file is never changed.
    ///
    /// # Panics
    /// Panics if a check fails. The message lists all differences.
    #[track_caller]
    pub fn check(self) {
        let write = std::env::var(WRITE).is_ok_and(|value| value == "1");
        let failures = self.failures(write);
        assert!(failures.is_empty(), "{}:\n{}", self.folder.display(), failures.join("\n"));
    }

    fn written<E: Event + Debug + PartialEq>(self, file: String, event: E) -> Self {
        let written = event.encode().map_err(|error| error_chain(&error));
        self.add(file, Some(written), event)
    }

    fn add<E: Event + Debug + PartialEq>(
        mut self,
        file: String,
        written: Option<Result<Payload, String>>,
        event: E,
    ) -> Self {
        for known in E::TYPES {
            self.readers.insert(known.name(), Reader { known: *known, decode: decode::<E> });
        }
        let compare: Compare = Box::new(move |upcast| match upcast.as_slice() {
            [only] => match only.decode::<E>() {
                Ok(read) if read.event == event => Ok(()),
                Ok(read) => Err(format!("expected {event:?}, read {:?}", read.event)),
                Err(error) => Err(error_chain(&error)),
            },
            several => Err(format!("expected one event, upcast to {}", several.len())),
        });
        self.examples.push(Example { file, written, compare });
        self
    }

    fn failures(&self, write: bool) -> Vec<String> {
        let mut failures = Vec::new();
        let mut files = self.files();
        for example in &self.examples {
            let Err(failure) = self.check_example(example, &mut files, write) else { continue };
            failures.push(format!("{}.json: {failure}", example.file));
        }
        for reader in self.readers.values() {
            let file = file_of(reader.known);
            if !files.contains_key(&file) && self.examples.iter().all(|one| one.file != file) {
                failures.push(format!("{file}.json: missing; pass an example to `event`"));
            }
        }
        let expected: BTreeSet<_> = self.examples.iter().map(|example| &example.file).collect();
        for (file, text) in files.iter().filter(|(file, _)| !expected.contains(file)) {
            if let Err(failure) = self.check_unexpected(file, text) {
                failures.push(format!("{file}.json: {failure}"));
            }
        }
        failures
    }

    fn check_example(
        &self,
        example: &Example,
        files: &mut BTreeMap<String, String>,
        write: bool,
    ) -> Result<(), String> {
        let written = match &example.written {
            None => None,
            Some(Ok(payload)) => Some(payload.as_str()),
            Some(Err(error)) => return Err(error.clone()),
        };
        if let (Some(written), false) = (written, files.contains_key(&example.file)) {
            if !write {
                return Err(format!("missing; set {WRITE}=1 to write it with\n  {written}"));
            }
            let path = self.folder.join(format!("{}.json", example.file));
            std::fs::write(&path, format!("{written}\n")).map_err(|error| error.to_string())?;
            files.insert(example.file.clone(), written.to_owned());
        }
        let text = files.get(&example.file).ok_or("missing, and no longer written")?;
        if let Some(written) = written.filter(|written| *written != text) {
            let mut shown = "the event is stored differently now; ".to_owned();
            shown += "increase its version, or keep the file under a note for `old_event`";
            let _ = write!(shown, "\n- {text}\n+ {written}");
            return Err(shown);
        }
        (example.compare)(self.upcast(&example.file, text)?)
    }

    fn check_unexpected(&self, file: &str, text: &str) -> Result<(), String> {
        for event in self.upcast(file, text)? {
            let name = event.event.name.as_str();
            let reader = self.readers.get(name).ok_or_else(|| format!("unknown event `{name}`"))?;
            (reader.decode)(&event)?;
        }
        Ok(())
    }

    fn upcast(&self, file: &str, text: &str) -> Result<Vec<RecordedEvent>, String> {
        let (name, version) = name_and_version(file)
            .ok_or("not named `<event-name>.v<schema-version>[.<note>].json`")?;
        let name = EventName::new(name).map_err(|error| error_chain(&error))?;
        let payload = Payload::from_json(text.to_owned()).map_err(|error| error_chain(&error))?;
        let stream = StreamName::new("golden-1").map_err(|error| error.to_string())?;
        let stored = RecordedEvent::new(
            stream,
            Version::new(1),
            Position::new(1),
            EventId::from(Uuid::nil()),
            Timestamp::UNIX_EPOCH,
            Arc::new(Metadata::default()),
            RawEvent::new(name, version, payload),
        );
        self.upcasters.apply(&stored).map_err(|error| error_chain(&error))
    }

    /// Returns the contents of the files by name, without the final line feed that editors add.
    fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        let folder = match std::fs::read_dir(&self.folder) {
            Ok(folder) => folder,
            Err(error) => panic!("cannot read {}: {error}", self.folder.display()),
        };
        for path in folder.flatten().map(|file| file.path()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(name) = name.strip_suffix(".json") else { continue };
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
                    files.insert(name.to_owned(), text)
                }
                Err(error) => panic!("cannot read {}: {error}", path.display()),
            };
        }
        files
    }
}

fn decode<E: Event>(event: &RecordedEvent) -> Result<(), String> {
    event.decode::<E>().map(drop).map_err(|error| error_chain(&error))
}

fn file_of(known: EventType) -> String {
    format!("{}.v{}", known.name(), known.version())
}

/// Splits the name of a file without `.json`; names of events may contain dots.
fn name_and_version(file: &str) -> Option<(&str, u32)> {
    let (at, version) = file
        .match_indices(".v")
        .filter_map(|(at, found)| {
            let digits = file.get(at + found.len()..)?.split('.').next()?;
            Some((at, digits.parse::<u32>().ok()?))
        })
        .last()?;
    Some((file.get(..at)?, version))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests fail by panicking
mod tests {
    use super::*;
    use cqrs::Event;

    #[derive(Debug, PartialEq, Event)]
    enum Light {
        #[event(name = "light.turned", version = 2)]
        Turned { on: bool, by: Option<String> },
        #[event(name = "light.broken")]
        Broken {},
    }

    /// A folder that is removed at the end of a test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(files: &[(&str, &str)]) -> Self {
            let folder = std::env::temp_dir().join(format!("golden-{}", Uuid::now_v7()));
            std::fs::create_dir(&folder).unwrap();
            for (name, text) in files {
                std::fs::write(folder.join(name), text).unwrap();
            }
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const TURNED: Light = Light::Turned { on: true, by: None };
    const STORED: (&str, &str) = ("light.turned.v2.json", "{\"on\":true,\"by\":null}\n");
    const BROKEN: (&str, &str) = ("light.broken.v1.json", "{}");

    fn upcasters() -> Upcasters {
        let step = |mut event: serde_json::Value| {
            event["by"] = serde_json::Value::Null;
            Ok(event)
        };
        Upcasters::builder().step("light.turned", 1, step).build().unwrap()
    }

    #[test]
    fn old_and_current_examples_are_read() {
        let folder = Folder::new(&[STORED, BROKEN, ("light.turned.v1.json", "{\"on\":true}")]);
        let files = golden_files(&folder.0).upcasters(upcasters());
        files.event(TURNED).event(Light::Broken {}).old_event("light.turned.v1", TURNED).check();
    }

    #[test]
    fn a_missing_file_is_reported_or_written() {
        let folder = Folder::new(&[BROKEN]);
        let missing = golden_files(&folder.0).event(TURNED).failures(false);
        let shown = missing.join("\n");
        assert!(
            shown.contains("light.turned.v2.json: missing; set CQRS_WRITE_GOLDEN=1"),
            "{shown}"
        );
        assert!(shown.contains("{\"on\":true,\"by\":null}"), "{shown}");
        assert!(golden_files(&folder.0).event(TURNED).failures(true).is_empty());
        golden_files(&folder.0).event(TURNED).check();
        assert_eq!(std::fs::read_to_string(folder.0.join(STORED.0)).unwrap(), STORED.1);
    }

    #[test]
    fn every_event_type_needs_a_file_of_its_current_version() {
        let folder = Folder::new(&[STORED, ("light.broken.v1.json.old", "{}")]);
        let failures = golden_files(&folder.0).event(TURNED).failures(true);
        assert_eq!(failures, ["light.broken.v1.json: missing; pass an example to `event`"]);
    }

    #[test]
    fn an_event_that_is_stored_differently_is_reported_and_not_overwritten() {
        let folder = Folder::new(&[("light.turned.v2.json", "{\"on\":true}"), BROKEN]);
        let failures = golden_files(&folder.0).event(TURNED).failures(true).join("\n");
        assert!(failures.contains("stored differently"), "{failures}");
        assert!(failures.contains("- {\"on\":true}\n+ {\"on\":true,\"by\":null}"), "{failures}");
    }

    #[test]
    fn every_file_must_be_readable() {
        for (name, text, failure) in [
            ("light.turned.v1.json", "{\"on\":true}", "v1"),
            ("light.dimmed.v1.json", "{}", "unknown event `light.dimmed`"),
            ("light.turned.v2.odd.json", "{\"on\":3,\"by\":null}", "light.turned"),
            ("light.turned.v2.cut.json", "{\"on\":", "JSON"),
            ("notes.json", "{}", "not named"),
        ] {
            let folder = Folder::new(&[STORED, BROKEN, (name, text)]);
            let failures = golden_files(&folder.0).event(TURNED).failures(false);
            assert!(matches!(failures.as_slice(), [one] if one.contains(failure)), "{failures:#?}");
        }
    }

    #[test]
    fn an_old_file_that_reads_as_another_event_is_reported() {
        let folder = Folder::new(&[STORED, BROKEN, ("light.turned.v1.json", "{\"on\":false}")]);
        let files = golden_files(&folder.0).upcasters(upcasters()).event(TURNED);
        let failures = files.old_event("light.turned.v1", TURNED).failures(false).join("\n");
        assert!(failures.contains("expected Turned { on: true"), "{failures}");
    }

    #[test]
    fn file_names_are_split_at_the_version() {
        assert_eq!(name_and_version("bank.moved.v12"), Some(("bank.moved", 12)));
        assert_eq!(name_and_version("bank.v1.moved.v2.a-note"), Some(("bank.v1.moved", 2)));
        assert_eq!(name_and_version("bank.moved"), None);
    }
}
