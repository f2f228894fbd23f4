//! Where something is changed: whose a host is, who answers for a vendor,
//! exceptions; and the trail of all that.
//!
//! What is asked for comes as a form or as a document of the API, and is the
//! same thing from then on. It is checked here as far as a person can be
//! helped; whether it makes sense with everything else, the configuration
//! says.

mod audit;
mod classify;
mod exceptions;
mod form;
mod ownership;
mod said;
mod unlisted;

pub(super) use audit::AuditQuery;
pub(super) use classify::{Classification, ForgottenHost, still_waits};
pub(super) use exceptions::{TakenBack, WantedException, as_documents as exceptions_as_documents};
pub(super) use form::{Refused, ask_figures};
pub(super) use ownership::{Disowned, WantedOwnership, as_documents as ownerships};
pub(super) use unlisted::WantedUnlisted;

use crate::dashboard::routes::{OFFICER, OPERATOR, Route};

/// Pages and forms.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/classify", OFFICER, classify::page),
        Route::post("/classify", OFFICER, classify::classify),
        Route::post("/classify/take-back", OFFICER, classify::take_back),
        Route::get("/ownership", OFFICER, ownership::page).called("Owners"),
        Route::post("/ownership", OFFICER, ownership::own),
        Route::post("/ownership/take-back", OFFICER, ownership::take_back),
        Route::get("/exceptions", OFFICER, exceptions::page).called("Exceptions"),
        Route::post("/exceptions", OPERATOR, exceptions::except),
        Route::post("/exceptions/take-back", OPERATOR, exceptions::take_back),
        Route::post("/unlisted", OPERATOR, unlisted::set),
        Route::get("/audit", OFFICER, audit::page).called("Audit"),
    ]
}
