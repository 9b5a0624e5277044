//! Metadata of commands and events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{CausationId, CommandId, CorrelationId};

/// Who caused a command or event, and why. Stored with each event.
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
    /// The conversation that the event belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<CorrelationId>,
    /// The command or event that directly caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<CausationId>,
    /// The command whose decision contains the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<CommandId>,
    /// Who sent the command: a user, a process or a handler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The application's own values, for example a tenant or a `traceparent`. Commands of processes
    /// inherit those named with [`AppBuilder::propagate`](crate::app::AppBuilder::propagate).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Value>,
}

impl Metadata {
    /// Sets the id of the conversation.
    #[must_use]
    pub fn with_correlation_id(mut self, id: impl Into<CorrelationId>) -> Self {
        self.correlation_id = Some(id.into());
        self
    }

    /// Sets the id of the cause.
    #[must_use]
    pub fn with_causation_id(mut self, id: impl Into<CausationId>) -> Self {
        self.causation_id = Some(id.into());
        self
    }

    /// Sets the id of the command.
    #[must_use]
    pub fn with_command_id(mut self, id: impl Into<CommandId>) -> Self {
        self.command_id = Some(id.into());
        self
    }

    /// Sets who sent the command.
    #[must_use]
    pub fn with_actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// Sets a header. Replaces any earlier value of the same key.
    #[must_use]
    pub fn with_header(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.headers.insert(key.into(), value.into());
        self
    }
}
