//! A page that is sure to have something to withhold.
//!
//! The pages of a site may hold no tracker at all, and then they tell nothing
//! about whether one would be withheld. This page holds one of everything; it
//! comes from a server of our own behind the proxy and goes the way of every
//! other page, with the site's own rules. Its tags are written out here, not
//! taken from the catalogue: a catalogue that has lost one is found that way.

use crate::catalogue::Kind;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

/// One thing that must not pass before it is agreed to.
pub(super) struct Tag {
    /// How the catalogue calls whose it is.
    pub(super) vendor: &'static str,
    /// What it is.
    pub(super) what: What,
}

/// What a tag is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Something the page loads.
    Load(Kind, &'static str),
    /// Code in the page.
    Inline(&'static str),
    /// A cookie that the visitor brings and the page sets.
    Cookie(&'static str),
    /// A parameter in the page's address.
    Parameter(&'static str),
}

impl What {
    /// As it stands in findings.
    pub(super) fn name(self) -> String {
        match self {
            Self::Load(kind, address) => format!("{} {address}", kind.name()),
            Self::Inline(code) => format!("inline {code}"),
            Self::Cookie(name) => format!("cookie {name}"),
            Self::Parameter(name) => format!("parameter {name}"),
        }
    }
}

const fn tag(vendor: &'static str, what: What) -> Tag {
    Tag { vendor, what }
}

/// Of each purpose, and of each layer that withholds.
pub(super) const TAGS: [Tag; 11] = [
    tag("meta-pixel", What::Load(Kind::Script, "https://connect.facebook.net/en_US/fbevents.js")),
    tag("meta-pixel", What::Load(Kind::Image, "https://www.facebook.com/tr?id=0&ev=PageView")),
    tag("meta-pixel", What::Inline("fbq('init','0');fbq('track','PageView');")),
    tag("meta-pixel", What::Cookie("_fbp")),
    tag("meta-pixel", What::Parameter("fbclid")),
    tag(
        "google-analytics",
        What::Load(Kind::Script, "https://www.google-analytics.com/analytics.js"),
    ),
    tag("google-analytics", What::Inline("ga('create','UA-0-0','auto');ga('send','pageview');")),
    tag("google-analytics", What::Cookie("_gid")),
    tag("hotjar", What::Load(Kind::Script, "https://static.hotjar.com/c/hotjar-0.js")),
    tag("optimizely", What::Load(Kind::Script, "https://cdn.optimizely.com/js/0.js")),
    tag("youtube", What::Load(Kind::Frame, "https://www.youtube.com/embed/0")),
];

/// The field in which the server says what reached it. Its name is not ours:
/// those are taken off every answer of an origin.
pub(super) const RECEIVED: &str = "canary-received";

/// The query with which the page is asked for.
pub(super) fn query() -> String {
    let parameters = TAGS.iter().filter_map(|tag| match tag.what {
        What::Parameter(name) => Some(format!("{name}=0")),
        _ => None,
    });
    parameters.collect::<Vec<_>>().join("&")
}

/// Names of cookies that are among the tags.
pub(super) fn cookies() -> impl Iterator<Item = &'static str> {
    TAGS.iter().filter_map(|tag| match tag.what {
        What::Cookie(name) => Some(name),
        _ => None,
    })
}

fn page() -> String {
    let tags = TAGS.iter().map(|tag| match tag.what {
        What::Load(Kind::Frame, to) => format!("<iframe src=\"{to}\" title=\"canary\"></iframe>"),
        What::Load(Kind::Image, to) => {
            format!("<noscript><img src=\"{}\" alt=\"\"></noscript>", to.replace('&', "&amp;"))
        }
        What::Load(_, to) => format!("<script src=\"{to}\"></script>"),
        What::Inline(code) => format!("<script>{code}</script>"),
        What::Cookie(_) | What::Parameter(_) => String::new(),
    });
    let tags: String = tags.collect();
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Canary</title></head><body><p>Canary</p>{tags}</body></html>"
    )
}

/// What of the tags reached the server, by name.
fn received(request: &Request<Incoming>) -> String {
    let query = request.uri().query().unwrap_or_default();
    let asked: Vec<_> =
        url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into_owned()).collect();
    let brought: Vec<_> = request
        .headers()
        .get_all(COOKIE)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.trim().split('=').next())
        .collect();
    let reached = TAGS.iter().filter_map(|tag| match tag.what {
        What::Cookie(name) => brought.contains(&name).then(|| tag.what.name()),
        What::Parameter(name) => asked.iter().any(|asked| asked == name).then(|| tag.what.name()),
        What::Load(..) | What::Inline(_) => None,
    });
    reached.collect::<Vec<_>>().join(", ")
}

fn answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(page()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(received) = HeaderValue::from_str(&received(request)) {
        headers.insert(RECEIVED, received);
    }
    for name in cookies() {
        if let Ok(field) = HeaderValue::from_str(&format!("{name}=0; Path=/")) {
            headers.append(SET_COOKIE, field);
        }
    }
    response
}

/// The server behind the canary page; it stops when dropped.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Starts it where nobody outside of this machine can reach it. It tells
    /// and takes nothing that would be worth it.
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                tokio::spawn(async move {
                    let service = service_fn(|request: Request<Incoming>| async move {
                        Ok::<_, Infallible>(answer(&request))
                    });
                    let connection = hyper::server::conn::http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(Duration::from_secs(10))
                        .serve_connection(TokioIo::new(socket), service);
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a connection to the canary ended early");
                    }
                });
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Catalogue, SourceFile, Subject};
    use crate::consent::Consent;
    use crate::policy::{Policy, Unlisted};
    use crate::purpose::Purpose;

    use std::collections::BTreeSet;
    use std::sync::Arc;
    use url::Url;

    /// A tag that the catalogue does not know (any more) would be red on every
    /// site: it is to be found here first.
    #[test]
    fn k5_the_catalogue_that_is_built_in_knows_every_tag_of_the_canary() {
        let catalogue = Arc::new(Catalogue::compile(&SourceFile::embedded()).unwrap());
        let policy = Policy::new(catalogue, Unlisted::Observe, &[]);
        let mut purposes = BTreeSet::new();
        for tag in &TAGS {
            let url;
            let subject = match tag.what {
                What::Load(kind, to) => {
                    url = Url::parse(to).unwrap();
                    Subject::Load { kind, url: &url }
                }
                What::Inline(code) => Subject::Inline(code.as_bytes()),
                What::Cookie(name) => Subject::Cookie(name),
                What::Parameter(name) => Subject::Parameter(name),
            };
            let ruling = policy.decide(subject, "shop.example", &Consent::silent());
            assert!(ruling.verdict.blocks(), "{}", tag.what.name());
            let vendor = ruling.identity.unwrap().vendor;
            assert_eq!(vendor.id, tag.vendor, "{}", tag.what.name());
            purposes.extend(vendor.purposes.iter());
        }
        assert!(Purpose::OPTIONAL.iter().all(|purpose| purposes.contains(purpose)), "{purposes:?}");
    }
}
