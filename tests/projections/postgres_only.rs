//! What only a database can do.
