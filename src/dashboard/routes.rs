//! Everything the dashboard answers, and who may ask for it.
//!
//! A route cannot be written without saying who may use it, and what is not in
//! this list is not served.

use crate::dashboard::gate::{Gate, gate};
use crate::dashboard::office::Office;
use crate::dashboard::users::Role;
use crate::dashboard::{api, desk, layout, pages, sign_in};

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, on};
use std::sync::{Arc, LazyLock};

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whoever can connect: the sign-in page, the style sheet.
    Anyone,
    /// Who has this role or a higher one.
    Only(Role),
}

/// Officers and operators.
pub(super) const OFFICER: Access = Access::Only(Role::Officer);

/// Operators alone.
pub(super) const OPERATOR: Access = Access::Only(Role::Operator);

/// One address and who may ask for it.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) access: Access,
    /// What it is called in the navigation, if it is there.
    label: Option<&'static str>,
    answer: MethodRouter<Arc<Office>>,
}

impl Route {
    /// A page. `page` is an axum handler whose first argument is a
    /// [`Context`](crate::dashboard::Context).
    pub(super) fn get<H, T>(path: &'static str, access: Access, page: H) -> Self
    where
        H: Handler<T, Arc<Office>>,
        T: 'static,
    {
        let answer = on(axum::routing::MethodFilter::GET, page);
        Self { method: Method::GET, path, access, label: None, answer }
    }

    /// Something that changes something.
    pub(super) fn post<H, T>(path: &'static str, access: Access, change: H) -> Self
    where
        H: Handler<T, Arc<Office>>,
        T: 'static,
    {
        let answer = on(axum::routing::MethodFilter::POST, change);
        Self { method: Method::POST, path, access, label: None, answer }
    }

    /// The same, with a place in the navigation.
    pub(super) fn called(self, label: &'static str) -> Self {
        Self { label: Some(label), ..self }
    }
}

/// All routes; those with a label stand in the navigation in this order.
fn routes() -> Vec<Route> {
    let mut routes = vec![
        Route::get("/sign-in", Access::Anyone, sign_in::page),
        Route::post("/sign-in", Access::Anyone, sign_in::sign_in),
        Route::get("/enter", Access::Anyone, sign_in::entrance),
        Route::post("/enter", Access::Anyone, sign_in::enter),
        Route::post("/sign-out", OFFICER, sign_in::sign_out),
        Route::get(layout::style_path(), Access::Anyone, layout::style),
    ];
    routes.extend(pages::routes());
    routes.extend(desk::routes());
    routes.push(pages::last());
    routes.extend(api::routes());
    routes
}

/// The navigation: address and name.
pub(super) fn navigation() -> &'static [(&'static str, &'static str)] {
    static LIST: LazyLock<Vec<(&str, &str)>> = LazyLock::new(|| {
        routes().iter().filter_map(|route| Some((route.path, route.label?))).collect()
    });
    &LIST
}

/// What can be asked for, how, and by whom.
#[must_use]
pub fn promised() -> Vec<(Method, &'static str, Access)> {
    routes().into_iter().map(|route| (route.method, route.path, route.access)).collect()
}

/// The routes behind their gates.
pub(super) fn router(office: &Arc<Office>) -> Router<Arc<Office>> {
    routes().into_iter().fold(Router::new(), |router, route| {
        let gate_of_route = Gate { office: Arc::clone(office), access: route.access };
        let layer = from_fn_with_state(gate_of_route, gate);
        router.route(route.path, route.answer.route_layer(layer))
    })
}
