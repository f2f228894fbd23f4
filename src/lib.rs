//! consentry stands in front of a site and withholds trackers, cookies and
//! headers until the visitor agrees to them, and keeps a record of everything
//! it withheld.
//!
//! This file is the map: the rooms in reading order. A room may use the rooms
//! above it, never one below; `tests/it/architecture.rs` reads this list and
//! holds us to it.

/// What data would be used for.
pub mod purpose;
/// What is wrong in a file somebody wrote, and where.
pub mod mistake;
/// What the visitor chose.
pub mod consent;
/// Whose script, cookie or header this is.
pub mod catalogue;
/// May it pass? The one place that decides.
pub mod policy;
/// What visitors are told, and in which words.
pub mod notice;
/// Carries the verdict out.
pub mod enforce;
/// Tells the operator.
pub mod observe;
/// Remembers every decision.
pub mod ledger;
/// What one protected site is made of.
pub mod site;
/// Whom a site was met with, as its visitors are told.
pub mod declaration;
/// The pages a visitor sees.
pub mod visitor;
/// Carries one exchange there and back: the hot path.
pub mod proxy;
/// Looks whether what is promised holds, and speaks up when it does not.
pub mod watch;
/// The pages a privacy officer sees; health and metrics.
pub mod dashboard;
/// The operator's file, checked and compiled.
pub mod config;
/// What would become of a site, looked at before anybody visits it.
pub mod audit;
/// A storefront to try everything on.
pub mod demo;
/// The commands.
pub mod cli;
