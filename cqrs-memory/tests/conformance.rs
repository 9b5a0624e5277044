//! The memory store keeps the laws.

use cqrs_memory::MemoryStore;

cqrs_testing::conformance! { store = MemoryStore::new() }
