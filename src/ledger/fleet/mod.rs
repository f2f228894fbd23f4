//! The ledger that many proxies share: a PostgreSQL database.
//!
//! A proxy's own SQLite ledger is what it writes and what its seals are made
//! over. Everything in it that is sealed is sent on by a thread of its own,
//! for which nobody waits; how far that went stands in the shared database, in
//! the same transaction as the rows.

mod asked;
mod batch;
mod erasures;
mod intern;
pub mod log;
mod many;
pub mod place;
mod pool;
mod progress;
mod schema;
mod session;
mod ship;

mod store;
mod sums;
mod tls;
mod trouble;

pub use asked::Asked;
pub use place::Place;
pub(super) use pool::Pool;
pub use progress::{Progress, Shipped, Status};
pub(super) use ship::{Erase, Fleet};
pub use trouble::Trouble;
