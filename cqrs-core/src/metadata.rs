//! What is known about an event besides what happened.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{CausationId, CommandId, CorrelationId};

/// Who and what an event comes from. Stored beside the payload, never interpreted by the store.
///
/// ```
/// use cqrs_core::{CorrelationId, Metadata};
///
/// let metadata = Metadata::default()
///     .with_actor("teller-7")
///     .with_correlation_id(CorrelationId::random())
///     .with_header("ip", "10.0.0.1");
/// assert_eq!(metadata.actor.as_deref(), Some("teller-7"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Metadata {
    /// The conversation it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<CorrelationId>,
    /// The command or event that brought it about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<CausationId>,
    /// The command that decided it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<CommandId>,
    /// Who asked for it: a user, a process, a schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The application's own keys, for example a tenant or a `traceparent`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Value>,
}

impl Metadata {
    /// Sets the conversation.
    #[must_use]
    pub fn with_correlation_id(mut self, id: impl Into<CorrelationId>) -> Self {
        self.correlation_id = Some(id.into());
        self
    }

    /// Sets the cause.
    #[must_use]
    pub fn with_causation_id(mut self, id: impl Into<CausationId>) -> Self {
        self.causation_id = Some(id.into());
        self
    }

    /// Sets the deciding command.
    #[must_use]
    pub fn with_command_id(mut self, id: impl Into<CommandId>) -> Self {
        self.command_id = Some(id.into());
        self
    }

    /// Sets who asked.
    #[must_use]
    pub fn with_actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// Adds a key of the application's own, replacing an older value.
    #[must_use]
    pub fn with_header(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.headers.insert(key.into(), value.into());
        self
    }
}
