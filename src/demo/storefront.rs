//! Kettle & Leaf: a small shop that tracks its visitors the way shops do.

use crate::demo::answer::{Content, put};
use crate::demo::goods::tea;
use crate::demo::listen::Listening;
use crate::demo::pages;
use crate::demo::stand_ins::StandIns;
use crate::demo::tags::Tags;
use crate::demo::visit::Visit;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, LINK, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// How long a form may be: name and address have room in it many times over.
const FORM_BYTES: usize = 64 * 1024;

/// A made-up shop as an origin server, to put consentry in front of. Dropping
/// it stops it.
#[derive(Debug)]
pub struct Storefront {
    /// Where it listens.
    pub address: SocketAddr,
    _listening: Listening,
}

impl Storefront {
    /// Opens the shop on a free port, on the current runtime, its tags
    /// pointing at `stand_ins`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(stand_ins: &StandIns) -> io::Result<Self> {
        let tags = Arc::new(Tags::at(stand_ins.address.port()));
        let listening = Listening::start(move |request| answer(request, Arc::clone(&tags))).await?;
        Ok(Self { address: listening.address, _listening: listening })
    }
}

async fn answer(request: Request<Incoming>, tags: Arc<Tags>) -> Response<Full<Bytes>> {
    let (request, body) = request.into_parts();
    let path = request.uri.path();
    let mut visit = Visit::read(&request.headers);
    let mut response = match request.method {
        Method::GET | Method::HEAD => {
            if let Some(file) = file(path) {
                let mut response = file.answer(&request.headers);
                put(response.headers_mut(), CACHE_CONTROL, "public, max-age=600");
                return response;
            }
            page(path, &visit, &tags).answer(&request.headers)
        }
        Method::POST => match (path, form(body).await) {
            (_, None) => empty(StatusCode::PAYLOAD_TOO_LARGE),
            ("/cart", Some(fields)) => {
                let chosen = fields.iter().filter(|(name, _)| name == "tea");
                chosen.filter_map(|(_, slug)| tea(slug)).for_each(|tea| visit.add(tea));
                see_other("/checkout")
            }
            ("/checkout", Some(_)) => {
                visit.cart.clear();
                see_other("/thanks")
            }
            _ => not_allowed(),
        },
        _ => not_allowed(),
    };
    track(response.headers_mut(), &visit, &tags);
    response
}

fn page(path: &str, visit: &Visit, tags: &Tags) -> Content {
    let html = match path {
        "/" => Some(pages::home(visit, tags)),
        "/checkout" => Some(pages::checkout(visit, tags)),
        "/thanks" => Some(pages::thanks(visit, tags)),
        "/stores" => Some(pages::stores(visit, tags)),
        _ => {
            path.strip_prefix("/product/").and_then(tea).map(|tea| pages::product(tea, visit, tags))
        }
    };
    match html {
        Some(html) => Content::page(StatusCode::OK, html.into_string()),
        None => Content::page(StatusCode::NOT_FOUND, pages::not_found(visit, tags).into_string()),
    }
}

fn file(path: &str) -> Option<Content> {
    const SVG: &str = "image/svg+xml";
    Some(match path {
        "/shop.css" => Content::file("text/css; charset=utf-8", include_str!("assets/shop.css")),
        "/shop.js" => {
            Content::file("text/javascript; charset=utf-8", include_str!("assets/shop.js"))
        }
        "/logo.svg" | "/favicon.ico" => Content::file(SVG, include_str!("assets/logo.svg")),
        "/pictures/kettle.svg" => Content::file(SVG, include_str!("assets/kettle.svg")),
        _ => {
            let slug = path.strip_prefix("/pictures/")?.strip_suffix(".svg")?;
            Content::file(SVG, tea(slug)?.picture().into_string())
        }
    })
}

/// The cookies and headers that a shop like this sends with every page.
fn track(headers: &mut HeaderMap, visit: &Visit, tags: &Tags) {
    for cookie in [
        format!("sid={}; Path=/; HttpOnly; SameSite=Lax", visit.session),
        format!("cart={}; Path=/; Max-Age=604800; SameSite=Lax", visit.cart_cookie()),
        "_ga=GA1.1.1000000001.1700000000; Path=/; Max-Age=34560000".to_owned(),
        "_fbp=fb.1.1700000000000.1000000001; Path=/; Max-Age=7776000; SameSite=Lax".to_owned(),
        "_gcl_au=1.1.1000000001.1700000000; Path=/; Max-Age=7776000".to_owned(),
        "_hjSessionUser_1=eyJpZCI6ImRlbW8ifQ; Path=/; Max-Age=31536000; SameSite=Lax".to_owned(),
    ] {
        put(headers, SET_COOKIE, &cookie);
    }
    put(headers, CACHE_CONTROL, "private, no-cache");
    put(headers, LINK, &tags.link_header);
    for (name, value) in [
        ("x-segment", "returning-tea-lover"),
        ("accept-ch", "Sec-CH-UA-Model"),
        ("nel", r#"{"report_to":"nel","max_age":604800,"success_fraction":0.01}"#),
        ("report-to", tags.report_to_header.as_str()),
    ] {
        put(headers, HeaderName::from_static(name), value);
    }
}

/// The fields of a form; `None` when it is longer than any of ours.
async fn form(body: Incoming) -> Option<Vec<(String, String)>> {
    let sent = Limited::new(body, FORM_BYTES).collect().await.ok()?.to_bytes();
    Some(url::form_urlencoded::parse(&sent).into_owned().collect())
}

fn see_other(path: &'static str) -> Response<Full<Bytes>> {
    let mut response = empty(StatusCode::SEE_OTHER);
    put(response.headers_mut(), LOCATION, path);
    response
}

fn not_allowed() -> Response<Full<Bytes>> {
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
    put(response.headers_mut(), ALLOW, "GET, HEAD, POST");
    response
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests;
