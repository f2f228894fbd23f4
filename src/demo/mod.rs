//! A storefront to try everything on.
//!
//! `consentry demo` needs a site that tracks its visitors the way shops do
//! today, without tracking anybody. `Storefront` is that site, as an origin
//! server: a small tea shop with the tags, cookies and headers of more than a
//! dozen vendors, and a home page that changes with what it thinks it knows of
//! the visitor. `StandIns` takes the place of the vendors: one server on
//! loopback that answers for all of them under `<their host>.localhost` and
//! counts who was contacted, so that a withheld tag shows as a hit that never
//! came.
//!
//! Promise: nothing here ever leaves the machine, and nothing in the proxy
//! knows that it stands in front of a demo.

mod answer;
mod goods;
mod layout;
mod listen;
mod pages;
mod scripts;
mod stand_ins;
mod storefront;
mod tags;
mod visit;

pub use stand_ins::{Hit, OnHit, StandIns};
pub use storefront::Storefront;
