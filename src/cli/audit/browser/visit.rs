//! One page in the browser, from the first request to the silence after it.

use crate::audit::{asked_by, kind_of};
use crate::cli::audit::browser::pipe::Pipe;
use crate::cli::audit::browser::{Observed, Requested, Visitor};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Instant;
use url::Url;

/// How many requests of one page are noted.
const MAX_REQUESTS: usize = 10_000;

/// Waits until the page has nothing to do: a busy machine is no silence.
const IDLE: &str =
    "new Promise(done => requestIdleCallback(() => setTimeout(done, 0), {timeout: 20000}))";

/// What is stored, as far as the page's own origin goes.
const STORED: &str = "[localStorage, sessionStorage].flatMap(Object.keys)";

/// A visit to one page.
pub(super) struct Visit<'v> {
    pipe: &'v mut Pipe,
    visitor: &'v Visitor,
    context: String,
    session: String,
    frame: String,
    /// Requests that are on the way.
    open: HashSet<String>,
    loaded: bool,
    /// When something last happened on the network.
    last: Instant,
    until: Instant,
    observed: Observed,
}

impl<'v> Visit<'v> {
    /// Opens the page in a context of its own: nothing is known there of other
    /// visits.
    pub(super) fn begin(
        pipe: &'v mut Pipe,
        visitor: &'v Visitor,
        url: &Url,
    ) -> anyhow::Result<Self> {
        let context = pipe.call(None, "Target.createBrowserContext", json!({}))?;
        let context = text(&context, "browserContextId")?;
        let deny = json!({ "behavior": "deny", "browserContextId": context });
        pipe.call(None, "Browser.setDownloadBehavior", deny)?;
        let target = json!({ "url": "about:blank", "browserContextId": context });
        let target = text(&pipe.call(None, "Target.createTarget", target)?, "targetId")?;
        let attach = json!({ "targetId": target, "flatten": true });
        let session = text(&pipe.call(None, "Target.attachToTarget", attach)?, "sessionId")?;
        if !visitor.cookies.is_empty() {
            let cookies: Vec<_> = visitor
                .cookies
                .iter()
                .map(|(name, value)| json!({ "name": name, "value": value, "url": url.as_str() }))
                .collect();
            let cookies = json!({ "cookies": cookies, "browserContextId": context });
            pipe.call(None, "Storage.setCookies", cookies)?;
        }
        let now = Instant::now();
        let mut visit = Self {
            pipe,
            visitor,
            context,
            session: session.clone(),
            frame: target,
            open: HashSet::new(),
            loaded: false,
            last: now,
            until: now + visitor.patience,
            observed: Observed::default(),
        };
        visit.listen(&session)?;
        visit.pipe.call(Some(&session), "Page.enable", json!({}))?;
        if !visitor.local_storage.is_empty() {
            let script = json!({ "source": preset(url, &visitor.local_storage) });
            let method = "Page.addScriptToEvaluateOnNewDocument";
            visit.pipe.call(Some(&session), method, script)?;
        }
        let went = json!({ "url": url.as_str() });
        let went = visit.pipe.call(Some(&session), "Page.navigate", went)?;
        if let Some(error) = went.get("errorText").and_then(Value::as_str) {
            bail!("the page does not open: {error}");
        }
        Ok(visit)
    }

    /// Hears of everything that is asked for by a page, or by a frame or worker
    /// of it.
    fn listen(&mut self, session: &str) -> anyhow::Result<()> {
        self.pipe.tell(Some(session), "Network.enable", json!({}))?;
        // Only its debugger remembers who asked for what comes later; it stops
        // nowhere.
        self.pipe.tell(Some(session), "Debugger.enable", json!({}))?;
        self.pipe.tell(Some(session), "Debugger.setSkipAllPauses", json!({ "skip": true }))?;
        let depth = json!({ "maxDepth": 8 });
        self.pipe.tell(Some(session), "Debugger.setAsyncCallStackDepth", depth)?;
        let attach = json!({ "autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true });
        self.pipe.tell(Some(session), "Target.setAutoAttach", attach)?;
        Ok(())
    }

    /// Watches until nothing happens any more, and gives back what did.
    pub(super) fn watch(mut self) -> anyhow::Result<Observed> {
        loop {
            let quiet = self.last + self.visitor.quiet;
            let calm = self.loaded && self.open.is_empty();
            let next = if calm { quiet.min(self.until) } else { self.until };
            match self.pipe.event(next)? {
                Some(event) => self.take(&event)?,
                None if !calm || !self.is_idle()? || Instant::now() >= self.until => {
                    if Instant::now() >= self.until {
                        break;
                    }
                }
                None => break,
            }
        }
        self.gather()?;
        let context = json!({ "browserContextId": self.context });
        self.pipe.call(None, "Target.disposeBrowserContext", context)?;
        Ok(self.observed)
    }

    /// Whether the page has done what it had to do, and nothing came of it.
    fn is_idle(&mut self) -> anyhow::Result<bool> {
        let before = self.last;
        let idle = json!({ "expression": IDLE, "awaitPromise": true });
        // A page may have gone meanwhile, and its promise with it.
        let _ = self.pipe.call(Some(&self.session.clone()), "Runtime.evaluate", idle);
        while let Some(event) = self.pipe.event(Instant::now())? {
            self.take(&event)?;
        }
        Ok(self.last == before && self.open.is_empty())
    }

    fn take(&mut self, event: &Value) -> anyhow::Result<()> {
        let method = event.get("method").and_then(Value::as_str).unwrap_or_default();
        let params = event.get("params").unwrap_or(&Value::Null);
        let word = |name: &str| params.get(name).and_then(Value::as_str).unwrap_or_default();
        match method {
            "Network.requestWillBeSent" => self.request(params),
            "Network.webSocketCreated" => {
                let url = word("url").to_owned();
                self.note(&url, "websocket", params);
            }
            "Network.loadingFinished" | "Network.loadingFailed" => {
                self.open.remove(word("requestId"));
                self.last = Instant::now();
            }
            "Page.loadEventFired" => {
                self.loaded = true;
                self.last = Instant::now();
            }
            "Page.javascriptDialogOpening" => {
                let close = json!({ "accept": true });
                self.pipe.tell(
                    Some(&self.session.clone()),
                    "Page.handleJavaScriptDialog",
                    close,
                )?;
            }
            "Target.attachedToTarget" => {
                let session = word("sessionId").to_owned();
                self.listen(&session)?;
                let go = "Runtime.runIfWaitingForDebugger";
                self.pipe.tell(Some(&session), go, json!({}))?;
            }
            "Inspector.targetCrashed" => bail!("the page crashed"),
            _ => {}
        }
        Ok(())
    }

    fn request(&mut self, params: &Value) {
        let word = |name: &str| params.get(name).and_then(Value::as_str).unwrap_or_default();
        let url = params.get("request").and_then(|request| request.get("url"));
        let url = url.and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, frame) = (word("type").to_owned(), word("frameId").to_owned());
        // A stream of events does not end, and is no reason to wait.
        if url.starts_with("http") && kind != "EventSource" {
            self.open.insert(word("requestId").to_owned());
        }
        self.last = Instant::now();
        if kind == "Document" && frame == self.frame {
            // The page itself, or where it went by itself.
            self.loaded = false;
            return;
        }
        self.note(&url, &kind, params);
    }

    fn note(&mut self, url: &str, resource: &str, params: &Value) {
        let Ok(url) = Url::parse(url) else { return };
        let is_web = matches!(url.scheme(), "http" | "https" | "ws" | "wss");
        if !is_web || self.observed.requests.len() >= MAX_REQUESTS {
            return;
        }
        let via = params.get("initiator").map(asked_by).unwrap_or_default();
        let kind = kind_of(Some(resource), None, "");
        self.observed.requests.push(Requested { url, kind, via });
    }

    /// What is on the device now.
    fn gather(&mut self) -> anyhow::Result<()> {
        let context = json!({ "browserContextId": self.context });
        let found = self.pipe.call(None, "Storage.getCookies", context)?;
        let cookies = found.get("cookies").and_then(Value::as_array).into_iter().flatten();
        let cookies = cookies.filter_map(|cookie| {
            let word = |name: &str| cookie.get(name).and_then(Value::as_str).map(str::to_owned);
            Some((word("name")?, word("domain")?))
        });
        let brought = |name: &str, all: &[(String, String)]| all.iter().any(|(own, _)| own == name);
        let visitor = self.visitor;
        self.observed.cookies =
            cookies.filter(|(name, _)| !brought(name, &visitor.cookies)).collect();
        let stored = json!({ "expression": STORED, "returnByValue": true });
        // A page in a sandbox has no storage; it says so by an exception.
        let stored = self.pipe.call(Some(&self.session.clone()), "Runtime.evaluate", stored)?;
        let keys = stored.pointer("/result/value").and_then(Value::as_array).into_iter().flatten();
        let keys = keys.filter_map(Value::as_str).map(str::to_owned);
        self.observed.stored = keys.filter(|key| !brought(key, &visitor.local_storage)).collect();
        Ok(())
    }
}

/// Puts into storage what the visitor brings along, where the page's origin is
/// the one that it is for, and once.
fn preset(url: &Url, pairs: &[(String, String)]) -> String {
    let (origin, pairs) = (json!(url.origin().ascii_serialization()), json!(pairs));
    format!(
        "if (location.origin === {origin}) for (const [key, value] of {pairs}) \
         try {{ if (localStorage.getItem(key) === null) localStorage.setItem(key, value) }} catch {{}}"
    )
}

fn text(answer: &Value, name: &str) -> anyhow::Result<String> {
    let text = answer.get(name).and_then(Value::as_str).map(str::to_owned);
    text.with_context(|| format!("the browser's answer has no {name}"))
}
