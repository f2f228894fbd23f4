//! The pages, one file each.
//!
//! A page is an async function whose first argument is a
//! [`Context`](crate::dashboard::Context), then whatever axum can take from a
//! request, such as `Query<Filter>`; it answers with
//! [`layout::page`](crate::dashboard::layout::page). It is served once it
//! stands in `routes`, which says who may see it and what the navigation
//! calls it.

mod account;

use crate::dashboard::routes::{OFFICER, Route};

/// Every page, in the order of the navigation.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/", OFFICER, account::page),
        Route::get("/account", OFFICER, account::page).called("Account"),
    ]
}
