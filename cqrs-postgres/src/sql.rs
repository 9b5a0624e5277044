//! The statements of a store, made once for its schema. Each text stands beside its caller.

use std::sync::Arc;

use crate::schema::Schema;
use crate::{append, checkpoints, commands, list, read, snapshot, state};

macro_rules! statements {
    ($($name:ident = $text:expr;)*) => {
        pub(crate) struct Sql {
            $(pub(crate) $name: Arc<str>,)*
        }

        impl Sql {
            pub(crate) fn of(schema: &Schema) -> Self {
                Self { $($name: schema.sql($text),)* }
            }
        }
    };
}

statements! {
    append = append::batch::APPEND;
    append_one = append::batch::APPEND_ONE;
    learn_types = append::types::LEARN;
    lock_log = append::transaction::LOCK;
    known_events = append::repeated::KNOWN_EVENTS;
    version_before = append::repeated::VERSION_BEFORE;
    find_command = commands::FIND;
    forget_commands = commands::FORGET;
    head = read::log::HEAD;
    following = read::log::FOLLOWING;
    stream_names = read::rows::STREAM_NAMES;
    type_names = read::rows::TYPE_NAMES;
    stream_forward = read::stream::FORWARD;
    stream_backward = read::stream::BACKWARD;
    stream_version = read::stream::VERSION;
    count_streams = list::COUNT;
    acquire_checkpoint = checkpoints::ACQUIRE;
    renew_checkpoint = checkpoints::RENEW;
    save_checkpoint = checkpoints::SAVE;
    release_checkpoint = checkpoints::RELEASE;
    list_checkpoints = checkpoints::LIST;
    reset_checkpoint = checkpoints::RESET;
    delete_checkpoint = checkpoints::DELETE;
    load_snapshot = snapshot::LOAD;
    save_snapshot = snapshot::SAVE;
    delete_snapshot = snapshot::DELETE;
    load_state = state::LOAD;
    insert_state = state::INSERT;
    update_state = state::UPDATE;
}

impl std::fmt::Debug for Sql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sql").finish_non_exhaustive()
    }
}
