//! What can be changed, and what was.

use super::{Endpoint, does, done, reads, shape};
use crate::dashboard::desk::{
    Classification, Disowned, ForgottenHost, TakenBack, WantedException, WantedOwnership,
    WantedUnlisted, exceptions_as_documents, ownerships,
};
use crate::dashboard::office::Context;
use crate::dashboard::routes::{OFFICER, OPERATOR, Route};
use crate::purpose::Purpose;

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut all = readers();
    all.extend(changers());
    all
}

fn readers() -> Vec<Endpoint> {
    let ownership = shape::object(&[
        ("vendor", shape::text()),
        ("site", shape::text()),
        ("owner", shape::text()),
        ("reason", shape::text()),
        ("review", shape::day()),
        ("overdue", shape::truth()),
        ("written_in", shape::text()),
    ]);
    let exception = shape::object(&[
        ("scope", shape::text()),
        ("site", shape::text()),
        ("verdict", shape::word(&["allow", "block"])),
        ("owner", shape::text()),
        ("reason", shape::text()),
        ("expires", shape::day()),
        ("expired", shape::truth()),
        ("line", shape::number()),
        ("written_in", shape::text()),
    ]);
    vec![
        reads(
            Route::get("/api/v1/ownerships", OFFICER, all_ownerships),
            "Who answers for which vendor.",
            &[],
            shape::list(&ownership),
        ),
        reads(
            Route::get("/api/v1/exceptions", OFFICER, all_exceptions),
            "Verdicts that are not the policy's own.",
            &[],
            shape::list(&exception),
        ),
    ]
}

fn changers() -> Vec<Endpoint> {
    vec![
        does(
            Route::post("/api/v1/classifications", OFFICER, classify),
            "Say whose a host is: a vendor's of the catalogue, by its id, or a new one's.",
            classification_shape(),
        ),
        does(
            Route::post("/api/v1/classifications/take-back", OFFICER, unclassify),
            "Take back what was said about a host.",
            shape::form(&[("host", shape::text())], &[]),
        ),
        does(
            Route::post("/api/v1/ownerships", OFFICER, own),
            "Say who answers for a vendor.",
            shape::form(
                &[
                    ("vendor", shape::text()),
                    ("owner", shape::text()),
                    ("reason", shape::text()),
                    ("review", shape::day()),
                ],
                &[("site", shape::said("The name of a site; all of them if left out."))],
            ),
        ),
        does(
            Route::post("/api/v1/ownerships/take-back", OFFICER, disown),
            "Say that nobody answers for a vendor any more.",
            shape::form(&[("vendor", shape::text())], &[("site", shape::text())]),
        ),
        does(
            Route::post("/api/v1/exceptions", OPERATOR, except),
            "Make an exception; see `[[exception]]` in the reference of the configuration.",
            shape::form(
                &[
                    ("verdict", shape::word(&["allow", "block"])),
                    ("owner", shape::text()),
                    ("reason", shape::text()),
                    ("expires", shape::day()),
                ],
                &["site", "host", "path", "vendor", "cookie", "kind", "on_path"]
                    .map(|name| (name, shape::text())),
            ),
        ),
        does(
            Route::post("/api/v1/exceptions/take-back", OPERATOR, unexcept),
            "Take an exception back that was made here; all three as it is listed.",
            shape::form(
                &[("line", shape::number()), ("owner", shape::text()), ("expires", shape::day())],
                &[],
            ),
        ),
        does(
            Route::post("/api/v1/unlisted", OPERATOR, set_unlisted),
            "Say what happens on a site to third parties that nobody claims.",
            shape::form(
                &[
                    ("site", shape::text()),
                    ("verdict", shape::word(&["allow", "observe", "block"])),
                    ("reason", shape::text()),
                ],
                &[],
            ),
        ),
    ]
}

fn classification_shape() -> Value {
    let purposes = Purpose::ALL.map(Purpose::name);
    shape::form(
        &[("host", shape::text())],
        &[
            ("vendor", shape::said("The id of a known vendor; left out for a new one.")),
            ("name", shape::said("Of a new vendor.")),
            ("company", shape::said("Behind a new vendor.")),
            ("purposes", shape::list(&shape::word(&purposes))),
            ("about", shape::said("What a new vendor is for, in plain words.")),
            ("source", shape::said("Where that can be checked.")),
            ("necessary_because", shape::said("Why the site cannot work without it.")),
            ("site", shape::said("The site that the owner answers for it on; all if left out.")),
            ("owner", shape::said("Who answers for the vendor; needed unless it was said before.")),
            ("reason", shape::said("Why it is used; needed with `owner`.")),
            ("review", shape::day()),
        ],
    )
}

async fn all_ownerships(context: Context) -> Response {
    Json(ownerships(&context)).into_response()
}

async fn all_exceptions(context: Context) -> Response {
    Json(exceptions_as_documents(&context)).into_response()
}

async fn classify(context: Context, Json(wanted): Json<Classification>) -> Response {
    done(wanted.carry_out(&context).await)
}

async fn unclassify(context: Context, Json(wanted): Json<ForgottenHost>) -> Response {
    done(wanted.carry_out(&context).await)
}

async fn own(context: Context, Json(wanted): Json<WantedOwnership>) -> Response {
    done(wanted.carry_out(&context).await)
}

async fn disown(context: Context, Json(wanted): Json<Disowned>) -> Response {
    done(wanted.carry_out(&context).await)
}

async fn except(context: Context, Json(wanted): Json<WantedException>) -> Response {
    done(wanted.carry_out(&context).await)
}

async fn unexcept(context: Context, Json(wanted): Json<TakenBack>) -> Response {
    done(wanted.carry_out(&context).await)
}

async fn set_unlisted(context: Context, Json(wanted): Json<WantedUnlisted>) -> Response {
    done(wanted.carry_out(&context).await)
}
