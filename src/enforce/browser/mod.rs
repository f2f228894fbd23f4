//! What keeps holding in the browser, where scripts load more than the page
//! they stand in.
//!
//! Two things that know the same: a Content-Security-Policy made for this one
//! page, which a browser enforces whatever runs in it, and the guard, a small
//! script that does quietly what the policy would do with an error. Each holds
//! without the other.

mod guard;
mod memory;
mod named;
mod reach;
mod reports;

pub(crate) use guard::insertion_point;
pub use guard::{Guard, GuardFile};
pub use memory::Memory;
pub use reach::BrowserPolicy;
pub(crate) use reach::Reach;
pub use reports::{Held, read_reports};
