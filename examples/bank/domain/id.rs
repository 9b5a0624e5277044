//! What accounts and transfers are called: UUIDs that cannot be mistaken for each other.

/// The text is not a UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id such as 0198f6a4-7c1e-7d3a-9a64-3f0c5b1e2d4f")]
pub struct InvalidId {
    text: String,
}

impl InvalidId {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.chars().take(64).collect() }
    }
}

/// One kind of id.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(cqrs_core::event::Uuid);

        impl $name {
            /// As a bare UUID, for tables.
            #[must_use]
            pub const fn as_uuid(self) -> cqrs_core::event::Uuid {
                self.0
            }
        }

        impl From<cqrs_core::event::Uuid> for $name {
            fn from(id: cqrs_core::event::Uuid) -> Self {
                Self(id)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let id = cqrs_core::event::Uuid::try_parse(text);
                id.map(Self).map_err(|_| $crate::domain::InvalidId::new(text))
            }
        }
    };
}
pub(super) use id;
