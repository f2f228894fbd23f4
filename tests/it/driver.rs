//! A real browser, driven over the WebDriver protocol
//! (<https://www.w3.org/TR/webdriver2/>) with nothing but Debian's
//! `chromium` and `chromium-driver`.

use crate::harness::visitor_at;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub(crate) const BROWSER: &str = "/usr/bin/chromium";
const DRIVER: &str = "/usr/bin/chromedriver";

/// The name under which the protocol wraps a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The name under which it wraps a reference to a shadow tree.
const SHADOW: &str = "shadow-6066-11e4-a52e-4f735466cecf";

const JSON: (&str, &str) = ("content-type", "application/json");

/// Whether there is a browser; says so when there is none, and fails where
/// everything is required.
pub(crate) fn is_here() -> bool {
    let here = [BROWSER, DRIVER].iter().all(|program| Path::new(program).exists());
    if !here {
        let required = std::env::var_os("CONSENTRY_REQUIRE").is_some_and(|what| what == "all");
        assert!(
            !required,
            "{BROWSER} or {DRIVER} is missing; apt-get install chromium chromium-driver"
        );
        println!(
            "skipped: {BROWSER} or {DRIVER} is not here; apt-get install chromium chromium-driver"
        );
    }
    here
}

/// A browser window, and the program that drives it. Both end when dropped.
pub(crate) struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    /// How often somebody clicked.
    pub(crate) clicks: usize,
    /// How often somebody pressed a key.
    pub(crate) keys: usize,
    _profile: TempDir,
}

impl Browser {
    /// Opens a fresh browser, 1280 by 900, that talks to nobody by itself.
    pub(crate) async fn open(scripts: bool) -> Self {
        Self::open_with(scripts, &[]).await
    }

    /// The same with more arguments. On a busy machine a browser sometimes does
    /// not start, which says nothing about us; it is tried again, and told.
    pub(crate) async fn open_with(scripts: bool, more: &[&str]) -> Self {
        for _ in 0..4 {
            match Self::starts(scripts, more).await {
                Ok(browser) => return browser,
                Err(reason) => println!("the browser did not start: {reason}"),
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        panic!("no browser starts here")
    }

    async fn starts(scripts: bool, more: &[&str]) -> Result<Self, String> {
        let profile = TempDir::new().unwrap();
        let mut driver = Command::new(DRIVER)
            .arg("--port=0")
            // Whatever the browser leaves lying about goes with its profile.
            .env("HOME", profile.path())
            .env("TMPDIR", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let mut said = String::new();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            said.push_str(&line);
            line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok()
        });
        let mut browser = Self {
            driver,
            address: SocketAddr::from(([127, 0, 0, 1], port.unwrap_or(0))),
            session: String::new(),
            clicks: 0,
            keys: 0,
            _profile: profile,
        };
        if port.is_none() {
            return Err(format!("its driver ended: {said}"));
        }
        std::thread::spawn(move || lines.for_each(drop));
        let profile = format!("--user-data-dir={}", browser._profile.path().display());
        let mut arguments = vec![
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
            &profile,
        ];
        if !scripts {
            arguments.push("--blink-settings=scriptEnabled=false");
        }
        arguments.extend_from_slice(more);
        let options = json!({ "binary": BROWSER, "args": arguments });
        let wanted = json!({
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": wanted } }).to_string();
        let page = visitor_at(browser.address).asks("POST", "/session", &[JSON], &wanted).await;
        let answer: Value = serde_json::from_slice(&page.bytes).unwrap_or_default();
        let session = answer["value"]["sessionId"].as_str().ok_or_else(|| answer.to_string())?;
        browser.session = format!("/session/{session}");
        Ok(browser)
    }

    /// Goes to an address and waits until the page has loaded.
    pub(crate) async fn goes_to(&self, url: &str) {
        self.tells("POST", "/url", &json!({ "url": url })).await;
    }

    pub(crate) async fn reloads(&self) {
        self.tells("POST", "/refresh", &json!({})).await;
    }

    /// The address it is at.
    pub(crate) async fn at(&self) -> String {
        self.tells("GET", "/url", &Value::Null).await.as_str().unwrap().to_owned()
    }

    /// Runs a piece of script in the page and gives back what it returns.
    pub(crate) async fn runs(&self, script: &str) -> Value {
        self.tells("POST", "/execute/sync", &json!({ "script": script, "args": [] })).await
    }

    /// The elements that a CSS selector finds in the page, and in the shadow
    /// tree of its body, where the notice is.
    pub(crate) async fn finds(&self, selector: &str) -> Vec<String> {
        let mut found = self.finds_in("", selector).await;
        if let Some(body) = self.finds_in("", "body").await.first()
            && let Some(shadow) = self.shadow_of(body).await
        {
            found.extend(self.finds_in(&format!("/shadow/{shadow}"), selector).await);
        }
        found
    }

    async fn finds_in(&self, root: &str, selector: &str) -> Vec<String> {
        let wanted = json!({ "using": "css selector", "value": selector });
        let path = format!("{}{root}/elements", self.session);
        let page = visitor_at(self.address).asks("POST", &path, &[JSON], &wanted.to_string()).await;
        if page.status == 404 && !root.is_empty() {
            // The page has gone in between.
            return Vec::new();
        }
        let found: Value = serde_json::from_slice(&page.bytes).unwrap();
        assert_eq!(page.status, 200, "{selector}: {found}");
        let name = |element: &Value| element[ELEMENT].as_str().unwrap().to_owned();
        found["value"].as_array().unwrap().iter().map(name).collect()
    }

    async fn shadow_of(&self, element: &str) -> Option<String> {
        let path = format!("{}/element/{element}/shadow", self.session);
        let page = visitor_at(self.address).asks("GET", &path, &[JSON], "").await;
        let answer: Value = serde_json::from_slice(&page.bytes).ok()?;
        answer["value"][SHADOW].as_str().map(str::to_owned)
    }

    /// Presses keys one after the other, wherever the focus is.
    pub(crate) async fn presses(&mut self, keys: &[&str]) {
        for key in keys {
            let actions =
                json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
            let keyboard = json!([{ "type": "key", "id": "keyboard", "actions": actions }]);
            self.tells("POST", "/actions", &json!({ "actions": keyboard })).await;
            self.keys += 1;
        }
    }

    /// Presses a key while another is held down.
    pub(crate) async fn presses_with(&mut self, held: &str, key: &str) {
        let actions = json!([
            { "type": "keyDown", "value": held }, { "type": "keyDown", "value": key },
            { "type": "keyUp", "value": key }, { "type": "keyUp", "value": held },
        ]);
        let keyboard = json!([{ "type": "key", "id": "keyboard", "actions": actions }]);
        self.tells("POST", "/actions", &json!({ "actions": keyboard })).await;
        self.keys += 1;
    }

    /// Gives the browser a command of its developer tools.
    pub(crate) async fn commands(&self, command: &str, params: Value) -> Value {
        self.tells("POST", "/goog/cdp/execute", &json!({ "cmd": command, "params": params })).await
    }

    /// The one element that a CSS selector finds, now or in a moment.
    pub(crate) async fn find(&self, selector: &str) -> String {
        let mut found = self.finds(selector).await;
        for _ in 0..100 {
            if found.len() == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            found = self.finds(selector).await;
        }
        assert_eq!(found.len(), 1, "{selector} at {}", self.at().await);
        found.into_iter().next().unwrap()
    }

    /// Whether a visitor sees the element: it has a size and is on the screen.
    pub(crate) async fn sees(&self, selector: &str) -> bool {
        let found = self.finds(selector).await;
        let Some(element) = found.first() else { return false };
        self.tells("GET", &format!("/element/{element}/displayed"), &Value::Null).await == true
    }

    /// Where an element is, and how large.
    pub(crate) async fn rect(&self, selector: &str) -> [f64; 4] {
        let element = self.find(selector).await;
        let rect = self.tells("GET", &format!("/element/{element}/rect"), &Value::Null).await;
        ["x", "y", "width", "height"].map(|side| rect[side].as_f64().unwrap())
    }

    /// A style as the browser computed it.
    pub(crate) async fn style(&self, selector: &str, property: &str) -> String {
        let element = self.find(selector).await;
        let style =
            self.tells("GET", &format!("/element/{element}/css/{property}"), &Value::Null).await;
        style.as_str().unwrap().to_owned()
    }

    /// Clicks where the element is; something else in front of it is an error.
    /// A button or link leads to another document, which is waited for, unless
    /// it is gone from this one: then the choice took effect here.
    pub(crate) async fn clicks(&mut self, selector: &str) {
        let element = self.find(selector).await;
        let name = self.tells("GET", &format!("/element/{element}/name"), &Value::Null).await;
        let before = self.finds("html").await;
        self.tells("POST", &format!("/element/{element}/click"), &json!({})).await;
        self.clicks += 1;
        if name == "button" || name == "a" {
            for _ in 0..100 {
                let now = self.finds("html").await;
                if !now.is_empty() && (now != before || !self.is_there(&element).await) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Goes into the one frame that a CSS selector finds; without one, out of
    /// all frames.
    pub(crate) async fn enters(&self, frame: Option<&str>) {
        let id = match frame {
            Some(selector) => json!({ ELEMENT: self.find(selector).await }),
            None => Value::Null,
        };
        self.tells("POST", "/frame", &json!({ "id": id })).await;
    }

    /// Clicks, and waits for nothing.
    pub(crate) async fn taps(&self, selector: &str) {
        let element = self.find(selector).await;
        self.tells("POST", &format!("/element/{element}/click"), &json!({})).await;
    }

    /// What was written to the console since the last time, uncaught errors
    /// included.
    pub(crate) async fn console(&self) -> Vec<String> {
        let lines = self.tells("POST", "/se/log", &json!({ "type": "browser" })).await;
        let text = |line: &Value| line["message"].as_str().unwrap().to_owned();
        lines.as_array().unwrap().iter().map(text).collect()
    }

    /// Runs a piece of script in every page from now on, before its own.
    pub(crate) async fn runs_first(&self, script: &str) {
        let command = "Page.addScriptToEvaluateOnNewDocument";
        let body = json!({ "cmd": command, "params": { "source": script } });
        self.tells("POST", "/goog/cdp/execute", &body).await;
    }

    /// The names of the cookies of the page, `HttpOnly` or not, in order.
    pub(crate) async fn cookies(&self) -> Vec<String> {
        let cookies = self.tells("GET", "/cookie", &Value::Null).await;
        let mut names: Vec<_> = cookies
            .as_array()
            .unwrap()
            .iter()
            .map(|cookie| cookie["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort_unstable();
        names
    }

    /// Every cookie of the browser, for whatever path: name, domain, path.
    pub(crate) async fn all_cookies(&self) -> Vec<String> {
        let body = json!({ "cmd": "Storage.getCookies", "params": {} });
        let found = self.tells("POST", "/goog/cdp/execute", &body).await;
        let text = |cookie: &Value| {
            let part = |key: &str| cookie[key].as_str().unwrap().to_owned();
            format!("{} {} {}", part("name"), part("domain"), part("path"))
        };
        let mut all: Vec<_> = found["cookies"].as_array().unwrap().iter().map(text).collect();
        all.sort_unstable();
        all
    }

    /// The value of a cookie of the page.
    pub(crate) async fn cookie(&self, name: &str) -> String {
        let cookie = self.tells("GET", &format!("/cookie/{name}"), &Value::Null).await;
        cookie["value"].as_str().unwrap().to_owned()
    }

    /// Keeps a cookie as a server would have set it, for a day.
    pub(crate) async fn keeps(&self, name: &str, value: &str) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let cookie = json!({
            "name": name, "value": value, "path": "/", "httpOnly": true, "sameSite": "Lax",
            "expiry": now.as_secs() + 86_400,
        });
        self.tells("POST", "/cookie", &json!({ "cookie": cookie })).await;
    }

    /// Forgets every cookie.
    pub(crate) async fn forgets(&self) {
        self.tells("DELETE", "/cookie", &Value::Null).await;
    }

    /// Closes the window and opens another.
    pub(crate) async fn closes_and_returns(&self) {
        let fresh = self.tells("POST", "/window/new", &json!({ "type": "window" })).await;
        self.tells("DELETE", "/window", &Value::Null).await;
        self.tells("POST", "/window", &json!({ "handle": fresh["handle"] })).await;
    }

    /// Whether an element that was found is still in its page.
    async fn is_there(&self, element: &str) -> bool {
        let path = format!("{}/element/{element}/name", self.session);
        visitor_at(self.address).asks("GET", &path, &[], "").await.status == 200
    }

    /// Runs a piece of script again and again, until it returns something.
    pub(crate) async fn waits_for(&self, script: &str) -> Value {
        for _ in 0..200 {
            let value = self.runs(script).await;
            if !matches!(value, Value::Null | Value::Bool(false)) {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("never: {script} at {}", self.at().await)
    }

    async fn tells(&self, method: &str, command: &str, body: &Value) -> Value {
        self.asks(method, &format!("{}{command}", self.session), body).await
    }

    async fn asks(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let page = visitor_at(self.address).asks(method, path, &[JSON], &body).await;
        let mut answer: Value = serde_json::from_slice(&page.bytes).unwrap();
        let value = answer["value"].take();
        assert_eq!(page.status, 200, "{method} {path} {body}: {value}");
        value
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Only a session that is ended ends its browser; the driver alone leaves it running.
        if let Ok(mut socket) = TcpStream::connect(self.address) {
            let (session, address) = (&self.session, self.address);
            let request = format!(
                "DELETE {session} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
            );
            let _ = socket.set_read_timeout(Some(Duration::from_secs(20)));
            let _ = socket.write_all(request.as_bytes());
            let _ = socket.read(&mut [0; 64]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
