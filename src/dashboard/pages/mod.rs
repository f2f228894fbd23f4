//! The pages, one file each.
//!
//! A page is an async function whose first argument is a
//! [`Context`](crate::dashboard::Context), then whatever axum can take from a
//! request, such as `Query<Filter>`; it answers with
//! [`layout::page`](crate::dashboard::layout::page). It is served once it
//! stands in `routes`, which says who may see it and what the navigation
//! calls it.

mod account;
mod alerts;
mod asked;
mod declaration;
mod entry;
mod log;
mod new;
mod overview;
mod show;
mod sites;
mod stewards;
mod vendor;
mod vendors;

pub(super) use asked::Asked;
pub(super) use log::wanted;

use crate::dashboard::routes::{OFFICER, Route};

/// Every page, in the order of the navigation.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/", OFFICER, overview::page).called("Overview"),
        Route::get("/log", OFFICER, log::page).called("Block log"),
        Route::get("/entry", OFFICER, entry::page),
        Route::get("/vendors", OFFICER, vendors::page).called("Vendors"),
        Route::get("/vendor", OFFICER, vendor::page),
        Route::get("/new", OFFICER, new::page).called("New"),
        Route::get("/sites", OFFICER, sites::page).called("Sites"),
        Route::get("/declaration", OFFICER, declaration::page),
        Route::get("/alerts", OFFICER, alerts::page).called("Alerts"),
    ]
}

/// What stands at the end of the navigation.
pub(super) fn last() -> Route {
    Route::get("/account", OFFICER, account::page).called("Account")
}
