//! Reads a recorded session: an HTTP Archive, version 1.2, as browsers and
//! proxies save it. What stands in it was written by strangers.

use crate::audit::{AuditedPage, Judge, Paper, Seen, asked_by, kind_of};
use crate::catalogue::Kind;
use crate::policy::redact_path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::borrow::Cow;
use url::Url;

/// Why a file is no session that can be judged.
#[derive(Debug, thiserror::Error)]
pub enum HarError {
    /// It is no JSON, or cut off, or of another shape.
    #[error(
        "line {line}, column {column}: it is no HTTP Archive (HAR 1.2), or it is cut off: {why}"
    )]
    Shape {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What was expected there.
        why: String,
    },
    /// It has no page of a site in it.
    #[error("there is no request to a web address in it")]
    Empty,
}

/// A recorded session.
#[derive(Debug)]
pub struct Har {
    entries: Vec<(Url, Entry)>,
}

#[derive(Deserialize)]
struct File {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(default)]
    pageref: Option<String>,
    request: Asked,
    #[serde(default)]
    response: Option<Answered>,
    // What tools add of their own has whatever shape they like.
    #[serde(default, rename = "_resourceType", deserialize_with = "word")]
    resource: Option<String>,
    #[serde(default, rename = "_initiator")]
    initiator: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<Field>,
}

#[derive(Debug, Deserialize)]
struct Answered {
    #[serde(default)]
    headers: Vec<Field>,
    #[serde(default)]
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
struct Field {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Debug, Deserialize)]
struct Content {
    #[serde(default, rename = "mimeType")]
    media_type: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    encoding: Option<String>,
}

/// A word, or nothing where something else stands.
fn word<'d, D: Deserializer<'d>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::String(word) => Some(word),
        _ => None,
    })
}

impl Har {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is no session, or none of a site.
    pub fn read(bytes: &[u8]) -> Result<Self, HarError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let file: File = serde_json::from_slice(bytes).map_err(|error| HarError::Shape {
            line: error.line(),
            column: error.column(),
            // It says once where it is.
            why: error.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
        })?;
        let entries: Vec<_> = file
            .log
            .entries
            .into_iter()
            .filter_map(|entry| {
                let url = Url::parse(&entry.request.url).ok()?;
                let is_web = matches!(url.scheme(), "http" | "https" | "ws" | "wss");
                (is_web && url.host_str().is_some()).then_some((url, entry))
            })
            .collect();
        if entries.is_empty() { Err(HarError::Empty) } else { Ok(Self { entries }) }
    }

    /// The host that the session is about: that of its first page.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        let page = self.entries.iter().find(|(_, entry)| entry.is_page());
        page.or(self.entries.first()).and_then(|(url, _)| url.host_str())
    }

    /// Judges everything in it, page by page.
    #[must_use]
    pub fn pages(&self, judge: &Judge) -> Vec<AuditedPage> {
        let mut pages: Vec<(Option<&str>, String, AuditedPage)> = Vec::new();
        for (url, entry) in &self.entries {
            let pageref = entry.pageref.as_deref();
            let own = url.host_str() == Some(&judge.host);
            let known = pages.iter().position(|(known, ..)| pageref.is_some() && *known == pageref);
            let opens = own && entry.is_page() && entry.resource.as_deref() != Some("iframe");
            let index = match known {
                Some(index) => index,
                // Without the pages' names, each page begins where it is asked for.
                None if pageref.is_some() || opens || pages.is_empty() => {
                    pages.push((pageref, "/".to_owned(), AuditedPage::default()));
                    pages.len() - 1
                }
                None => pages.len() - 1,
            };
            let Some((_, path, page)) = pages.get_mut(index) else { continue };
            if page.name.is_empty() && (opens || pageref.is_none()) {
                page.name = named(url);
                url.path().clone_into(path);
            }
            entry.judge(url, judge, path, page);
        }
        for (pageref, _, page) in &mut pages {
            if page.name.is_empty() {
                page.name = pageref.unwrap_or("session").to_owned();
            }
        }
        pages.into_iter().map(|(.., page)| page).collect()
    }
}

/// A page of a session, without what could say who went there.
fn named(url: &Url) -> String {
    let origin = url.origin().ascii_serialization();
    format!("{origin}{}", redact_path(url.path()))
}

impl Entry {
    fn judge(&self, url: &Url, judge: &Judge, path: &str, page: &mut AuditedPage) {
        let media_type = self.media_type();
        let destination = field(&self.request.headers, "sec-fetch-dest");
        let kind = kind_of(self.resource.as_deref(), destination, media_type);
        if url.host_str() != Some(&judge.host) {
            let cookies = self.cookies();
            let via = self.via();
            return judge.seen(path, &Seen { url, kind, via: &via, cookies: &cookies }, page);
        }
        let mut seen = AuditedPage::default();
        if let Some(request) = self.request(url) {
            judge.request(&request, &mut seen);
        }
        let is_page = self.is_page();
        let headers = self.response.as_ref().map(|response| fields(&response.headers));
        if let Some(headers) = &headers {
            judge.response(url, headers, is_page, &mut seen);
        }
        if let Some(body) = self.body() {
            if is_page {
                // What stands in it is not yet seen to happen.
                let content_type =
                    headers.as_ref().and_then(|headers| headers.get("content-type")?.to_str().ok());
                // What is in the archive as text was decoded when it was saved.
                let content_type = match body {
                    Cow::Borrowed(_) => Some("text/html; charset=utf-8"),
                    Cow::Owned(_) => content_type,
                };
                judge.document(&Paper { url, content_type, body: &body }, page);
            } else if kind == Kind::Script {
                judge.own_script(url, &body, &mut seen);
            }
        }
        page.observe(seen);
    }

    fn is_page(&self) -> bool {
        let media_type = self.media_type();
        let is_html =
            media_type.starts_with("text/html") || media_type.starts_with("application/xhtml");
        let fetched = matches!(self.resource.as_deref(), Some("xhr" | "fetch" | "ping"));
        is_html && !fetched
    }

    fn media_type(&self) -> &str {
        let content = self.response.as_ref().and_then(|response| response.content.as_ref());
        content.and_then(|content| content.media_type.as_deref()).unwrap_or_default()
    }

    fn body(&self) -> Option<Cow<'_, [u8]>> {
        let content = self.response.as_ref()?.content.as_ref()?;
        let text = content.text.as_deref()?;
        match content.encoding.as_deref() {
            Some("base64") => STANDARD.decode(text.trim()).ok().map(Cow::Owned),
            Some(_) | None => Some(Cow::Borrowed(text.as_bytes())),
        }
    }

    fn request(&self, url: &Url) -> Option<Request<()>> {
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let method = if self.request.method.is_empty() { "GET" } else { &self.request.method };
        let mut request = Request::builder().method(method).uri(target).body(()).ok()?;
        *request.headers_mut() = fields(&self.request.headers);
        Some(request)
    }

    /// The names of the cookies that the answer set.
    fn cookies(&self) -> Vec<String> {
        let headers = self.response.iter().flat_map(|response| &response.headers);
        let set = headers.filter(|field| field.name.eq_ignore_ascii_case("set-cookie"));
        // Browsers put several fields into one, a line each.
        let lines = set.flat_map(|field| field.value.lines());
        let names = lines.filter_map(|line| line.split(['=', ';']).next());
        names.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
    }

    /// The script that asked for it, as far as the browser said.
    fn via(&self) -> String {
        self.initiator.as_ref().map(asked_by).unwrap_or_default()
    }
}

fn field<'f>(fields: &'f [Field], name: &str) -> Option<&'f str> {
    let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
    Some(field.value.as_str())
}

/// Fields as they were sent; what cannot have been one is left out, HTTP/2's
/// own among them.
fn fields(fields: &[Field]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for field in fields {
        for line in field.value.lines() {
            if let Ok(name) = HeaderName::from_bytes(field.name.as_bytes())
                && let Ok(value) = HeaderValue::from_str(line)
            {
                headers.append(name, value);
            }
        }
    }
    headers
}
