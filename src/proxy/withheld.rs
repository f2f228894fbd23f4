//! Answers in the origin's place for what must not reach it, or not leave it.
//!
//! The answer is the emptiest one that the page takes for success, since an
//! error is what site code trips over: a script that fails to load calls
//! `onerror` and shows in the console, a picture that fails shows a broken
//! frame, and a frame without an answer never loads. So each gets an empty
//! thing of its kind, and whatever only sends gets "no content".

use crate::proxy::body::{self, Body};

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

/// One transparent pixel (GIF89a).
const PIXEL: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x01D\0;";

/// Takes the place of a service worker that tracks since before a withdrawal,
/// and goes: a browser asks for the file again when the visitor comes back
/// (Service Workers, "Update"), even to a page that runs no script.
const LEAVING: &[u8] = b"onactivate = (event) => event.waitUntil(registration.unregister());
oninstall = () => skipWaiting();
";

/// The answer for a withheld request, by what the browser says (in the fields
/// it `asked` with) or the path suggests that it is for.
pub(super) fn answer(asked: &HeaderMap, request: &Parts) -> Response<Body> {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return nothing();
    }
    let destination = asked.get("sec-fetch-dest").and_then(|value| value.to_str().ok());
    let (kind, content): (&'static str, &'static [u8]) = match destination {
        Some("serviceworker") => ("text/javascript", LEAVING),
        Some("script" | "worker" | "sharedworker") => ("text/javascript", b""),
        Some("style") => ("text/css", b""),
        Some("image") => ("image/gif", PIXEL),
        Some("iframe" | "frame" | "fencedframe" | "embed" | "object") => ("text/html", b""),
        Some(_) => return nothing(),
        None if request.uri.path().ends_with(".js") => ("text/javascript", b""),
        None => return nothing(),
    };
    let head_only = request.method == Method::HEAD;
    let mut response = Response::new(if head_only { body::empty() } else { body::full(content) });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(content.len()));
    not_kept(headers);
    response
}

fn nothing() -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    not_kept(response.headers_mut());
    response
}

/// After a choice the next answer must come from the origin. A sister host may
/// read it: there is nothing in it.
fn not_kept(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn b14_each_destination_gets_an_empty_thing_of_its_kind() {
        for (method, path, destination, status, kind, length) in [
            ("GET", "/x", Some("script"), 200, "text/javascript", "0"),
            ("GET", "/x", Some("sharedworker"), 200, "text/javascript", "0"),
            ("GET", "/x", Some("serviceworker"), 200, "text/javascript", "101"),
            ("GET", "/x.js", None, 200, "text/javascript", "0"),
            ("GET", "/x.js", Some("empty"), 204, "", ""),
            ("GET", "/x", None, 204, "", ""),
            ("GET", "/x", Some("image"), 200, "image/gif", "42"),
            ("HEAD", "/x", Some("image"), 200, "image/gif", "42"),
            ("GET", "/x", Some("iframe"), 200, "text/html", "0"),
            ("POST", "/x", Some("iframe"), 204, "", ""),
            ("POST", "/x", Some("empty"), 204, "", ""),
            ("GET", "/x", Some("font"), 204, "", ""),
        ] {
            let mut request = Request::builder().method(method).uri(path);
            if let Some(destination) = destination {
                request = request.header("sec-fetch-dest", destination);
            }
            let parts = request.body(()).unwrap().into_parts().0;
            let answer = answer(&parts.headers, &parts);
            let field =
                |name: &str| answer.headers().get(name).map_or("", |value| value.to_str().unwrap());
            let got = (answer.status().as_u16(), field("content-type"), field("content-length"));
            assert_eq!(got, (status, kind, length), "{method} {path} {destination:?}");
            assert_eq!(field("cache-control"), "private, no-store");
        }
    }
}
