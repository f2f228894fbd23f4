//! The dashboard's doors: who gets in, how, and what is refused.

use crate::harness::{Page, Visitor, consentry, origin, visitor_at};
use crate::program::{Setup, consentry_command, runs};

use consentry::dashboard::{Access, PasswordHash, Role, link_file, promised};

use std::io::Write;
use std::process::Stdio;
use std::sync::LazyLock;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// The password of everybody who signs in in these tests.
pub(crate) const PASSWORD: &str = "correct horse battery";

static HASH: LazyLock<String> = LazyLock::new(|| PasswordHash::make(PASSWORD).unwrap().to_string());

/// Ana the officer, Ben the operator, and two programs like them.
pub(crate) fn people() -> String {
    let user = |name: &str, role: &str| {
        format!("[[admin.user]]\nname = {name:?}\npassword_hash = {:?}\nrole = {role:?}\n", *HASH)
    };
    let token = |name: &str, role: &str, sha256: &str| {
        format!("[[admin.token]]\nname = {name:?}\nsha256 = {sha256:?}\nrole = {role:?}\n")
    };
    [
        user("ana", "officer"),
        user("ben", "operator"),
        token(
            "reader",
            "officer",
            "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
        ),
        token(
            "robot",
            "operator",
            "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9",
        ),
    ]
    .concat()
}

/// The tokens of `reader` and `robot`.
pub(crate) const TOKENS: [&str; 2] = ["foo", "bar"];

/// Signs somebody in.
pub(crate) async fn signed_in(address: std::net::SocketAddr, name: &str) -> Visitor {
    let mut visitor = visitor_at(address);
    let page = sign_in(&mut visitor, name, PASSWORD).await;
    assert_eq!(
        (page.status.as_u16(), page.field("location")),
        (303, "/".to_owned()),
        "{}",
        page.body
    );
    visitor
}

async fn sign_in(visitor: &mut Visitor, name: &str, password: &str) -> Page {
    let form = form(&[("name", name), ("password", password)]);
    visitor.asks("POST", "/sign-in", &[FORM], &form).await
}

/// A form's body.
pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// The token that stands in every form of a page.
pub(crate) fn csrf(page: &Page) -> String {
    let (_, rest) = page.body.split_once("name=\"csrf\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// Sends a form as the dashboard's own pages do.
pub(crate) async fn sends(visitor: &mut Visitor, path: &str, fields: &[(&str, &str)]) -> Page {
    let page = visitor.opens("/account").await;
    let token = if page.status == 200 { csrf(&page) } else { String::new() };
    let fields: Vec<_> = fields.iter().copied().chain([("csrf", token.as_str())]).collect();
    visitor.asks("POST", path, &[FORM], &form(&fields)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_read_the_ledger_enters_by_a_link_and_nobody_else_does() {
    let origin = origin().start().await;
    let proxy = consentry(&origin).start().await;
    let mut visitor = visitor_at(proxy.admin);
    let page = visitor.opens("/").await;
    assert_eq!((page.status.as_u16(), page.field("location")), (303, "/sign-in".to_owned()));
    let page = visitor.opens("/account?x=%22").await;
    assert_eq!(page.field("location"), "/sign-in?next=%2Faccount%3Fx%3D%2522");
    let page = visitor.opens("/sign-in").await;
    assert!(page.status == 200 && page.body.contains("consentry dashboard"), "{}", page.body);
    assert!(!page.body.contains("type=\"password\""), "there are no passwords yet");

    let ledger = proxy.directory().join("ledger.db");
    let (code, link) = runs(&["dashboard", "--ledger", ledger.to_str().unwrap()]);
    let path = link.trim().strip_prefix(&format!("http://{}", proxy.admin)).unwrap();
    assert!(code == 0 && path.starts_with("/enter?token="), "{link}");
    // As in a container: the variable is there, and a configuration is named.
    let config = proxy.directory().join("link.toml");
    std::fs::write(&config, "[[site]]\norigin = 'http://127.0.0.1:1'\n").unwrap();
    let output = consentry_command(&["dashboard", "--config", config.to_str().unwrap()])
        .env("CONSENTRY_LEDGER__FILE", &ledger)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), link, "{:?}", output.stderr);
    // A chat program that looks at the link does not use it up.
    for _ in 0..2 {
        assert_eq!(visitor.opens(path).await.status, 200);
    }
    assert_eq!(visitor.opens("/").await.status, 303);
    let token = path.strip_prefix("/enter?").unwrap();
    let page = visitor.asks("POST", "/enter", &[FORM], "token=guess").await;
    assert_eq!(page.status, 403);
    let page = visitor.asks("POST", "/enter", &[FORM], token).await;
    assert_eq!((page.status.as_u16(), page.field("location")), (303, "/".to_owned()));
    let page = visitor.opens("/account").await;
    assert!(page.status == 200 && page.body.contains("operator"), "{}", page.body);
    // It was good for once, and there is a fresh one.
    let page = visitor_at(proxy.admin).asks("POST", "/enter", &[FORM], token).await;
    assert_eq!(page.status, 403);
    assert_ne!(runs(&["dashboard", "--ledger", ledger.to_str().unwrap()]).1, link);
    let directory = proxy.stop().await;
    assert!(!link_file(&directory.path().join("ledger.db")).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_and_out() {
    let origin = origin().start().await;
    let proxy = consentry(&origin).config(&people()).start().await;
    let mut ana = signed_in(proxy.admin, "ana").await;
    let page = ana.opens("/account").await;
    assert!(page.body.contains("ana") && page.body.contains("officer"), "{}", page.body);
    let kept = ana.clone();
    let page = sends(&mut ana, "/sign-out", &[]).await;
    assert_eq!((page.status.as_u16(), page.field("location")), (303, "/sign-in".to_owned()));
    assert!(ana.cookies.is_empty());
    // The cookie that somebody copied meanwhile is worth nothing.
    assert_eq!(kept.clone().opens("/account").await.status, 303);
    // With users, no link opens anything.
    let ledger = proxy.directory().join("ledger.db");
    assert_eq!(runs(&["dashboard", "--ledger", ledger.to_str().unwrap()]).0, 69);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_cookie_goes_to_no_script_and_no_other_site() {
    let origin = origin().start().await;
    let proxy = consentry(&origin).config(&people()).start().await;
    let mut visitor = visitor_at(proxy.admin);
    let cookie = sign_in(&mut visitor, "ana", PASSWORD).await.field("set-cookie");
    assert!(cookie.starts_with("consentry-office="), "{cookie}");
    for part in ["Path=/", "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.split("; ").any(|found| found == part), "{cookie}");
    }
    assert!(!cookie.contains("Max-Age") && !cookie.contains("Domain"), "{cookie}");
    // Behind a proxy that speaks https, only over https and under a name that no other host can set.
    let mut visitor = visitor_at(proxy.admin).sending("x-forwarded-proto", "https");
    let cookie = sign_in(&mut visitor, "ana", PASSWORD).await.field("set-cookie");
    assert!(
        cookie.starts_with("__Host-consentry-office=") && cookie.contains("; Secure"),
        "{cookie}"
    );
    assert_eq!(visitor.opens("/account").await.status, 200);
    // A session is a new one at each sign-in: nobody can prepare one for another.
    let before = visitor.cookies.clone();
    let cookie = sign_in(&mut visitor, "ben", PASSWORD).await;
    assert_eq!(cookie.status, 303);
    assert_ne!(visitor.cookies, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_and_a_wrong_password_get_the_same_answer() {
    let origin = origin().start().await;
    let proxy = consentry(&origin).config(&people()).start().await;
    let mut visitor = visitor_at(proxy.admin);
    let wrong = sign_in(&mut visitor, "ana", "correct horse batterie").await;
    let unknown = sign_in(&mut visitor, "eve", "correct horse battery").await;
    assert_eq!((wrong.status.as_u16(), unknown.status.as_u16()), (401, 401));
    assert_eq!(wrong.body.replace("ana", "eve"), unknown.body);
    assert!(visitor.cookies.is_empty());
    let page = sign_in(&mut visitor, "<script>\"", "x").await;
    assert!(!page.body.contains("<script>"), "{}", page.body);
    // Guessing gets slow, whatever is guessed then.
    let mut seen = Vec::new();
    for _ in 0..10 {
        seen.push(sign_in(&mut visitor, "ben", "guess").await.status.as_u16());
    }
    assert_eq!(seen.iter().filter(|status| **status == 401).count(), 10, "{seen:?}");
    let page = sign_in(&mut visitor, "ben", PASSWORD).await;
    assert_eq!(page.status, 429);
    assert!((1..=60).contains(&page.field("retry-after").parse::<u64>().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_every_route_asks_for_its_role() {
    /// Every route, and who may use it. A new one is written here, too.
    const RULES: &str = "
        GET  /sign-in                       anyone
        POST /sign-in                       anyone
        GET  /enter                         anyone
        POST /enter                         anyone
        POST /sign-out                      officer
        GET  /static/office-*.css           anyone
        GET  /                              officer
        GET  /log                           officer
        GET  /entry                         officer
        GET  /vendors                       officer
        GET  /vendor                        officer
        GET  /new                           officer
        GET  /sites                         officer
        GET  /alerts                        officer
        GET  /declaration                   officer
        GET  /account                       officer
        GET  /classify                      officer
        POST /classify                      officer
        POST /classify/take-back            officer
        GET  /ownership                     officer
        POST /ownership                     officer
        POST /ownership/take-back           officer
        GET  /exceptions                    officer
        POST /exceptions                    operator
        POST /exceptions/take-back          operator
        POST /unlisted                      operator
        GET  /audit                         officer
        GET  /api/v1/openapi.json            officer
        GET  /api/v1/session                 officer
        GET  /api/v1/overview                officer
        GET  /api/v1/decisions               officer
        GET  /api/v1/vendors                 officer
        GET  /api/v1/vendors/pages           officer
        GET  /api/v1/pages                   officer
        GET  /api/v1/newcomers               officer
        GET  /api/v1/unlisted                officer
        GET  /api/v1/choices                 officer
        GET  /api/v1/sites                   officer
        GET  /api/v1/audits                  officer
        GET  /api/v1/ownerships              officer
        GET  /api/v1/exceptions              officer
        POST /api/v1/classifications         officer
        POST /api/v1/classifications/take-back officer
        POST /api/v1/ownerships              officer
        POST /api/v1/ownerships/take-back    officer
        POST /api/v1/exceptions              operator
        POST /api/v1/exceptions/take-back    operator
        POST /api/v1/unlisted                operator
    ";
    let rules: Vec<Vec<&str>> = RULES
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| !words.is_empty())
        .collect();
    let origin = origin().start().await;
    let proxy = consentry(&origin).config(&people()).start().await;
    let routes = promised();
    assert_eq!(
        routes.len(),
        rules.len(),
        "a route has no rule here, or a rule no route: {routes:?}"
    );
    for (method, path, access) in routes {
        let is_it = |rule: &&Vec<&str>| {
            let named = rule[1].split_once('*').map_or(rule[1] == path, |(start, end)| {
                path.starts_with(start) && path.ends_with(end)
            });
            rule[0] == method.as_str() && named
        };
        let rule =
            rules.iter().find(is_it).unwrap_or_else(|| panic!("no rule for {method} {path}"));
        let expected = match rule[2] {
            "anyone" => Access::Anyone,
            role => Access::Only(Role::from_name(role).unwrap()),
        };
        assert_eq!(access, expected, "{method} {path}");
        // What it says is what it does.
        let Access::Only(least) = access else { continue };
        let stranger = visitor_at(proxy.admin).asks(method.as_str(), path, &[FORM], "").await;
        let is_page = method == "GET" && !path.starts_with("/api/");
        let (status, to) = (stranger.status.as_u16(), stranger.field("location"));
        if is_page {
            assert!(status == 303 && to.starts_with("/sign-in"), "{method} {path}: {status} {to}");
        } else {
            assert_eq!(status, 401, "{method} {path}");
        }
        for (token, role) in TOKENS.into_iter().zip([Role::Officer, Role::Operator]) {
            let bearer = format!("Bearer {token}");
            let page = visitor_at(proxy.admin)
                .asks(method.as_str(), path, &[FORM, ("authorization", &bearer)], "")
                .await;
            let refused = page.status == 403 && page.body.contains("Only an operator");
            assert_eq!(refused, role < least, "{method} {path} as {role:?}: {}", page.status);
            assert!(
                ![401, 404, 405].contains(&page.status.as_u16()),
                "{method} {path}: {}",
                page.status
            );
        }
        let page = visitor_at(proxy.admin)
            .asks(method.as_str(), path, &[FORM, ("authorization", "Bearer fo")], "")
            .await;
        assert!([303, 401].contains(&page.status.as_u16()), "{method} {path}: {}", page.status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_changes_by_a_form_that_is_not_ours() {
    let origin = origin().start().await;
    let proxy = consentry(&origin).config(&people()).start().await;
    let mut ana = signed_in(proxy.admin, "ana").await;
    let token = csrf(&ana.opens("/account").await);
    let own = format!("http://{}", proxy.admin);
    let (right, wrong) = (form(&[("csrf", &token)]), form(&[("csrf", "guess")]));
    for (fields, body) in [
        (vec![], ""),
        (vec![], wrong.as_str()),
        (vec![("origin", "https://evil.example")], right.as_str()),
        (vec![("origin", "null")], right.as_str()),
        (vec![("origin", own.as_str()), ("sec-fetch-site", "same-site")], right.as_str()),
        (vec![("sec-fetch-site", "cross-site")], right.as_str()),
        (vec![("origin", "http://127.0.0.1:1")], right.as_str()),
    ] {
        let fields: Vec<_> = fields.into_iter().chain([FORM]).collect();
        let page = ana.asks("POST", "/sign-out", &fields, body).await;
        assert_eq!(page.status, 403, "{fields:?} {body}");
    }
    assert_eq!(ana.opens("/account").await.status, 200);
    // Somebody else's page cannot sign the officer in under another name either.
    let form = form(&[("name", "ben"), ("password", PASSWORD)]);
    let fields = [FORM, ("origin", "https://evil.example")];
    assert_eq!(ana.asks("POST", "/sign-in", &fields, &form).await.status, 403);
    let fields = [FORM, ("origin", own.as_str()), ("sec-fetch-site", "same-origin")];
    assert_eq!(ana.asks("POST", "/sign-out", &fields, &right).await.status, 303);
    let page = ana.asks("POST", "/sign-in", &[FORM], &"x".repeat(3_000_000)).await;
    assert!(page.status.is_client_error(), "{}", page.status);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_name_for_our_address_is_refused() {
    let origin = origin().start().await;
    let sections = format!("[admin]\nhosts = [\"office.shop.example\"]\n{}", people());
    let proxy = consentry(&origin).config(&sections).start().await;
    for (host, expected) in [
        ("rebound.example", 421),
        ("office.shop.example", 200),
        ("localhost", 200),
        ("127.0.0.1:9", 200),
    ] {
        let page = visitor_at(proxy.admin).at_host(host).opens("/sign-in").await;
        assert_eq!(page.status, expected, "{host}");
        // A scraper may call the machine what it likes.
        assert_eq!(visitor_at(proxy.admin).at_host(host).opens("/metrics").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_sealed() {
    let origin = origin().start().await;
    let proxy = consentry(&origin).config(&people()).start().await;
    let mut ana = signed_in(proxy.admin, "ana").await;
    let style = ana.opens("/account").await;
    let (_, style) = style.body.split_once("rel=\"stylesheet\" href=\"").unwrap();
    let style = style.split('"').next().unwrap().to_owned();
    assert_eq!(
        ana.opens(&style).await.field("cache-control"),
        "public, max-age=31536000, immutable"
    );
    let pages = promised().into_iter().filter(|(method, ..)| method == "GET").map(|route| route.1);
    for path in pages.chain(["/nothing", "/account?x=%ff", "/static/x.css"]) {
        let page = ana.opens(path).await;
        for (name, expected) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("x-frame-options", "DENY"),
            ("x-robots-tag", "noindex"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(page.field(name), expected, "{path}");
        }
        let policy = page.field("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self'; ")
                && !policy.contains("unsafe")
        );
        if page.field("content-type").starts_with("text/html") {
            assert_eq!(page.field("cache-control"), "no-store", "{path}");
            for word in ["<script", "style=", " onclick", " onload", "http://", "https://"] {
                let tags =
                    page.body.split('<').map(|tag| tag.split('>').next().unwrap_or_default());
                let found = tags.map(|tag| format!("<{tag}")).find(|tag| tag.contains(word));
                assert_eq!(found, None, "{path}");
            }
        }
    }
}

#[test]
fn a_new_password_ends_the_sessions_of_before() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let origin = runtime.block_on(origin().start());
    let setup = Setup::new(origin.address, &people());
    let mut program = setup.start();
    let (mut ana, mut ben) = runtime.block_on(async {
        (signed_in(program.admin, "ana").await, signed_in(program.admin, "ben").await)
    });
    let fresh = PasswordHash::make("another password").unwrap().to_string();
    setup.configure(origin.address, &people().replacen(&*HASH, &fresh, 1));
    program.reloads();
    runtime.block_on(async {
        assert_eq!(ana.opens("/account").await.status, 303);
        assert_eq!(ben.opens("/account").await.status, 200);
        assert_eq!(sign_in(&mut ana, "ana", PASSWORD).await.status, 401);
        assert_eq!(sign_in(&mut ana, "ana", "another password").await.status, 303);
    });
    // Whoever may no longer be an operator is none from the next click on.
    setup.configure(origin.address, &people().replace("\"operator\"", "\"officer\""));
    program.reloads();
    let page = runtime.block_on(ben.opens("/account"));
    assert!(page.status == 200 && !page.body.contains("operator)"), "{}", page.body);
}

#[test]
fn other_machines_find_nothing_as_long_as_there_are_no_users() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let origin = runtime.block_on(origin().start());
    let setup = Setup::new(origin.address, "");
    let words: Vec<_> = setup.words();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let words: Vec<&str> = words
        .iter()
        .enumerate()
        .map(|(at, word)| if at > 0 && words[at - 1] == "--admin" { "0.0.0.0:0" } else { word })
        .collect();
    let program = crate::program::Program::start(
        consentry_command(&words).current_dir(setup.directory.path()),
    );
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], program.admin.port()));
    runtime.block_on(async {
        for path in ["/", "/sign-in", "/enter?token=x", "/account"] {
            let page = visitor_at(address).opens(path).await;
            assert_eq!(page.status, 403, "{path}");
            assert!(page.body.contains("hash-password"), "{}", page.body);
        }
        assert_eq!(visitor_at(address).opens("/livez").await.status, 200);
        assert_eq!(visitor_at(address).opens("/metrics").await.status, 200);
    });
    assert!(!link_file(&setup.ledger()).exists());
}

#[test]
fn a_password_becomes_a_hash_and_a_short_one_does_not() {
    let hashes = |password: &str| {
        let mut child = consentry_command(&["hash-password"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, hash) = hashes("correct horse battery\n");
    assert_eq!(code, Some(0));
    assert!(PasswordHash::read(hash.trim()).unwrap().is_of("correct horse battery"));
    let (code, hash) = hashes("short\n");
    assert_eq!((code, hash.as_str()), (Some(78), ""));
}
