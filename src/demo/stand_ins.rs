//! Answers in the place of every vendor, and counts who was contacted.

use crate::demo::listen::Listening;
use crate::demo::scripts;
use crate::demo::tags::at_stand_ins;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    CACHE_CONTROL, CONTENT_TYPE, HOST,
};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The smallest picture there is: one transparent dot.
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff\
    \x21\xf9\x04\x01\x00\x00\x00\x00\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b";

const SUFFIX: &str = ".localhost";

/// How often one address of a vendor was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The vendor's host, without `.localhost`.
    pub host: String,
    /// The path, without the query.
    pub path: String,
    /// How often.
    pub count: u64,
}

/// Told of every hit as it comes: host and path.
pub type OnHit = Box<dyn Fn(&str, &str) + Send + Sync>;

/// The vendors' stand-ins: one server on loopback that answers for any host
/// ending in `.localhost`, and knows who was contacted. Dropping it stops it.
#[derive(Debug)]
pub struct StandIns {
    /// Where it listens; the page's tags carry the port.
    pub address: SocketAddr,
    tally: Arc<Tally>,
    _listening: Listening,
}

impl StandIns {
    /// Starts answering on a free port, on the current runtime.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> io::Result<Self> {
        let tally = Arc::new(Tally::default());
        let counted = Arc::clone(&tally);
        let listening = Listening::start(move |request| {
            let response = answer(&request, &counted);
            async { response }
        })
        .await?;
        Ok(Self { address: listening.address, tally, _listening: listening })
    }

    /// Everything asked for so far, by host and path.
    #[must_use]
    pub fn hits(&self) -> Vec<Hit> {
        let hit = |((host, path), count): (&(String, String), &u64)| Hit {
            host: host.clone(),
            path: path.clone(),
            count: *count,
        };
        self.tally.counts().iter().map(hit).collect()
    }

    /// How many requests reached any vendor.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.tally.counts().values().sum()
    }

    /// Forgets every hit, so that the next visit is counted alone.
    pub fn reset(&self) {
        self.tally.counts().clear();
    }

    /// Has `on_hit` told of every hit from now on; only the first one given is
    /// kept. It is called between two bytes of an answer, so it must not wait.
    pub fn on_hit(&self, on_hit: OnHit) {
        let _ = self.tally.on_hit.set(on_hit);
    }
}

#[derive(Default)]
struct Tally {
    counts: Mutex<BTreeMap<(String, String), u64>>,
    on_hit: OnceLock<OnHit>,
}

impl Tally {
    fn counts(&self) -> MutexGuard<'_, BTreeMap<(String, String), u64>> {
        // A count cannot be left half written.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, host: &str, path: &str) {
        *self.counts().entry((host.to_owned(), path.to_owned())).or_default() += 1;
        if let Some(on_hit) = self.on_hit.get() {
            on_hit(host, path);
        }
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tally").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

fn answer<B>(request: &Request<B>, tally: &Tally) -> Response<Full<Bytes>> {
    let named = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let (name, port) = named.rsplit_once(':').unwrap_or((named, ""));
    let port = port.parse().unwrap_or(80);
    let name = name.to_ascii_lowercase();
    let Some(host) = name.strip_suffix(SUFFIX) else {
        let body = "The demo's stand-ins answer to <vendor host>.localhost only.\n";
        return respond(StatusCode::NOT_FOUND, "text/plain", Bytes::from_static(body.as_bytes()));
    };
    tally.count(host, request.uri().path());
    let form = Form::asked_for(request, host);
    respond(StatusCode::OK, form.media_type(), form.body(host, request.uri().path(), port))
}

fn respond(status: StatusCode, media_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, media_type),
        // What a browser keeps would be missing from the next count.
        (CACHE_CONTROL, "no-store"),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_ALLOW_METHODS, "*"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "*"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What a vendor would answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Script,
    Style,
    Font,
    Pixel,
    Document,
    Json,
}

impl Form {
    /// What the browser says it loads, else what the address looks like.
    fn asked_for<B>(request: &Request<B>, host: &str) -> Self {
        let wanted = request.headers().get("sec-fetch-dest").map(HeaderValue::as_bytes);
        match wanted {
            Some(b"script") => Self::Script,
            Some(b"style") => Self::Style,
            Some(b"font") => Self::Font,
            Some(b"image") => Self::Pixel,
            Some(b"iframe" | b"frame" | b"document") => Self::Document,
            _ => Self::of_address(host, request.uri().path()),
        }
    }

    fn of_address(host: &str, path: &str) -> Self {
        let ends = |endings: &[&str]| endings.iter().any(|ending| path.ends_with(ending));
        let begins = |starts: &[&str]| starts.iter().any(|start| path.starts_with(start));
        if ends(&[".js"]) || scripts::of(host, path).is_some() {
            Self::Script
        } else if ends(&[".css"]) || host == "fonts.googleapis.com" {
            Self::Style
        } else if ends(&[".woff2"]) {
            Self::Font
        } else if ends(&[".gif", ".png", "/tr", "/tr/", "/collect", "/collect/"]) {
            Self::Pixel
        } else if begins(&["/embed/", "/maps/embed", "/activityi", "/ns.html", "/syncframe"]) {
            Self::Document
        } else {
            Self::Json
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Script => "text/javascript; charset=utf-8",
            Self::Style => "text/css; charset=utf-8",
            Self::Font => "font/woff2",
            Self::Pixel => "image/gif",
            Self::Document => "text/html; charset=utf-8",
            Self::Json => "application/json",
        }
    }

    fn body(self, host: &str, path: &str, port: u16) -> Bytes {
        let at = |text: &str| Bytes::from(at_stand_ins(text, port));
        match self {
            Self::Script => at(scripts::of(host, path).unwrap_or("/* A vendor's script. */")),
            Self::Style => at(scripts::FONT_STYLE),
            Self::Font => Bytes::new(),
            Self::Pixel => Bytes::from_static(PIXEL),
            Self::Document => at(scripts::document(host)),
            Self::Json => Bytes::from_static(b"{}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    fn request(host: &str, path: &str) -> Request<()> {
        Request::get(path).header(HOST, host).body(()).unwrap()
    }

    async fn text(response: Response<Full<Bytes>>) -> String {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[test]
    fn an_address_is_answered_by_its_kind() {
        for (host, path, expected) in [
            ("www.googletagmanager.com", "/gtm.js", Form::Script),
            ("www.googletagmanager.com", "/gtag/js", Form::Script),
            ("www.clarity.ms", "/tag/kettleleaf", Form::Script),
            ("widget.intercom.io", "/widget/x", Form::Script),
            ("fonts.googleapis.com", "/css2", Form::Style),
            ("www.facebook.com", "/tr", Form::Pixel),
            ("www.google-analytics.com", "/g/collect", Form::Pixel),
            ("www.youtube.com", "/embed/x", Form::Document),
            ("10000001.fls.doubleclick.net", "/activityi;src=1", Form::Document),
            ("api.segment.io", "/v1/p", Form::Json),
        ] {
            assert_eq!(Form::of_address(host, path), expected, "{host}{path}");
        }
    }

    #[test]
    fn what_the_browser_says_it_loads_comes_first() {
        let mut request = request("x.example.localhost", "/strange");
        request.headers_mut().insert("sec-fetch-dest", HeaderValue::from_static("image"));
        assert_eq!(Form::asked_for(&request, "x.example"), Form::Pixel);
    }

    #[tokio::test]
    async fn every_contact_is_counted() {
        let stand_ins = StandIns::start().await.unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        stand_ins.on_hit(Box::new(move |host, path| {
            heard.lock().unwrap().push(format!("{host}{path}"));
        }));
        for path in ["/tr?id=1", "/tr?id=2", "/en_US/fbevents.js"] {
            let response =
                answer(&request("Connect.Example.localhost:9301", path), &stand_ins.tally);
            assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        }
        let hit =
            |path: &str, count| Hit { host: "connect.example".into(), path: path.into(), count };
        assert_eq!(stand_ins.hits(), [hit("/en_US/fbevents.js", 1), hit("/tr", 2)]);
        assert_eq!(stand_ins.total(), 3);
        assert_eq!(told.lock().unwrap().len(), 3);
        stand_ins.reset();
        assert_eq!((stand_ins.total(), stand_ins.hits()), (0, vec![]));
    }

    #[tokio::test]
    async fn a_script_goes_on_at_the_same_stand_ins() {
        let request = request("connect.facebook.net.localhost:9301", "/en_US/fbevents.js");
        let script = text(answer(&request, &Tally::default())).await;
        assert!(script.contains("http://www.facebook.com.localhost:9301/tr/"), "{script}");
    }

    #[test]
    fn nobody_else_is_answered_for() {
        let tally = Tally::default();
        let response = answer(&request("www.example.com", "/x.js"), &tally);
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert!(tally.counts().is_empty());
    }
}
