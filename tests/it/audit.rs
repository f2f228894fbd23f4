//! `consentry audit`: what it says of folders, sites and recorded sessions,
//! and that a CI job fails when a tag is added and passes when it is classified.

use crate::harness::{CATALOGUE, consentry, origin, visitor};
use crate::program::consentry_command;

use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/audit");

/// The tag that somebody adds.
const NEWCOMER: &str = "  <script async src=\"https://widgets.newcomer.example/r.js\"></script>\n";

/// What the program said, and how it ended.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

fn audits(words: &[&str]) -> Said {
    audits_in(Path::new("."), words)
}

fn audits_in(directory: &Path, words: &[&str]) -> Said {
    let words = [&["audit"], words].concat();
    let output = consentry_command(&words).current_dir(directory).output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A copy of the shop, to change things in.
fn shop() -> TempDir {
    let directory = TempDir::new().unwrap();
    let (from, to) = (Path::new(FIXTURES).join("shop"), directory.path().join("shop"));
    std::fs::create_dir_all(to.join("offers")).unwrap();
    for file in ["index.html", "offers/tea.html", "app.js"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    directory
}

fn add_tag(directory: &TempDir) {
    let page = directory.path().join("shop/index.html");
    let html = std::fs::read_to_string(&page).unwrap();
    std::fs::write(page, html.replace("</body>", &format!("{NEWCOMER}</body>"))).unwrap();
}

fn write(directory: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn fixture(name: &str) -> String {
    format!("{FIXTURES}/{name}")
}

fn things(document: &Value) -> Vec<&Value> {
    let pages = document["pages"].as_array().unwrap().iter();
    pages.flat_map(|page| page["things"].as_array().unwrap()).collect()
}

fn thing<'d>(document: &'d Value, kind: &str, what: &str) -> &'d Value {
    let found = things(document).into_iter().find(|one| one["kind"] == kind && one["what"] == what);
    found.unwrap_or_else(|| panic!("no {kind} {what} in {document:#}"))
}

/// The states in which a thing is withheld.
fn withheld(thing: &Value) -> Vec<&str> {
    let verdicts = thing["verdicts"].as_object().unwrap().iter();
    verdicts
        .filter(|(_, word)| word["verdict"] == "block")
        .map(|(state, _)| state.as_str())
        .collect()
}

#[test]
fn h1_the_job_fails_when_a_tag_is_added_and_passes_when_it_is_classified() {
    let directory = shop();
    let clean = audits_in(directory.path(), &["shop"]);
    assert_eq!(clean.code, 0, "{}{}", clean.out, clean.err);
    assert!(clean.out.contains("clean: nothing here is against the policy"), "{}", clean.out);
    assert!(clean.out.contains("www.googletagmanager.com/gtag/js"), "{}", clean.out);

    add_tag(&directory);
    let added = audits_in(directory.path(), &["shop"]);
    assert_eq!(added.code, 1, "{}", added.out);
    let line = "unknown: script widgets.newcomer.example/r.js: nobody in the catalogue claims it";
    assert!(added.out.contains(line), "{}", added.out);
    assert!(added.out.contains("at shop/index.html:14:3"), "{}", added.out);

    let classified = fixture("classified.toml");
    let again = audits_in(directory.path(), &["shop", "--catalogue", &classified]);
    assert_eq!(again.code, 0, "{}", again.out);

    // The same by the configuration that the proxy is started with.
    let text =
        format!("[catalogue]\nfiles = [{classified:?}]\n[[site]]\norigin = 'http://[::1]:1'\n");
    let config = write(&directory, "consentry.toml", &text);
    let again = audits_in(directory.path(), &["shop", "--config", config.to_str().unwrap()]);
    assert_eq!(again.code, 0, "{}", again.out);

    // Or tolerated, or not asked about.
    let terms = "[tolerated]\nhosts = [\"*.newcomer.example\"]\n";
    let terms = write(&directory, "consent-policy.toml", terms);
    let tolerated = audits_in(directory.path(), &["shop", "--policy", terms.to_str().unwrap()]);
    assert_eq!(tolerated.code, 0, "{}", tolerated.out);
    assert_eq!(audits_in(directory.path(), &["shop", "--fail-on", "forbidden"]).code, 0);
}

#[test]
fn h1_json_says_what_becomes_of_each_thing_in_each_state() {
    let said = audits(&[&fixture("shop"), "--format", "json"]);
    let document = said.json();
    assert_eq!(document["consentry_audit"], 1);
    let states: Vec<_> =
        document["states"].as_array().unwrap().iter().map(|state| &state["name"]).collect();
    assert_eq!(
        states,
        [
            "undecided",
            "refused",
            "functional",
            "analytics",
            "personalization",
            "marketing",
            "all",
            "gpc"
        ]
    );
    let tag = thing(&document, "script", "www.googletagmanager.com/gtag/js");
    let mut denied = withheld(tag);
    denied.sort_unstable();
    assert_eq!(
        denied,
        ["functional", "gpc", "marketing", "personalization", "refused", "undecided"]
    );
    assert_eq!(tag["spots"][0]["line"], 6);
    assert_eq!(tag["spots"][0]["column"], 3);
    assert_eq!(tag["purposes"][0], "analytics");
    assert!(tag["rule"].as_str().unwrap().contains(".toml:"), "{tag}");
    // Columns count characters, as editors do: there is an umlaut before it.
    let frame = thing(&document, "frame", "www.youtube.com/embed/tea");
    assert_eq!((&frame["spots"][0]["line"], &frame["spots"][0]["column"]), (&8.into(), &28.into()));
    assert_eq!(document["summary"]["findings"], 0);
    assert_eq!(document["summary"]["pages"], 2);
    assert!(document["summary"]["withheld"]["all"] == 0, "{document:#}");
}

#[test]
fn h1_sarif_has_what_the_standard_asks_for_and_the_place_of_the_tag() {
    let directory = shop();
    add_tag(&directory);
    let report = directory.path().join("audit.sarif");
    let words = ["shop", "--format", "sarif", "--output", report.to_str().unwrap()];
    let said = audits_in(directory.path(), &words);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    let document: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!(document["version"], "2.1.0");
    assert!(document["$schema"].as_str().unwrap().contains("sarif"));
    let run = &document["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!(run["tool"]["driver"]["name"], "consentry");
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 1);
    let result = &results[0];
    let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
    assert_eq!(rule["id"], result["ruleId"]);
    assert_eq!(result["level"], "error");
    assert!(result["message"]["text"].as_str().unwrap().contains("widgets.newcomer.example"));
    let location = &result["locations"][0]["physicalLocation"];
    assert_eq!(location["artifactLocation"]["uri"], "shop/index.html");
    assert_eq!(location["region"]["startLine"], 14);
    assert_eq!(location["region"]["startColumn"], 3);
    assert!(result["partialFingerprints"].as_object().is_some_and(|prints| !prints.is_empty()));
}

#[test]
fn h1_junit_is_well_formed_and_has_a_test_case_for_each_page() {
    let directory = shop();
    add_tag(&directory);
    let odd = "<script src='https://odd.example/<&\">\u{1b}[31m.js'></script>";
    std::fs::write(directory.path().join("shop/a&b <c>.html"), odd).unwrap();
    let said = audits_in(directory.path(), &["shop", "--format", "junit"]);
    assert_eq!(said.code, 1);
    let elements = well_formed(&said.out);
    let count = |name: &str| elements.iter().filter(|element| *element == name).count();
    assert_eq!((count("testsuite"), count("testcase"), count("failure")), (1, 3, 2));
    assert!(said.out.contains("tests=\"3\" failures=\"2\" errors=\"0\""), "{}", said.out);
    assert!(said.out.contains("name=\"shop/a&amp;b &lt;c&gt;.html\""), "{}", said.out);
}

/// The names of the elements of a document, which is well-formed XML without
/// anything but elements, attributes, text and the five entities.
fn well_formed(document: &str) -> Vec<String> {
    let is_char = |char: char| char >= ' ' || matches!(char, '\t' | '\n' | '\r');
    assert!(document.chars().all(is_char), "{document:?}");
    for reference in document.split('&').skip(1) {
        let name = reference.split(';').next().unwrap();
        assert!(["amp", "lt", "gt", "quot", "apos"].contains(&name), "&{reference}");
    }
    let (mut open, mut seen) = (Vec::new(), Vec::new());
    let rest = document.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").unwrap();
    for piece in rest.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap();
        assert!(!text.contains('>'), "{text}");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap().to_owned();
        seen.push(name.clone());
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    seen
}

#[test]
fn h1_a_baseline_lets_an_old_project_in_and_nothing_new() {
    let directory = shop();
    add_tag(&directory);
    let here = directory.path();
    let written = audits_in(here, &["shop", "--baseline", "base.json", "--write-baseline"]);
    assert_eq!(written.code, 0, "{}", written.err);
    assert_eq!(audits_in(here, &["shop", "--baseline", "base.json"]).code, 0);
    // The same again gives the same bytes, so that a change of it can be reviewed.
    let before = std::fs::read(here.join("base.json")).unwrap();
    audits_in(here, &["shop", "--baseline", "base.json", "--write-baseline"]);
    assert_eq!(std::fs::read(here.join("base.json")).unwrap(), before);

    // What the catalogue knows is new, too.
    let page = here.join("shop/offers/tea.html");
    let html = std::fs::read_to_string(&page).unwrap();
    let tag = "<script src=\"https://static.hotjar.com/c/hotjar-1.js\"></script>";
    std::fs::write(&page, format!("{html}{tag}")).unwrap();
    let more = audits_in(here, &["shop", "--baseline", "base.json"]);
    assert_eq!(more.code, 1, "{}", more.out);
    assert!(more.out.contains("new: script static.hotjar.com/"), "{}", more.out);
    assert!(!more.out.contains("unknown: script"), "{}", more.out);
    assert_eq!(audits_in(here, &["shop", "--catalogue", &fixture("classified.toml")]).code, 0);

    // What is gone is said, and no fault.
    std::fs::write(&page, html).unwrap();
    std::fs::remove_file(here.join("shop/index.html")).unwrap();
    let less = audits_in(here, &["shop", "--baseline", "base.json"]);
    assert_eq!(less.code, 0, "{}", less.out);
    assert!(less.out.contains("of the baseline not met any more"), "{}", less.out);
    assert!(less.out.contains("script widgets.newcomer.example/r.js"), "{}", less.out);
}

#[test]
fn h1_vendors_and_purposes_can_be_forbidden_and_owners_demanded() {
    let directory = shop();
    let here = directory.path();
    let asks = |terms: &str| {
        let terms = write(&directory, "terms.toml", terms);
        audits_in(here, &["shop", "--policy", terms.to_str().unwrap()])
    };
    for terms in
        ["[forbidden]\npurposes = ['analytics']\n", "[allowed]\npurposes = ['functional']\n"]
    {
        let said = asks(terms);
        assert_eq!(said.code, 1, "{terms}{}", said.out);
        assert!(said.out.contains("forbidden: script www.googletagmanager.com/"), "{}", said.out);
    }
    assert_eq!(asks("[allowed]\npurposes = ['analytics', 'functional', 'marketing']\n").code, 0);
    let unowned = asks("fail_on = ['unowned']\n");
    assert_eq!(unowned.code, 1);
    assert!(unowned.out.contains("unowned: "), "{}", unowned.out);
    // What would forbid nothing is no policy.
    for (terms, why) in [
        ("[forbidden]\nvendors = ['hotjarr']\n", "did you mean `hotjar`?"),
        ("[forbidden]\npurposes = ['tracking']\n", "no purpose is called `tracking`"),
        ("fail_on = ['unknwon']\n", "unknwon"),
        ("[tolerate]\n", "tolerate"),
    ] {
        let said = asks(terms);
        assert_eq!(said.code, 2, "{terms}");
        assert!(said.err.contains(why) && said.err.contains("terms.toml:"), "{}", said.err);
    }
}

#[test]
fn h1_what_cannot_be_looked_at_is_no_clean_site() {
    let directory = shop();
    let here = directory.path();
    std::fs::create_dir(here.join("empty")).unwrap();
    std::fs::write(here.join("cut.har"), "{\"log\": {\"entries\": [{\"request\"").unwrap();
    for (words, why) in [
        (&["nowhere"][..], "no file or folder"),
        (&["empty"], "no page to look at"),
        (&["http://127.0.0.1:1/"], "cannot be reached"),
        (&["cut.har"], "cut off"),
        (&["shop", "--config", "none.toml"], "none.toml"),
        (&["shop", "--catalogue", "none.toml"], "none.toml"),
        (&["shop", "--policy", "none.toml"], "none.toml"),
        (&["shop", "--baseline", "none.json"], "none.json"),
        (&["shop", "--baseline", "cut.har"], "it is no baseline"),
        (&["shop", "--as", "drunk"], "no state is called `drunk`"),
        (&["shop", "--output", "no/such/folder.txt"], "cannot be written"),
        (&["shop", "--max-pages", "0"], "at least 1"),
        (&["shop", "--format", "pdf"], "possible values"),
        (&["http://127.0.0.1:1/", "--cookie", "x"], "name=value"),
    ] {
        let said = audits_in(here, words);
        assert_eq!(said.code, 2, "{words:?}: {}{}", said.out, said.err);
        assert!(said.err.contains(why), "{words:?}: {}", said.err);
    }
}

#[test]
fn h1_a_page_cannot_talk_to_the_terminal() {
    let directory = TempDir::new().unwrap();
    let html = "<script src=\"https://x.example/\u{202e}\u{1b}]0;owned\u{7}\u{9b}2J.js\"></script>";
    let page = write(&directory, "page.html", html);
    for format in ["text", "json", "junit", "sarif"] {
        let said = audits(&[page.to_str().unwrap(), "--format", format]);
        assert_eq!(said.code, 1, "{}", said.err);
        let hostile = |char: char| (char.is_control() && char != '\n') || char == '\u{202e}';
        assert!(!said.out.contains(hostile), "{format}: {:?}", said.out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_the_audit_says_what_the_proxy_does_in_every_state() {
    let html = "<script src=\"https://ads.acme.example/a.js\"></script>\
                <script>acme('init', 1)</script>\
                <img src=\"https://stats.acme.example/p.gif\">\
                <iframe src=\"https://maps.acme.example/m\"></iframe>";
    let marks = [
        ("script", "ads.acme.example/a.js", "ads.acme.example"),
        ("inline", "acme('init'", "acme('init', 1)"),
        ("image", "stats.acme.example/p.gif", "stats.acme.example"),
        ("frame", "maps.acme.example/m", "\"https://maps.acme.example"),
    ];
    let origin = origin().page("/", html).start().await;
    let directory = TempDir::new().unwrap();
    let vendors = write(&directory, "vendors.toml", CATALOGUE);
    let url = format!("http://{}/", origin.address);
    let words =
        [&url, "--catalogue", vendors.to_str().unwrap(), "--format", "json", "--max-pages", "1"]
            .map(str::to_owned);
    let said = tokio::task::spawn_blocking(move || {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        audits(&words)
    });
    let said = said.await.unwrap();
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let document = said.json();
    let proxy = consentry(&origin).start().await;
    for (state, choice, purposes) in [
        ("undecided", None, &[][..]),
        ("refused", Some("none"), &[]),
        ("functional", Some("some"), &["functional"]),
        ("analytics", Some("some"), &["analytics"]),
        ("personalization", Some("some"), &["personalization"]),
        ("marketing", Some("some"), &["marketing"]),
        ("all", Some("all"), &[]),
    ] {
        let mut visitor = visitor(&proxy);
        if let Some(choice) = choice {
            visitor.chooses(choice, purposes).await;
        }
        let page = visitor.opens("/").await.body;
        let page = page.split("data-consentry-notice").next().unwrap().to_owned();
        for (kind, what, mark) in marks {
            let said = withheld(thing(&document, kind, what)).contains(&state);
            assert_eq!(said, !page.contains(mark), "{state} {kind} {what}\n{page}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_site_is_looked_through_to_a_bound_and_never_left() {
    let link = |to: &str| format!("<a href=\"{to}\">on</a>");
    let map = "<?xml version='1.0'?><urlset><url><loc>http://HOST/mapped</loc></url>\
               <url><loc>http://elsewhere.example/</loc></url></urlset>";
    let tag = "<script src=\"https://deep.stranger.example/x.js\"></script>";
    let start = [link("/a"), link("/a#again"), link("//elsewhere.example/b"), link("/file.pdf")];
    let builder = origin()
        .page("/", &start.concat())
        .page("/a", &format!("{}{}", link("/deep"), link("mailto:x@y.example")))
        .page("/deep", &format!("{}{tag}", link("/deeper")))
        .page("/deeper", "")
        .page("/mapped", "<p>mapped</p>");
    let builder = builder.answer("/sitemap.xml", move |seen| {
        let host = seen.headers["host"].to_str().unwrap().to_owned();
        http::Response::builder()
            .header("content-type", "application/xml")
            .body(map.replace("HOST", &host).into())
            .unwrap()
    });
    let builder = builder.answer("/file.pdf", |_| {
        let pdf = http::Response::builder().header("content-type", "application/pdf");
        pdf.body("%PDF".into()).unwrap()
    });
    let origin = builder.start().await;
    let url = format!("http://{}/", origin.address);
    let looks = async |more: &[&str]| {
        let words: Vec<String> = [&[url.as_str(), "--format", "json"], more]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect();
        let audits = move || audits(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let said = tokio::task::spawn_blocking(audits).await.unwrap();
        let document = said.json();
        let names: Vec<String> = document["pages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|page| page["page"].as_str().unwrap().replace(url.as_str(), "/"))
            .collect();
        (said.code, names)
    };
    assert_eq!(
        looks(&[]).await,
        (1, ["/", "/a", "/mapped", "/deep", "/deeper"].map(str::to_owned).into())
    );
    assert_eq!(
        looks(&["--max-depth", "1"]).await,
        (0, ["/", "/a", "/mapped"].map(str::to_owned).into())
    );
    assert_eq!(looks(&["--max-pages", "2"]).await, (0, ["/", "/a"].map(str::to_owned).into()));
    assert_eq!(looks(&["--max-pages", "1"]).await, (0, ["/"].map(str::to_owned).into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_site_that_is_down_is_not_called_clean() {
    let down = |_| {
        let answer = http::Response::builder().status(503).header("content-type", "text/html");
        answer.body("<p>Back soon".into()).unwrap()
    };
    let origin = origin().answer("/", down).start().await;
    let url = format!("http://{}/", origin.address);
    let said = tokio::task::spawn_blocking(move || audits(&[url.as_str()])).await.unwrap();
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("503"), "{}", said.err);
}

#[test]
fn h1_a_recorded_session_is_judged_request_by_request() {
    let said = audits(&[&fixture("session.har"), "--format", "json"]);
    let document = said.json();
    assert_eq!(said.code, 1, "{}", said.out);
    // Nobody can tell from it whose order that was.
    assert_eq!(document["pages"][0]["page"], "https://shop.example/orders/:id");
    assert!(!said.out.contains("8812345678") && !said.out.contains("Cj0KCQ"));
    let tag = thing(&document, "script", "www.googletagmanager.com/gtag/js");
    assert_eq!(tag["spots"][0]["line"], 2, "the page's body was in it: {tag}");
    assert_eq!(tag["observed"], true);
    let pixel = thing(&document, "image", "www.facebook.com/tr");
    assert_eq!(pixel["via"], "www.googletagmanager.com/gtag/js");
    for (kind, what) in [
        ("cookie", "_ga"),
        ("cookie", "_fbp"),
        ("cookie", "fr"),
        ("parameter", "gclid"),
        ("image", "www.facebook.com/tr"),
    ] {
        assert!(withheld(thing(&document, kind, what)).contains(&"refused"), "{kind} {what}");
    }
    assert!(withheld(thing(&document, "cookie", "PHPSESSID")).is_empty());
    let findings = document["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0]["what"], "api.stranger.example/v1/hello");
    assert_eq!(document["leaks"].as_array().unwrap().len(), 0, "nobody said in which state it was");

    // A visitor who had refused: what happened all the same has leaked.
    let words =
        [&fixture("session.har"), "--as", "refused", "--fail-on", "leak", "--format", "json"];
    let said = audits(&words);
    let document = said.json();
    assert_eq!(said.code, 1);
    let mut leaks: Vec<_> = document["leaks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|leak| leak["what"].as_str().unwrap())
        .collect();
    leaks.sort_unstable();
    assert_eq!(
        leaks,
        ["_fbp", "_ga", "fr", "gclid", "www.facebook.com/tr", "www.googletagmanager.com/gtag/js"]
    );
    let words = [&fixture("session.har"), "--as", "all", "--fail-on", "leak"];
    assert_eq!(audits(&words).code, 0);
}

#[test]
fn h1_a_hostile_session_is_an_error_in_words() {
    let directory = TempDir::new().unwrap();
    let good = std::fs::read_to_string(fixture("session.har")).unwrap();
    let looks = |bytes: &[u8]| {
        let path = directory.path().join("x.har");
        std::fs::write(&path, bytes).unwrap();
        audits(&[path.to_str().unwrap()])
    };
    let deep = format!("{{\"log\":{{\"entries\":{}", "[".repeat(100_000));
    for (bytes, why) in [
        (b"".as_slice(), "line 1"),
        (b"\xff\xfe", "line 1"),
        (b"[]", "HTTP Archive"),
        (b"{\"log\": {\"entries\": 7}}", "expected a sequence"),
        (b"{\"log\": {\"entries\": [{\"request\": {\"url\": 7}}]}}", "invalid type"),
        (b"{\"log\": {\"entries\": []}}", "no request to a web address"),
        (deep.as_bytes(), "HTTP Archive"),
    ] {
        let said = looks(bytes);
        assert_eq!(said.code, 2, "{:?}: {}", bytes.get(..20), said.out);
        assert!(said.err.contains(why) && said.err.contains("x.har"), "{why}: {}", said.err);
    }
    // Cut off anywhere, it is refused and not half judged.
    for end in (1..good.trim_end().len()).step_by(379) {
        let said = looks(&good.as_bytes()[..end]);
        assert_eq!(said.code, 2, "{end}: {}", said.out);
    }
    // What tools add may have any shape.
    let odd = good
        .replace("{ \"type\": \"other\" }", "17")
        .replace("\"_resourceType\": \"fetch\"", "\"_resourceType\": [1]");
    assert_eq!(looks(odd.as_bytes()).code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn h8_a_choice_that_another_tool_keeps_in_a_cookie_can_be_brought_along() {
    // The server sets a vendor's cookie only for visitors whose choice it reads.
    let origin = origin().answer("/", |seen| {
        let cookie = seen.headers.get("cookie").and_then(|value| value.to_str().ok());
        let agreed = cookie.is_some_and(|cookie| cookie.contains("CookieConsent=yes"));
        let answer = http::Response::builder().header("content-type", "text/html");
        let answer = if agreed { answer.header("set-cookie", "_ga=1") } else { answer };
        answer.body("<p>Hello</p>".into()).unwrap()
    });
    let origin = origin.start().await;
    let url = format!("http://{}/", origin.address);
    let looks = async |cookie: &'static str| {
        let url = url.clone();
        let audits = move || {
            audits(&[&url, "--max-pages", "1", "--format", "json", "--cookie", cookie]).json()
        };
        tokio::task::spawn_blocking(audits).await.unwrap()
    };
    let document = looks("CookieConsent=no").await;
    assert!(things(&document).is_empty(), "{document:#}");
    let document = looks("CookieConsent=yes").await;
    let cookie = thing(&document, "cookie", "_ga");
    assert!(withheld(cookie).contains(&"undecided"), "{cookie}");
    // What consentry itself makes of that cookie is a state of its own.
    assert_eq!(document["states"][8]["name"], "preset");
}
